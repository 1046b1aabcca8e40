"""Archives of a sysroot that a lock file pins, also one that does not tell of archives."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from pants_occlum.testing import entries
from pants_occlum.testing_lock import LockProject

REQUIRE = ("--occlum-lock=require",)
LIBRARY = "/opt/libown.so"


@pytest.fixture
def project(tmp_path: Path) -> LockProject:
    """An image of a jar, whose one ELF file needs LIBRARY."""
    project = LockProject(tmp_path)
    base = ["gcc", "-x", "c", "-", "-x", "none", "-nostdlib", "-shared", "-Wl,--no-as-needed"]
    own = project.host(LIBRARY[1:])
    command = [*base, f"-Wl,-soname,{own.name}", "-o", str(own)]
    subprocess.run(command, input=b"int f;", check=True)
    native = tmp_path / "libnative.so"
    command = [*base, "-o", str(native), str(own), "-Wl,-rpath,/opt"]
    subprocess.run(command, input=b"int g;", check=True)
    with zipfile.ZipFile(project.host("srv/app.jar"), "w") as jar:
        jar.write(native, "native/libnative.so")
    project.host("srv/app.txt", b"text" * 100)
    project.copy("files: [/srv/app.jar, /srv/app.txt]")
    project.pin()
    return project


def make_old(project: LockProject) -> list[str]:
    """Make the lock file one of schema 1, which told of ELF files alone; its lines."""
    lines = project.lock.read_text().replace('{"schema":2}', '{"schema":1}').splitlines(True)
    old = [line.replace('"elf":true,', "") if "/srv/app.jar" in line else line for line in lines]
    assert old != lines
    project.lock.write_text("".join(old))
    return old


def test_archive_of_an_old_lock_file_is_read(
    project: LockProject, caplog: pytest.LogCaptureFixture
) -> None:
    before = entries(project.package("app:image", options=REQUIRE))
    assert LIBRARY in before
    make_old(project)
    assert entries(project.package("app:image", options=REQUIRE)) == before
    assert "is missing" not in caplog.text


def test_what_an_old_lock_file_does_not_pin_is_told(
    project: LockProject, caplog: pytest.LogCaptureFixture
) -> None:
    old = make_old(project)
    project.lock.write_text("".join(line for line in old if '"path":"/opt' not in line))
    assert LIBRARY not in entries(project.package("app:image", options=REQUIRE))
    assert "/srv/app.jar: library libown.so is missing" in caplog.text
    assert (
        "only what app/host.lock pins counts; pin what is there: "
        "pants generate-lockfiles --resolve=app:host" in caplog.text
    )
