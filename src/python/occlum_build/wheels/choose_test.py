from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.wheels.choose import choose_wheels
from occlum_build.wheels.lock import read_lock
from occlum_build.wheels.platform import Platform
from occlum_build.wheels.testing_wheels import lock_of, locked

SHA256 = "ab" * 32
BOOKWORM = Platform("3.11", "2.36")


def pure(name: str, *requires: str, version: str = "1.0", python: str | None = None) -> Any:
    file = f"https://host/{name}-{version}-py3-none-any.whl"
    return locked(name, version, [(file, SHA256)], requires, python)


def built(name: str, *tags: str) -> Any:
    files = [(f"https://host/{name}-1.0-{tag}", SHA256) for tag in tags]
    return locked(name, "1.0", files)


def chosen(
    distributions: Iterable[Any],
    requirements: Sequence[str],
    platform: Platform = BOOKWORM,
    roots: Sequence[str] = (),
    **more: Any,
) -> list[str]:
    lock = read_lock(lock_of(distributions, requirements, **more), "x.lock")
    return [one.file for one in choose_wheels(lock, roots, platform)]


def names(*args: Any, **more: Any) -> list[str]:
    return [one.partition("-")[0] for one in chosen(*args, **more)]


def test_all_of_a_lock_by_default() -> None:
    assert names([pure("b"), pure("a", "c>=1"), pure("c"), pure("d")], ["a", "b"]) == [*"abc"]


def test_roots_of_the_target() -> None:
    every = [pure("b"), pure("a", "c>=1"), pure("c")]
    assert names(every, ["a", "b"], roots=["B"]) == ["b"]


def test_markers_of_the_platform() -> None:
    requires = [
        "x; python_version < '3.11'",
        'y; sys_platform == "linux" and platform_machine == "x86_64"',
        'z; python_full_version >= "3.11.4"',
        "w; sys_platform == 'win32'",
    ]
    every = [pure("a", *requires), *map(pure, "wxyz")]
    assert names(every, ["a"]) == ["a", "y"]
    assert names(every, ["a"], Platform("3.11.4", "2.36")) == ["a", "y", "z"]
    assert names(every, ["a"], Platform("3.10", "2.36")) == ["a", "x", "y"]


def test_extras_and_circles() -> None:
    every = [
        pure("a", "b[Two_2]; extra == 'more'", "c; extra == 'other'"),
        pure("b", "d; extra == 'two-2'", "e ; extra == 'Three'", "a[more]"),
        *map(pure, "cde"),
    ]
    assert names(every, ["a"]) == ["a"]
    assert names(every, ["a[more]"]) == ["a", "b", "d"]
    assert names(every, ["a", "b[three]"]) == ["a", "b", "d", "e"]


def test_what_the_lock_excludes_is_not_missed() -> None:
    assert names([pure("a", "b")], ["a"], excluded=["b"]) == ["a"]


