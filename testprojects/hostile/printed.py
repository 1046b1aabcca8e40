"""Runs a command of the library in a child of the test, and looks at what it printed."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FORGED = "error: FORGED"
# Python's own ways to show a byte that is not UTF-8.
_OTHER_ESCAPE = re.compile(r"\\udc[89a-f]|\\\\xff|b'.*\\x[89a-f]")


@dataclass(frozen=True)
class Printed:
    """How a command ended: exit code, and the bytes of both streams."""

    code: int
    out: bytes
    err: bytes

    def check(self) -> None:
        """Nothing in it moves a cursor, is unseen, forges a line or is a traceback."""
        for text in (self.out.decode("utf-8"), self.err.decode("utf-8")):
            unseen = {one for one in text if one != "\n" and _moves_or_is_unseen(one)}
            assert not unseen, f"{sorted(map(ascii, unseen))} in {text!r}"
            assert "Traceback" not in text, text
            assert not _OTHER_ESCAPE.search(text), text
            assert not [line for line in text.split("\n") if line.lstrip().startswith(FORGED)], text
        assert self.code in range(256), self


def _moves_or_is_unseen(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def run(command: Callable[[], int], directory: Path, env: Mapping[str, str]) -> Printed:
    """Call a command, as if it were the program, in a directory with more in its environment."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os._exit(_in_child(command, directory, env, out.fileno(), err.fileno()))
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return Printed(code, out.read(), err.read())


def _in_child(
    command: Callable[[], int], directory: Path, env: Mapping[str, str], out: int, err: int
) -> int:
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", write_through=True)
    try:
        os.chdir(directory)
        os.environ.update(env)
        code = command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    return code
