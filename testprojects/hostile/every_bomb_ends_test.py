"""Files that once took hours, or all memory, end in the memory and the time that they are given.

Each command that gets one ends with an error that names the bound, or does what is right, and has
no traceback in it.
"""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Callable

import pytest

import occlum_build
from occlum_build.elf import layout
from occlum_build.elf.testing import elf_of, elf_of_versions
from occlum_build.elf.testing_made import made_elf
from occlum_build.packages.testing_debs import Item, deb_of
from occlum_build.sgx.vectors_for_tests import enclave, patched


def _copies(lines: list[str], kind: str = "dirs") -> str:
    return f"targets: [{{target: /, copy: [{{{kind}: [{', '.join(lines)}]}}]}}]"


MEMORY_BYTES = 2 << 30
SECONDS = 120
Build = Callable[[Path], list[str]]


def _bom(text: str) -> Build:
    def build(folder: Path) -> list[str]:
        (folder / "bom.yaml").write_text(text)
        (folder / "loader.config").write_text("")
        return [
            *("copy-bom", "-f", str(folder / "bom.yaml"), "--root", str(folder / "image")),
            *("--loader-config", str(folder / "loader.config"), "--dry-run"),
        ]

    return build


def _with(files: Callable[[Path], str]) -> Build:
    def build(folder: Path) -> list[str]:
        return _bom(files(folder))(folder)

    return build


def _link_bomb(folder: Path) -> str:
    for level in range(10):
        (folder / f"d{level}").mkdir()
        for link in range(10 if level < 9 else 0):
            (folder / f"d{level}/l{link}").symlink_to(folder / f"d{level + 1}")
    return f"targets: [{{target: /bin, copy: [{{from: {folder}, dirs: [d0]}}]}}]"


def _many_link_bombs(folder: Path) -> str:
    """Each copy is below the bound for one."""
    _link_bomb(folder)
    copy = f"copy: [{{from: {folder}, dirs: [d5]}}]"
    return "targets:\n" + "".join(f"- {{target: /t{at}, {copy}}}\n" for at in range(200))


def _link_loops(folder: Path) -> str:
    for link in range(10):
        (folder / f"l{link}").symlink_to(".")
    files = f'files: ["{"*/" * 30}x"]'
    return f"targets: [{{target: /, copy: [{{from: {folder}, {files}}}]}}]"


def _include_bomb(folder: Path) -> str:
    (folder / "l").symlink_to(".")
    (folder / "m").symlink_to(".")
    return "includes: [l/bom.yaml, m/bom.yaml]"


def _exclude(pattern: str) -> Build:
    def files(folder: Path) -> str:
        (folder / "d").mkdir()
        (folder / "d" / ("a" * 250)).touch()
        copy = f"copy: [{{from: {folder}, dirs: [d]}}]"
        return f'excludes: ["{pattern}"]\ntargets: [{{target: /, {copy}}}]'

    return _with(files)


def _copied(content: bytes, configurations: Mapping[str, str] | None = None) -> Build:
    """Copy a program out of a system of its own."""
    texts = {path: text.encode() for path, text in (configurations or {}).items()}
    return _system({"bin/m": content, **texts}, _copies(["/bin/m"], "files"))


def _system(files: Mapping[str, bytes], bom: str, dirs: int = 0) -> Build:
    """Copy out of a system of these files and a loader, with directories for libraries."""

    def build(folder: Path) -> list[str]:
        system = folder / "system"
        for path, data in {**files, "lib64/ld-linux-x86-64.so.2": elf_of([], b"\0")}.items():
            (system / path).parent.mkdir(parents=True, exist_ok=True)
            (system / path).write_bytes(data)
        for at in range(dirs):
            (system / f"d{at:04}").mkdir()
        return [*_bom(bom)(folder), "--sysroot", str(system)]

    return build


def _needing(count: int, runpath: int, first: int = 0) -> bytes:
    names = b"".join(b"lib%07d.so\0" % at for at in range(first, first + count))
    tags = [(layout.DT_NEEDED, 14 * at) for at in range(count)]
    paths = b":".join(b"/d%04d" % at for at in range(runpath)) + b"\0"
    return elf_of([*tags, (layout.DT_RUNPATH, len(names))], names + paths)


def _programs(
    count: int, needed: int, runpath: int, *, are_there: bool = False, of_image: bool = False
) -> Build:
    """Many programs, each below the bound for one, that need different libraries."""
    files = {f"bin/m{at}": _needing(needed, runpath, at * needed) for at in range(count)}
    bom = _copies([f"/bin/m{at}" for at in range(count)], "files")
    if of_image:
        bom = bom.replace(
            "[", "[" + "".join(f"{{target: /d{at:04}}}, " for at in range(runpath)), 1
        )
    return _system(files, bom, runpath if are_there else 0)


def _sign(change: Callable[[bytes], bytes] = bytes, xml: str = "") -> Build:
    def build(folder: Path) -> list[str]:
        (folder / "enclave.so").write_bytes(change(enclave()))
        (folder / "Enclave.xml").write_text(f"<EnclaveConfiguration>{xml}</EnclaveConfiguration>")
        return [
            *("gendata", "--enclave", str(folder / "enclave.so"), "--out", str(folder / "data")),
            *("--config", str(folder / "Enclave.xml")),
        ]

    return build


