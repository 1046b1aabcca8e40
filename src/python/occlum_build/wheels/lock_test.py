from __future__ import annotations

import json
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.wheels.lock import Artifact, read_lock
from occlum_build.wheels.testing_wheels import lock_of, locked

SHA256 = "0" * 64
URL = "https://host/packages/aa/bb/My_Tool-1.0%2Blocal-py3-none-any.whl"


def test_a_lock_as_pants_has_it() -> None:
    one = locked("My_Tool", "1.0+local", [(URL, SHA256)], ["idna>=2"], ">=3.8")
    lock = read_lock(lock_of([one], ["my-tool"]), "x.lock")

    assert lock.requirements == ("my-tool",)
    found = lock.distributions["my-tool"]
    assert (found.version, found.requires, found.requires_python) == (
        *("1.0+local", ("idna>=2",), ">=3.8"),
    )
    assert found.artifacts == (Artifact("My_Tool-1.0+local-py3-none-any.whl", URL, SHA256),)


def test_the_lock_of_this_project() -> None:
    with open("3rdparty/python/default.lock", "rb") as file:
        lock = read_lock(file.read(), "default.lock")
    assert "xxhash" in lock.distributions
    assert "xxhash==4.1.0" in lock.requirements


@pytest.mark.parametrize(
    ("resolves", "words"),
    [
        ([], "no resolve"),
        ([{"locked_requirements": []}] * 2, "a resolve for each platform"),
        ([{"locked_requirements": [], "platform_tag": ["cp311"]}], "a resolve for each platform"),
        ([{"locked_requirements": [locked("a", "1", [])] * 2}], "has 'a' twice"),
        ([{"locked_requirements": [locked("a", "one", [])]}], "the version 'one' of 'a' is none"),
        ([{"locked_requirements": [locked("a", "1 ", [])]}], "the version '1 ' of 'a' is none"),
        ([{"locked_requirements": [{"version": "1"}]}], "has no 'project_name'"),
        ([{"locked_requirements": [locked("a", "1", [("u", "12")])]}], "not by the SHA-256"),
    ],
)
def test_another_lock(resolves: list[Any], words: str) -> None:
    data = lock_of([], [], locked_resolves=resolves)
    with pytest.raises(OcclumError, match=words) as caught:
        read_lock(data, "x.lock")
    assert caught.value.code == "wheels-lock"
    assert "pex3 lock create" in str(caught.value)


def test_another_hash() -> None:
    one = locked("a", "1", [("u", SHA256)])
    one["artifacts"][0]["algorithm"] = "md5"
    with pytest.raises(OcclumError, match="'a' is locked by 'md5'"):
        read_lock(lock_of([one], []), "x.lock")


@pytest.mark.parametrize("data", [b"", b"// only this\n", b"[[package]]\n", b"[]", b"\xff{}"])
def test_what_is_no_lock(data: bytes) -> None:
    with pytest.raises(OcclumError) as caught:
        read_lock(data, "x.lock")
    assert caught.value.code == "wheels-lock"


def test_errors_name_the_line_below_the_header() -> None:
    text = lock_of([], []).decode().replace('"requirements"', "'requirements'")
    line = text.splitlines().index(next(one for one in text.splitlines() if "'req" in one)) + 1
    with pytest.raises(OcclumError, match=f"x.lock:{line}:"):
        read_lock(text.encode(), "x.lock")
    assert json.loads(lock_of([], []).split(b"\n\n", 1)[1])["requirements"] == []
