"""Processes that take contents from a sysroot: what is brought, doubted, and left to others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from occlum_build.process.step import EXIT_CONTENT_MISSING
from pants_occlum.sysroot import awaited_contents
from pants_occlum.sysroot.awaited_contents import try_process
from pants_occlum.testing import run_alone

CONTENTS = SimpleNamespace(sysroot=SimpleNamespace(root="/root"), blobs=("blob",))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is called; `execute_process` takes what it comes to from the process, a list."""
    made: list[Any] = []

    async def execute_process(process: list[Any], **_: object) -> Any:
        made.append("execute")
        result = process.pop(0)
        if isinstance(result, Exception):
            raise result
        return SimpleNamespace(exit_code=result)

    async def bring(error: Exception, contents: object) -> None:
        made.append("bring")
        if "gone" not in str(error):
            raise error

    async def look_again(doubt: Any, **_: object) -> None:
        made.append((doubt.root, doubt.blobs))

    for one in (execute_process, bring, look_again):
        monkeypatch.setattr(awaited_contents, one.__name__, one)
    return made


@pytest.mark.parametrize("code", [0, 1])
def test_what_is_there(code: int, calls: list[Any]) -> None:
    result: Any = run_alone(try_process, [code], CONTENTS)
    assert result.exit_code == code and calls == ["execute"]


def test_what_is_lacking_is_brought(calls: list[Any]) -> None:
    result: Any = run_alone(try_process, [ValueError("gone"), 0], CONTENTS)
    assert result.exit_code == 0 and calls == ["execute", "bring", "execute"]


@pytest.mark.parametrize("first", [[], [ValueError("gone")]])
def test_another_content_is_doubted_also_after_some_were_brought(
    first: list[Any], calls: list[Any]
) -> None:
    assert run_alone(try_process, [*first, EXIT_CONTENT_MISSING], CONTENTS) is None
    assert calls[-1] == ("/root", ("blob",))
    assert calls.count("execute") == len(first) + 1


@pytest.mark.parametrize("contents", [CONTENTS, None])
def test_other_errors(contents: object, calls: list[Any]) -> None:
    with pytest.raises(ValueError, match="other"):
        try_process([ValueError("other")], contents).send(None)  # type: ignore[arg-type]
    assert calls == (["execute"] if contents is None else ["execute", "bring"])


def test_a_process_that_takes_nothing_from_a_sysroot(calls: list[Any]) -> None:
    result: Any = run_alone(try_process, [EXIT_CONTENT_MISSING], None)
    assert result.exit_code == EXIT_CONTENT_MISSING and calls == ["execute"]
