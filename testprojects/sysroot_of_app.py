"""A small root file system to build an image from: /bin/app and the one library it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Sysroot:
    """/bin/app needs /lib/libapp.so, which /lib/ld.so stands in for a loader to find."""

    top: Path

    @property
    def library(self) -> Path:
        return self.top / "lib/libapp.so"

    def make_library(self, value: int) -> None:
        """Put another library in place, of the same size and date for each value below 128."""
        new = self.library.with_suffix(".new")
        _compile(f"int value(void) {{ return {value}; }}", new, "-shared", "-Wl,-soname,libapp.so")
        os.utime(new, (1, 1))
        new.replace(self.library)


def make_sysroot(top: Path) -> Sysroot:
    """Compile the program and its library below `top`; skips the test where there is no gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc on this machine")
    (top / "bin").mkdir(parents=True)
    (top / "lib").mkdir()
    sysroot = Sysroot(top)
    sysroot.make_library(1)
    _compile("void _start(void) {}", top / "lib/ld.so", "-shared")
    code = "int value(void); void _start(void) { value(); for (;;); }"
    loader = "-Wl,--dynamic-linker=/lib/ld.so"
    _compile(code, top / "bin/app", str(sysroot.library), "-Wl,-rpath,/lib", loader)
    return sysroot


def _compile(code: str, output: Path, *options: str) -> None:
    command = ["gcc", "-nostdlib", "-fPIC", "-x", "c", "-", "-x", "none", "-o", str(output)]
    subprocess.run([*command, *options], input=code, text=True, check=True)
