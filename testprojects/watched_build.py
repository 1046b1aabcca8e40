"""A library that is preloaded into all processes of a build, and what it wrote down of them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CODE = Path("testprojects/reproducible/watch.c")
LAUNCHER, TOOL = "./pants", ".py/python"


@dataclass(frozen=True)
class Seen:
    """What one process saw; its program and the first argument name it."""

    program: str
    argument: str
    user: str
    umask: str
    cpus: str
    home: str
    lang: str
    time_zone: str
    hash_seed: str


@dataclass(frozen=True)
class Watch:
    """The compiled library, and the file that it writes to."""

    library: Path
    log: Path

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to be watched, with all that it starts."""
        return {"LD_PRELOAD": str(self.library)}

    def seen(self) -> list[Seen]:
        """What each process saw that has started, in their order."""
        return [Seen(*row) for row in self._rows("seen")]

    def launcher(self) -> Seen:
        """What ./pants saw, which the user starts."""
        return next(one for one in self.seen() if one.argument == LAUNCHER)

    def turned_round(self) -> set[str]:
        """The programs that read a directory in the opposite order."""
        return {program for program, _ in self._rows("turned")}

    def _rows(self, kind: str) -> list[list[str]]:
        lines = self.log.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines]
        return [row[1:] for row in rows if row[0] == kind]


def make_watch(folder: Path, *, turn_round: bool) -> Watch:
    """Compile the library into a folder; with `turn_round` it also reverses directories.

    The folder's path has no space and no colon, which separate the libraries in LD_PRELOAD.
    """
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc on this machine")
    watch = Watch(folder / "watch.so", folder / "log")
    watch.log.touch()
    watch.log.chmod(0o666)  # more than one user may write to it
    defines = [f'-DLOG="{watch.log}"', f'-DSELF="{watch.library}"']
    if turn_round:
        defines.append("-DTURN_ROUND")
    options = ("-std=gnu11", "-Wall", "-Werror", "-O2", "-shared", "-fPIC")
    command = ["gcc", *options, *defines, str(CODE), "-o", str(watch.library), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return watch
