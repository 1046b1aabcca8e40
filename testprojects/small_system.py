"""A small system of its own for `copy-bom --sysroot`, with this machine's loader and libc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from system_tools import run_tool

LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class Told:
    """How a run of the command line ended: exit code and what it printed."""

    code: int
    out: str
    err: str

    def lines(self, severity: str) -> list[str]:
        """The messages of a severity, without hints and details."""
        start = f"{severity}: "
        return [line[len(start) :] for line in self.err.splitlines() if line.startswith(start)]


@dataclass(frozen=True)
class SmallSystem:
    """`root` is the system, `work` a directory beside it, where the instance of a BOM is."""

    root: Path
    work: Path

    @classmethod
    def make(cls, top: Path) -> SmallSystem:
        """A system in an empty directory with the links of a merged /usr."""
        system = cls(top / "root", top / "work")
        (system.root / LIBRARIES).mkdir(parents=True)
        (system.work / "inst").mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (system.root / "usr" / name).mkdir(exist_ok=True)
            (system.root / name).symlink_to(f"usr/{name}")
        libc = run_tool("gcc", "-print-file-name=libc.so.6").strip()
        shutil.copy(os.path.realpath(LOADER), system.root / LOADER[1:])
        shutil.copy(os.path.realpath(libc), system.root / LIBRARIES / "libc.so.6")
        return system

    def file(self, path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        """Write a file at an absolute path of the system, or at a relative one of `work`."""
        file = self.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
        return file

    def link(self, path: str, target: str) -> None:
        file = self.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)

    def place(self, path: str) -> Path:
        return self.root / path[1:] if path.startswith("/") else self.work / path

    def library(self, path: str, *flags: str, code: str = "int f(void){return 1;}") -> Path:
        """Make a shared object whose soname is its name."""
        soname = f"-Wl,-soname,{os.path.basename(path)}"
        return self.compiled(path, code, "-shared", "-fPIC", "-Wl,--no-as-needed", soname, *flags)

    def program(self, path: str, *flags: str, code: str = "int main(void){return 0;}") -> Path:
        """Make a program; libraries among the flags are needed by it."""
        return self.compiled(path, code, "-Wl,--no-as-needed", *flags)

    def compiled(self, path: str, code: str, *flags: str) -> Path:
        source = self.file("made.c", code)
        file = self.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        run_tool("gcc", "-x", "c", str(source), "-x", "none", "-o", str(file), *flags)
        return file

    def copy_bom(self, bom: str, *options: str, env: dict[str, str] | None = None) -> Told:
        """Run `copy-bom` of a BOM text; the image is `work/inst/image`."""
        self.file("bom.yaml", bom)
        arguments = ("copy-bom", "-f", "../bom.yaml", "--root", "image")
        return self.run(*arguments, "--sysroot", str(self.root), *options, env=env)

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Told:
        """Run the command line in `work/inst`."""
        done = subprocess.run(
            [sys.executable, "-B", "-m", "occlum_build.cli.main", *arguments],
            cwd=self.work / "inst",
            env={
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                "LANG": "C.UTF-8",
                **(env or {}),
            },
            capture_output=True,
            text=True,
        )
        return Told(done.returncode, done.stdout, done.stderr)

    @property
    def image(self) -> Path:
        return self.work / "inst/image"

    def starts(self, program: str) -> str:
        """What the image's own loader says of a program: "" where it finds all libraries."""
        done = subprocess.run(
            ["chroot", str(self.image), LOADER, "--list", program], capture_output=True, text=True
        )
        return done.stderr if done.returncode else ""
