"""Of what ELF files name, nothing comes into an image but loaders and libraries for their machine.

A path in a program, a library, an archive or a loader configuration may name any file of the
host, as a key. None of them ever gets into the image, and what is not followed is told.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostile.injected import Injector, Ran, command
from occlum_build.elf.layout import DT_AUXILIARY, DT_FILTER, DT_NEEDED, DT_RPATH, DT_RUNPATH
from occlum_build.elf.testing_made import EM_386, EM_AARCH64, ET_CORE, ET_EXEC, ET_REL, made_elf

SECRET = b"-----BEGIN PRIVATE KEY-----\nnobody's\n"
KEY = "/keys/release.pem"
LOADER = "/lib64/ld-linux-x86-64.so.2"
LOADER_MARK = b"the loader itself"
_tried: list[str] = []


@dataclass
class System:
    """A sysroot with a key and a loader, and a project with a directory `tree`."""

    top: Path
    injector: Injector

    @property
    def image(self) -> Path:
        return self.top / "ws/image"

    def file(self, path: str, content: bytes) -> Path:
        file = self.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def place(self, path: str) -> Path:
        return self.top / "root" / path[1:] if path.startswith("/") else self.top / "ws" / path

    def copy(self, item: str, *options: str) -> Ran:
        self.file("bom.yaml", f"targets: [{{target: /bin, copy: [{{{item}}}]}}]".encode())
        ran = self.injector.run(
            command(
                *("copy-bom", "-f", "bom.yaml", "--root", "image", "--sysroot", "../root"),
                *options,
                cwd=self.top / "ws",
            )
        )
        assert not ran.has_traceback, ran
        _tried.append(item)
        return ran

    def copied(self) -> dict[str, bytes]:
        """The files of the image; the key must be in none of them."""
        found = {
            str(path.relative_to(self.image)): path.read_bytes()
            for path in self.image.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        assert not [path for path, content in found.items() if SECRET in content]
        return found


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(["occlum_build.cli.copy_bom", "occlum_build.elf.archive"]) as one:
        yield one


@pytest.fixture
def system(tmp_path: Path, injector: Injector) -> System:
    one = System(tmp_path, injector)
    one.file(KEY, SECRET)
    one.file(LOADER, made_elf() + LOADER_MARK)
    one.file("tree/readme", b"")
    return one


def named(path: str) -> bytes:
    return path.encode() + b"\0"


def refused(system: System, item: str, reason: str, *options: str) -> None:
    """Nothing is written, and one error names the program, the path and the reason."""
    ran = system.copy(item, *options)
    assert ran.code == 248, ran
    assert [line for line in ran.err.splitlines() if line.startswith("error: ")] != []
    assert ran.err.count("error: ") == 1, ran
    assert reason in ran.err, ran
    assert "hint: " in ran.err
    assert not system.image.exists()


WAYS = ["files: [tree/app]", "dirs: [tree]", "dirs: [tree/]", "files: ['tree/a*']"]
SPELLINGS = [KEY, f"/{KEY}", f"/.{KEY}", f"/keys/..{KEY}", f"/../../..{KEY}", f"/keys/./{KEY[6:]}"]


@pytest.mark.parametrize("item", WAYS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_file_that_a_program_names_as_its_loader(
    system: System, item: str, spelling: str
) -> None:
    for tags in ((), ((DT_NEEDED, b"libc.so.6"),)):
        system.file("tree/app", made_elf(named(spelling), tags=tags))
        refused(system, item, f"needs the loader {spelling}, which is no ELF file")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.rename(path.with_name("real"))
        path.symlink_to(target)

    return link


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("key", SECRET)


def _content(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


NO_ELF = "is no ELF file"
OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (_content(b""), NO_ELF),
    "a script": (_content(b"#!/bin/sh\n" + SECRET), NO_ELF),
    "an archive": (_zip, NO_ELF),
    "cut": (_content(made_elf()[:60] + SECRET), NO_ELF),
    "the magic number alone": (_content(b"\x7fELF" + SECRET), NO_ELF),
    "an object file": (_content(made_elf(kind=ET_REL) + SECRET), NO_ELF),
    "a core dump": (_content(made_elf(kind=ET_CORE) + SECRET), NO_ELF),
    "for 32 bit": (_content(made_elf(machine=EM_386, elf_class=32) + SECRET), "the wrong class"),
    "for ARM": (_content(made_elf(machine=EM_AARCH64) + SECRET), "wrong machine (EM_AARCH64)"),
    "a program": (_content(made_elf(named(LOADER)) + SECRET), "is no loader, but a program"),
    "a fifo": (_fifo, "is a fifo"),
    "a socket": (_socket, "is a device or socket"),
    "a directory": (_directory, "is a directory"),
    "a link to a key": (_link("real"), NO_ELF),
    "an absolute link to a key": (_link("/keys/real"), NO_ELF),
    "a link to a directory": (_link("."), "is a directory"),
    "a dangling link": (_link("gone"), "does not exist"),
    "a link to itself": (_link("release.pem"), "does not exist"),
    "gone": (Path.unlink, "does not exist"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_else_stands_there(system: System, name: str) -> None:
    change, reason = OTHERS[name]
    change(system.place(KEY))
    system.file("tree/app", made_elf(named(KEY)))
    refused(system, "files: [tree/app]", reason)


@pytest.mark.parametrize(
    ("path", "size", "told"),
    [
        (b"\0", None, "the path of its loader has 1 bytes, not 2 to 4096"),
        (b"\0\0", None, "the path of its loader is empty"),
        (KEY.encode(), None, "the path of its loader has no end"),
        (named(KEY), 5, "the path of its loader has no end"),
        (b"/" + b"a" * (1 << 20) + b"\0", None, "the path of its loader has 1048578 bytes"),
        (b"/" + b"a" * 4096 + b"\0", None, "the path of its loader has 4098 bytes"),
        (named(KEY), 1 << 40, "the path of its loader has 1099511627776 bytes"),
        (named(KEY), 4000, "the path of its loader lies outside the file"),
        (b"/\xff\xfe\0", None, "a name is not UTF-8"),
    ],
)
def test_a_path_that_no_kernel_takes(
    system: System, path: bytes, size: int | None, told: str
) -> None:
    """Such a file is no program: it is copied as data, and told of."""
    content = made_elf(path, interpreter_size=size)
    system.file("tree/app", content)
    for item in WAYS:
        ran = system.copy(item)
        assert ran.code == 0, ran
        assert f"looks like an ELF file but is none: {told}" in ran.err
        assert SECRET not in b"".join(system.copied().values())
        shutil.rmtree(system.image)


@pytest.mark.parametrize("path", ["keys/release.pem", "../keys/release.pem", "release.pem", "."])
def test_a_path_that_is_not_absolute(system: System, path: str) -> None:
    system.file("keys/release.pem", SECRET)
    system.file("tree/app", made_elf(named(path)))
    refused(system, "files: [tree/app]", f"loader {path}, which is no absolute path")
    ran = system.copy("dirs: [tree]")
    assert ran.code == 0, ran
    assert "warning: " in ran.err
    system.copied()


@pytest.mark.parametrize(
    "path", [LOADER, f"/{LOADER}", "/lib64/../lib64/ld-linux-x86-64.so.2", f"/.{LOADER}"]
)
@pytest.mark.parametrize("kind", [ET_EXEC, 3])
def test_a_loader_comes_along(system: System, path: str, kind: int) -> None:
    system.file(LOADER, made_elf(kind=kind) + LOADER_MARK)
    system.file("tree/app", made_elf(named(path)))
    ran = system.copy("files: [tree/app]")
    assert ran.code == 0, ran
    assert system.copied()[LOADER[1:]].endswith(LOADER_MARK)


BY_NAME = [
    ((DT_NEEDED, KEY.encode()),),
    ((DT_NEEDED, b"release.pem"), (DT_RUNPATH, b"/keys")),
    ((DT_NEEDED, b"release.pem"), (DT_RPATH, b"/keys")),
    ((DT_NEEDED, b"release.pem"), (DT_RUNPATH, b"$ORIGIN/../../../root/keys")),
    ((DT_FILTER, b"release.pem"), (DT_RUNPATH, b"/keys")),
    ((DT_AUXILIARY, b"release.pem"), (DT_RUNPATH, b"/keys")),
    ((DT_NEEDED, b"../keys/release.pem"), (DT_RUNPATH, b"/keys")),
]


@pytest.mark.parametrize("tags", BY_NAME)
@pytest.mark.parametrize("content", ["text", "for ARM", "for 32 bit", "cut"])
def test_a_file_that_is_named_as_a_library(
    system: System, tags: tuple[tuple[int, bytes], ...], content: str
) -> None:
    if content != "text":
        OTHERS[content][0](system.place(KEY))
    system.file("tree/app", made_elf(named(LOADER), tags=tags))
    for item in WAYS:
        ran = system.copy(item)
        assert ran.code in (0, 248), ran
        if ran.code == 0:
            assert not any(path.endswith("release.pem") for path in system.copied()), ran
            shutil.rmtree(system.image)


@pytest.mark.parametrize("name", ["app.whl", "app.jar", "app.pex"])
def test_a_program_in_an_archive(system: System, name: str) -> None:
    """Its loader's name is that of glibc, as members for another libc are passed over."""
    system.file("/keys/ld-linux-x86-64.so.2", SECRET)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, path in enumerate((KEY, "/keys/ld-linux-x86-64.so.2")):
            archive.writestr(f"bin/app{number}", made_elf(named(path)))
    system.file(f"tree/{name}", packed.getvalue())
    system.file("tree/real", made_elf(named(LOADER)))
    ran = system.copy(f"files: [tree/{name}, tree/real]")
    assert ran.code == 0, ran
    assert "/keys/ld-linux-x86-64.so.2, which is no ELF file" in ran.err
    assert sorted(system.copied()) == [f"bin/{name}", "bin/real", LOADER[1:]]


def test_a_loader_configuration_that_names_a_key(system: System) -> None:
    system.file("config", b"/keys/ld-linux-x86-64.so.2 /keys\n")
    system.file("/keys/ld-linux-x86-64.so.2", SECRET)
    system.file("tree/app", made_elf(named(LOADER)))
    reason = "which the loader config names for /lib64/ld-linux-x86-64.so.2 and which is no ELF"
    refused(system, "files: [tree/app]", reason, "--loader-config", "config")


def test_a_thousand_programs_are_one_error(system: System) -> None:
    for number in range(1000):
        system.file(f"tree/app{number}", made_elf(named(KEY)))
    refused(system, "dirs: [tree]", "1000 files, ")


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("tried", f"{len(_tried)} copies of ELF files that name other files")
    assert len(_tried) > 200
