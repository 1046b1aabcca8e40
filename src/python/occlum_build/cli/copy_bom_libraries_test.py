"""`copy-bom` of programs made here, which are run in the image where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from occlum_build.cli.main import main

LOADER, LIBC = "ld-linux-x86-64.so.2", "libc.so.6"
HOST = Path("/lib/x86_64-linux-gnu")
BOM = "targets:\n- target: /bin\n  copy: [{files: [/usr/local/bin/m]}]\n"
CACHE = "- target: /etc\n  copy: [{files: [/etc/ld.so.cache]}]\n"

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.skipif(not (HOST / LOADER).exists(), reason="the machine is no Debian for x86-64"),
]


class Machine:
    """A small Debian in `root`, whose /etc/ld.so.conf names /usr/local/lib, and an instance."""

    def __init__(self, top: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.top, self.root, self.image = top, top / "root", top / "instance/image"
        self.capfd = capfd
        for path in ("usr/lib/x86_64-linux-gnu", "lib64", "usr/local/lib", "usr/local/bin", "etc"):
            (self.root / path).mkdir(parents=True)
        (self.root / "lib").symlink_to("usr/lib")
        for name in (LOADER, LIBC):
            shutil.copy(HOST / name, self.root / "usr/lib/x86_64-linux-gnu")
        (self.root / "lib64" / LOADER).symlink_to(f"/lib/x86_64-linux-gnu/{LOADER}")
        (self.root / "etc/ld.so.conf").write_text("/usr/local/lib\n/lib/x86_64-linux-gnu\n")
        (top / "instance").mkdir()

    def library(self, path: str, number: int) -> str:
        return self._make(path, f"int f() {{ return {number}; }}", "-shared", "-fPIC")

    def program(self, *options: str) -> str:
        return self._make("root/usr/local/bin/m", "int f(); int main() { return f(); }", *options)

    def _make(self, path: str, text: str, *options: str) -> str:
        out = self.top / path
        out.parent.mkdir(parents=True, exist_ok=True)
        soname = f"-Wl,-soname,{out.name}" if "-shared" in options else "-Wl,--no-as-needed"
        command = ["gcc", "-x", "c", "-", "-x", "none", "-o", str(out), soname, *options]
        subprocess.run(command, input=text.encode(), check=True)
        return str(out)

    def copy_bom(self, bom: str, *options: str) -> tuple[int, str]:
        """Exit code and standard error."""
        shutil.rmtree(self.image, ignore_errors=True)
        (self.top / "bom.yaml").write_text(bom)
        arguments = ["-f", str(self.top / "bom.yaml"), "--root", str(self.image)]
        code = main(["copy-bom", *arguments, "--sysroot", str(self.root), *options])
        return code, self.capfd.readouterr().err

    def run(self, root: Path, program: str) -> int:
        if os.geteuid() != 0:
            pytest.skip("only root may run a program in another root directory")
        return subprocess.run(["chroot", str(root), program]).returncode

    def ldconfig(self) -> None:
        subprocess.run(["/sbin/ldconfig", "-r", str(self.root)], check=True)


@pytest.fixture
def machine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path, capfd)


@pytest.mark.parametrize("is_shadowing", [False, True])
def test_a_library_that_ld_so_conf_finds(machine: Machine, is_shadowing: bool) -> None:
    machine.program(machine.library("root/usr/local/lib/libx.so.1", 7))
    if is_shadowing:
        machine.library("root/usr/lib/x86_64-linux-gnu/libx.so.1", 8)
    code, told = machine.copy_bom(BOM)
    assert code == 0, told
    assert told.count("warning:") == 1  # of the loader config
    assert not (machine.image / "usr/local/lib").exists()
    machine.ldconfig()
    assert machine.run(machine.root, "/usr/local/bin/m") == 7
    assert machine.run(machine.image, "/bin/m") == 7


def test_a_library_that_the_cache_in_the_image_finds(machine: Machine) -> None:
    machine.program(machine.library("root/usr/local/lib/libx.so.1", 7))
    machine.ldconfig()
    code, told = machine.copy_bom(BOM + CACHE)
    assert code == 0, told
    assert (machine.image / "usr/local/lib/libx.so.1").exists()
    assert machine.run(machine.image, "/bin/m") == 7


def test_a_cache_that_does_not_know_the_library(machine: Machine) -> None:
    machine.ldconfig()
    machine.program(machine.library("root/usr/local/lib/libx.so.1", 7))
    code, told = machine.copy_bom(BOM + CACHE)
    assert code == 248
    assert "library libx.so.1, needed by /bin/m, is not where the image's loader looks" in told
    assert not machine.image.exists()
    code, told = machine.copy_bom(BOM + CACHE, "--allow", "library-unreachable: LD_LIBRARY_PATH")
    assert code == 0
    assert machine.run(machine.image, "/bin/m") == 127


def test_a_library_that_the_image_has_elsewhere(machine: Machine) -> None:
    machine.program(machine.library("instance/build/libx.so.1", 7))
    layout = "- target: /opt/my/lib\n  copy: [{files: [build/libx.so.1]}]\n"
    code, told = machine.copy_bom(BOM + layout)
    assert code == 0
    assert "warning: " in told
    assert "is in the image at /opt/my/lib/libx.so.1" in told
    assert machine.run(machine.image, "/bin/m") == 127


def test_ld_library_path_of_the_caller(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    library = machine.library("instance/build/libx.so.1", 7)
    machine.program(library)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/none::{os.path.dirname(library)}")
    code, told = machine.copy_bom(BOM)
    assert code == 248
    assert f"note: LD_LIBRARY_PATH leads to {library}, but plays no part" in told
    monkeypatch.setenv("LD_LIBRARY_PATH", "/none")
    assert "LD_LIBRARY_PATH" not in machine.copy_bom(BOM)[1]


def test_a_version_that_the_image_lacks(machine: Machine) -> None:
    """The program was linked with a newer library than the system has."""
    names = {"old": "ONE {f;};", "new": "ONE {}; TWO {f;};"}
    for name, text in names.items():
        (machine.top / name).write_text(text)
    path = "root/usr/lib/x86_64-linux-gnu/libx.so.1"

    def make(name: str) -> str:
        script = f"-Wl,--version-script={machine.top / name}"
        return machine._make(path, "int f() { return 7; }", "-shared", "-fPIC", script)

    machine.program(make("new"))
    make("old")
    code, told = machine.copy_bom(BOM)
    assert code == 248
    assert "/lib/x86_64-linux-gnu/libx.so.1 lacks TWO, needed by /bin/m" in told
    assert machine.copy_bom(BOM, "--allow", "library-version")[0] == 0
    assert machine.run(machine.image, "/bin/m") == 1
    in_directory = "targets:\n- target: /\n  copy: [{dirs: [/usr/local/bin]}]\n"
    code, told = machine.copy_bom(in_directory)
    assert code == 0
    assert "lacks TWO, needed by /usr/local/bin/m" in told