def _last_load(position: int, value: int) -> Callable[[bytes], bytes]:
    """Put a value into the header of the segment that lies last."""

    def change(data: bytes) -> bytes:
        headers = [at for at in range(64, 64 + 11 * 56, 56) if data[at] == layout.PT_LOAD]
        return patched(data, max(headers) + position, "<Q", value)

    return change


def _package(
    items: Callable[[], Iterable[Item]] = tuple, script: str = "", compression: str = ".xz"
) -> Build:
    def build(folder: Path) -> list[str]:
        scripts = {"postinst": f"#!/bin/sh\n{script}"}
        path = folder / "app.deb"
        path.write_bytes(deb_of(items=items(), scripts=scripts, compression=compression))
        return ["packages", "unpack", str(folder / "root"), "--deb", str(path)]


def _renamed(program: bytes, copies: int, files: Mapping[str, bytes], dirs: int = 0) -> Build:
    """One program that is copied very often, each time by another name."""
    lines = [f"{{name: /bin/m, rename: m{at}}}" for at in range(copies)]
    return _system({"bin/m": program, **files}, _copies(lines, "files"), dirs)


def _needing_all(count: int) -> dict[str, bytes]:
    """Libraries of which each needs all."""
    return {f"d0000/lib{at:07}.so": _needing(count, 1) for at in range(count)}


def _one_directory_of_many_names(programs: int, names: int, dirs: int) -> Build:
    """The libraries in it are for another machine."""
    needed = b"".join(b"l%03d\0" % at for at in range(names))
    tags = [(layout.DT_NEEDED, 5 * at) for at in range(names)]

    def program(first: int) -> bytes:
        paths = (
            b"/L/" + b"/".join(b"ab"[at >> bit & 1 :][:1] for bit in range(15))
            for at in range(first, first + dirs)
        )
        return elf_of([*tags, (layout.DT_RUNPATH, len(needed))], needed + b":".join(paths) + b"\0")

    files = {f"L/l{at:03}": made_elf(machine=3, elf_class=32) for at in range(names)}
    files.update((f"bin/m{at}", program(at * dirs)) for at in range(programs))
    made = _system(files, _copies([f"/bin/m{at}" for at in range(programs)], "files"))

    def build(folder: Path) -> list[str]:
        arguments = made(folder)
        for link in "ab":
            (folder / "system/L" / link).symlink_to(".")
        return arguments

    return build


def _deep_names() -> Iterator[Item]:
    for number in range(200):
        yield Item(f"./{number}/" + "a/" * 2000 + "x")


def _zeros() -> Iterator[Item]:
    for number in range(2):
        yield Item(f"./{number}", bytes(128 << 20))


