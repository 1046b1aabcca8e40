"""A small sysroot, a project and an image for tests of `copy-bom` runs that follow one another."""

from __future__ import annotations

import os
import posix
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from occlum_build.cli.main import main
from occlum_build.cli.memo import find
from occlum_build.cli.memo.find import OPTION
from occlum_build.elf.layout import DT_NEEDED, DT_RUNPATH
from occlum_build.elf.testing_made import made_elf

LOADER = b"/lib64/ld-linux-x86-64.so.2\0"
OLD_NS = 1_600_000_000_000_000_000
BOM = """\
includes: [more.yaml]
excludes: ["left-out"]
targets:
- target: /app
  mkdirs: [tmp]
  createlinks: [{src: conf/a, linkname: start}]
  copy:
  - {from: src, files: [run], dirs: [conf]}
- target: /${NAME}
  copy: [{files: [/usr/bin/app]}]
"""
MORE = "targets:\n- target: /more\n  copy: [{from: src, files: [a.txt]}]\n"


class Result(NamedTuple):
    """What a run came to, without its paths and what has another time each time."""

    code: int
    out: str
    err: str
    image: dict[str, str]


class Workspace:
    """A sysroot, sources, BOMs and include directories in `top`.

    What changes it returns it, so that changes can follow one another in one expression.
    """

    def __init__(
        self, top: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.top, self.image, self._capfd = top, top / "ws/image", capfd
        self._monkeypatch, self.cache = monkeypatch, top.with_name("cache")
        self.options: list[str] = []
        self.root, self.sysroot = "image", "../host"
        self.was_known = False  # the last run came of its memo
        for path in ("host/usr/lib", "host/lib", "host/lib64", "host/etc", "early", "late"):
            (top / path).mkdir(parents=True)
        self.write("host/usr/bin/app", made_elf(LOADER, tags=[(DT_NEEDED, b"libx.so.1")]))
        self.write("host/usr/bin/other", made_elf(LOADER, tags=[(DT_RUNPATH, b"/lib")]))
        self.write("host/usr/lib/libx.so.1", made_elf(tags=[(DT_NEEDED, b"liby.so.1")]))
        self.write("host/usr/lib/real/liby.so.1.2", made_elf())
        self.link("host/usr/lib/liby.so.1", "real/liby.so.1.2")
        self.write("host/lib64/ld-linux-x86-64.so.2", made_elf())
        self.write("host/etc/ld.so.conf", "/opt/lib\n")
        self.write("ws/src/run", "#!/bin/sh\n")
        for name in ("conf/a", "conf/sub/b", "conf/left-out", "a.txt"):
            self.write(f"ws/src/{name}", name)
        self.link("ws/src/conf/link", "a")
        self.write("bom.yaml", BOM)
        self.write("late/more.yaml", MORE)

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> Workspace:
        """A file with an old mtime, whenever it is written."""
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return self.utime(path, OLD_NS)

    def link(self, path: str, target: str) -> Workspace:
        (self.top / path).unlink(missing_ok=True)
        (self.top / path).symlink_to(target)
        return self

    def mkdir(self, path: str) -> Workspace:
        (self.top / path).mkdir()
        return self

    def chmod(self, path: str, mode: int) -> Workspace:
        (self.top / path).chmod(mode)
        return self

    def utime(self, path: str, time_ns: int) -> Workspace:
        os.utime(self.top / path, ns=(time_ns, time_ns))
        return self

    def rename(self, path: str, new: str) -> Workspace:
        (self.top / path).rename(self.top / new)
        return self

    def copy(self, path: str, new: str) -> Workspace:
        shutil.copytree(self.top / path, self.top / new, symlinks=True)
        return self

    def remove(self, path: str) -> Workspace:
        whole = self.top / path
        if whole.is_dir() and not whole.is_symlink():
            shutil.rmtree(whole)
        else:
            whole.unlink()
        return self

    def setenv(self, name: str, value: str) -> Workspace:
        """Of this process, as one that is started with it has it."""
        self._monkeypatch.setenv(name, value)
        self._monkeypatch.setitem(posix.environ, name.encode(), value.encode())
        return self

    def run(self, *options: str) -> Result:
        """One run as the command has it."""
        time.sleep(0.02)  # of an earlier tick is what was written before
        os.chdir(self.top / "ws")
        arguments = self.arguments(*options)
        find.memo_file = ""
        try:
            code = find.attempt(arguments)
            self.was_known = code is not None
            code = main(arguments[1:]) if code is None else code
        finally:
            find.memo_file = ""
        out, err = self._capfd.readouterr()
        top = str(self.top)
        return Result(code, out.replace(top, "TOP"), err.replace(top, "TOP"), self.tree())

    def arguments(self, *options: str) -> list[str]:
        """The command and its arguments."""
        roots = ["-f", "../bom.yaml", "--root", self.root, "--sysroot", self.sysroot]
        include = ["--include-dir", "../early", "../late"]
        return ["occlum-build", "copy-bom", *roots, *include, *self.options, *options]

    def tree(self) -> dict[str, str]:
        """The image: path -> type and mode, mtime of a file, content or target."""
        found = {}
        for path in sorted([self.image, *self.image.rglob("*")] if self.image.exists() else []):
            status = path.lstat()
            text = stat.filemode(status.st_mode)
            if path.is_symlink():
                text += f" -> {os.readlink(path)}"
            elif path.is_file():
                text += f" {status.st_mtime_ns} {path.read_bytes()!r}"
            found[str(path.relative_to(self.image))] = text
        return found


Change = Callable[[Workspace], Workspace]


def twice(ws: Workspace, runs: Callable[..., list[object]]) -> bool:
    """Are some runs the same with a memo as without one, each from the same begin?"""
    before = ws.top.with_name("before")
    shutil.copytree(ws.top, before, symlinks=True)
    with_memo = runs()
    shutil.rmtree(ws.top)
    shutil.copytree(before, ws.top, symlinks=True)
    return with_memo == runs(OPTION)