@pytest.mark.parametrize(
    ("python", "glibc", "best"),
    [
        ("3.11", "2.36", "cp311-cp311-manylinux_2_28_x86_64.whl"),
        ("3.11", "2.27", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
        ("3.11", "2.5", "cp311-cp311-manylinux1_x86_64.whl"),
        ("3.12", "2.36", "cp38-abi3-manylinux2014_x86_64.whl"),
        ("3.12", "2.12", "py3-none-any.whl"),
    ],
)
def test_the_best_wheel(python: str, glibc: str, best: str) -> None:
    tags = [
        "py3-none-any.whl",
        "cp311-cp311-manylinux1_x86_64.whl",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "cp311-cp311-manylinux_2_28_x86_64.whl",
        "cp311-cp311-manylinux_2_28_aarch64.whl",
        "cp311-cp311-musllinux_1_1_x86_64.whl",
        "cp38-abi3-manylinux2014_x86_64.whl",
        "cp311-cp311-win_amd64.whl",
    ]
    for order in (tags, tags[::-1]):
        assert chosen([built("x", *order)], ["x"], Platform(python, glibc)) == [f"x-1.0-{best}"]


def test_a_later_build_is_better() -> None:
    files = ["2-py3-none-any.whl", "10-py3-none-any.whl", "py3-none-any.whl"]
    assert chosen([built("x", *files)], ["x"]) == ["x-1.0-10-py3-none-any.whl"]


def error(code: str, *args: Any, **more: Any) -> str:
    with pytest.raises(OcclumError) as caught:
        chosen(*args, **more)
    assert caught.value.code == code
    assert "x.lock" in str(caught.value)
    return str(caught.value)


def test_only_a_source_distribution() -> None:
    one = locked("a", "1.0", [("https://host/a-1.0.tar.gz", SHA256)])
    text = error("wheels-sdist", [one], ["a"])
    assert "a 1.0 has no wheel, only a-1.0.tar.gz" in text
    assert "pip wheel" in text
    text = error("wheels-sdist", [locked("a", "1.0", [("git+https://me:x@host/", SHA256)])], ["a"])
    assert "only git+https://...@host/" in text


def test_no_wheel_that_fits_and_all_are_told() -> None:
    every = [built("a", "cp310-cp310-manylinux1_x86_64.whl"), built("b", "py2-none-any.whl")]
    text = error("wheels-none", every, ["a", "b"])
    assert "a 1.0 has no wheel for CPython 3.11 and glibc 2.36 on x86_64" in text
    assert "  a-1.0-cp310-cp310-manylinux1_x86_64.whl" in text
    lock = read_lock(lock_of(every, ["a", "b"]), "x.lock")
    with pytest.raises(OcclumError) as caught:
        choose_wheels(lock, (), BOOKWORM)
    assert len(caught.value.problems) == 2


def test_another_python() -> None:
    assert "is for Python <3.11" in error("wheels-none", [pure("a", python="<3.11")], ["a"])
    assert names([pure("a", python=">=3.11.4")], ["a"]) == ["a"]


@pytest.mark.parametrize(
    ("roots", "words"),
    [
        (["b"], "b is not in the lock"),
        (["a==2"], "a==2 is required, and 1.0 is locked"),
        (["a = 1"], "the requirement 'a = 1' is none that names a distribution"),
        (["./a"], "none that names"),
        (["a; " + "(" * 4000 + "x"], "none that names|nested"),
        (["a" * 5000], "longer than 4096"),
    ],
)
def test_requirements_that_are_wrong(roots: list[str], words: str) -> None:
    with pytest.raises(OcclumError, match=words) as caught:
        chosen([pure("a")], ["a"], roots=roots)
    assert caught.value.code == "wheels-requirement"


def test_what_a_distribution_needs_is_missing() -> None:
    text = error("wheels-requirement", [pure("a", "b>=2")], ["a"])
    assert "b>=2, which a 1.0 needs, is not in the lock" in text


@pytest.mark.parametrize(
    "name",
    [
        "x-1.0.whl",
        "y-1.0-py3-none-any.whl",
        "x-2.0-py3-none-any.whl",
        "x-1.0-py3-none-" + "any." * 100 + "whl",
        "x-1.0-" + "-".join([".".join(["a"] * 30)] * 3) + ".whl",
        "x-one-py3-none-any.whl",
        "x-1.0-py3-none-any.%00.whl",
        "x-1.0-py3-none-any.\x1b.whl",
        "x-1.0-py3-none-any" + ".a" * 120 + ".whl",
    ],
)
def test_wheels_whose_names_are_wrong(name: str) -> None:
    error("wheels-none", [locked("x", "1.0", [(f"https://host/{name}", SHA256)])], ["x"])


@pytest.mark.parametrize(
    ("python", "glibc"),
    [("3", "2.31"), ("2.7", "2.31"), ("3.11", "2"), ("3.x", "2.31"), ("3.11", "2.4")],
)
def test_platforms_that_are_none(python: str, glibc: str) -> None:
    with pytest.raises(OcclumError) as caught:
        Platform(python, glibc)
    assert caught.value.code == "wheels-platform"


def test_nothing_is_told_of_old_names_in_libraries() -> None:
    """packaging 21.3 uses some of pyparsing's, which Pants would show at each start."""
    code = (
        "import warnings; warnings.simplefilter('default')\n"
        "from occlum_build.wheels.choose import _parsed\n"
        "_parsed('a[b]>=1; extra == \"c\"', 'x.lock')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