def _zips(archives: int, members: int, size: int, *, at_one_place: bool = False) -> Build:
    """Archives of ELF files that are nearly all zeros."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(made_elf().ljust(1 << 20, b"\0")) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += (packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)) * (size - 1)
    packed += packer.flush()
    crc = zlib.crc32(made_elf().ljust(1 << 20, b"\0"))
    for _ in range(size - 1):
        crc = zlib.crc32(block, crc)
    sizes = (crc, len(packed), size << 20, 4)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, *sizes, 0) + b"a.so" + packed
    entries = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, *sizes, 0, 0, 0, 0, 0, offset)
        + b"a.so"
        for offset in (0 if at_one_place else at * len(local) for at in range(members))
    )
    data = local * (1 if at_one_place else members)
    end = (0, 0, members, members, len(entries), len(data), 0)
    data += entries + struct.pack("<4s4H2IH", b"PK\5\6", *end)
    files = {f"bin/m{at}": data for at in range(archives)}
    return _system(files, _copies([f"/{path}" for path in files], "files"))


_ALL_INCLUDE_ALL = {f"etc/c/{at}.conf": "include /etc/c/*.conf\n" for at in range(12)} | {
    "etc/ld.so.conf": "include /etc/c/*.conf\n"
}
_CHAIN = {f"etc/c/{at}.conf": f"include {at + 1}.conf\n" for at in range(1500)} | {
    "etc/ld.so.conf": "include c/0.conf\n"
}
_TOO_LARGE = "too large to be measured"

# What it is, and a word of the error; "" where the command is to succeed.
BOMBS: dict[str, tuple[Build, str]] = {
    "200 KB of open braces": (_bom('targets: [{target: "' + "${" * 100_000 + '"}]'), "4,095"),
    "4 MB of open braces": (_bom('targets: [{target: "' + "${" * 2_000_000 + '"}]'), "4,095"),
    "a million variables": (_bom('targets: [{target: "' + "$A" * 1_000_000 + '"}]'), "4,095"),
    "a target of 100,000 parts": (_bom("targets: [{target: " + "/a" * 100_000 + "}]"), "4,095"),
    "60,000 mistakes": (
        _bom("targets:\n" + "".join(f"- tarket{at}: /a\n" for at in range(60_000))),
        "and 119,000 more",
    ),
    "60,000 files that are not there": (
        _bom(_copies([f"/usr/bin/gone{at}" for at in range(60_000)], "files")),
        "and 59,000 more",
    ),
    "190,000 excludes": (
        _bom("excludes:\n" + "".join(f"- a{at}\n" for at in range(190_000)) + "targets: []"),
        "",
    ),
    "190,000 excludes with stars": (
        _bom("excludes:\n" + "".join(f"- a{at}*\n" for at in range(190_000))),
        "more than 65,536 characters together",
    ),
    "an exclude of 4 MB": (_bom(f'excludes: ["{"*a" * 2_000_000}"]'), "more than 4,096 characters"),
    "an exclude of many stars": (_exclude("*a*a*a*a*a*a*a*ab"), ""),
    "an exclude of many double stars": (_exclude("**a**a**a*a**a**a*ab"), ""),
    "a text of 100 KB, 60,000 times": (
        _bom(f"x: &a {'b' * 100_000}\ntargets:\n" + "- target: *a\n" * 60_000),
        "anchors expanded",
    ),
    "100,000 brackets": (_bom("[" * 100_000), "nested deeper"),
    "a billion directories by links": (_with(_link_bomb), "more than 100,000 entries"),
    "200 copies of links to 11,110 entries": (
        _with(_many_link_bombs),
        "links of all copies together",
    ),
    "names without end by links": (_with(_link_loops), "more than 100,000 names"),
    "BOMs without end by links": (_with(_include_bomb), "BOM"),
    "3,000 x 3,000 versions": (_copied(elf_of_versions(3000)), ""),
    "60,000 x 60,000 versions": (_copied(elf_of_versions(60_000)), ""),
    "65,000 names in one string": (
        _copied(elf_of([(layout.DT_NEEDED, at) for at in range(65_000)], b"a" * 65_000 + b"\0")),
        "",
    ),
    "3,000 libraries in 500 directories": (_copied(_needing(3000, 500)), "200,000 places"),
    "10 programs, 500 libraries, 390 directories": (
        _programs(10, 500, 390),
        "and 4,000 more, of which no more than 1,000",
    ),
    "10 programs, and the directories are there": (
        _programs(10, 500, 390, are_there=True),
        "in vain at more than 503,000 places",
    ),
    "10 programs, and the directories are in the image": (
        _programs(10, 500, 390, of_image=True),
        "in vain at more than 503,000 places",
    ),
    "200 programs, 500 libraries, 390 directories": (_programs(200, 500, 390), "99,000 more"),
    "200 programs, and the directories are there": (
        _programs(200, 500, 390, are_there=True),
        "in vain at more than 503,000 places",
    ),
    "3,000 files, 30 libraries, 20 directories": (_programs(3000, 30, 20), "89,000 more"),
    "12 configurations that include all": (_copied(_needing(1, 1), _ALL_INCLUDE_ALL), "is missing"),
    "1,500 configurations in a row": (_copied(_needing(1, 1), _CHAIN), "is missing"),
    "1,000 copies of a program whose 50 libraries need all": (
        _renamed(_needing(50, 1), 1000, _needing_all(50)),
        "need more than 2,000,000 libraries",
    ),
    "10 programs, and one directory of 18,000 names": (
        _one_directory_of_many_names(10, 100, 1800),
        "is missing",
    ),
    "50 zip archives of 400 entries at one place": (_zips(50, 400, 20, at_one_place=True), ""),
    "a segment of 32 GiB": (_sign(_last_load(40, 32 << 30)), _TOO_LARGE),
    "a segment aligned to 2^63": (_sign(_last_load(48, 1 << 63)), "more than 0x40000000"),
    "a heap of 1 TiB": (_sign(xml=f"<HeapMaxSize>{1 << 40:#x}</HeapMaxSize>"), _TOO_LARGE),
    "a package of directories alone": (_package(_deep_names), "names of more than 64 MiB"),
    "256 MiB of zeros in a package of 30 KB": (_package(_zeros, compression=".zst"), ""),
    "a script of a billion commands": (
        _package(script="for i in 1 2 3 4 5 6 7 8; do " * 10 + "x\n" + "done\n" * 10),
        "",
    ),
    "a script that doubles a value": (_package(script="x=aa\n" + "x=$x$x\n" * 90), ""),
    "a million threads": (_sign(xml="<TCSNum>1000000</TCSNum>"), _TOO_LARGE),
}


_ended: set[str] = set()


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_ends(name: str, tmp_path: Path) -> None:
    build, error = BOMBS[name]
    library = Path(occlum_build.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-m", "occlum_build.cli.main", *build(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
        check=False,
    )
    assert "Traceback" not in result.stderr
    assert error in result.stderr
    assert bool(result.returncode) == bool(error)
    assert len(result.stderr) < 2 << 20
    _ended.add(name)


def test_all_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("bombs that end", len(_ended))
    assert _ended == {*BOMBS}
