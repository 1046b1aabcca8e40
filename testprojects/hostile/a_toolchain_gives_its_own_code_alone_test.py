"""Whatever stands in a toolchain, an enclave gets the toolchain's own code, or there is an error.

Whoever made it may be after files of the host: links lead nowhere but within it, and what is taken
as code is ELF for x86-64. Each file that a verb takes is tried with each kind of wrong one, in a
directory and in an archive; the last test records how many were tried.
"""

from __future__ import annotations

import os
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.obstacles import Ended, run
from occlum_build.elf.testing_made import EM_386, EM_AARCH64, ET_CORE, ET_REL, made_elf
from occlum_build.errors import OcclumError
from occlum_build.occlum.archive import unpack_toolchain
from toolchain.make_toolchain import make_toolchain

OCCLUM = "opt/occlum"
LIBS = f"{OCCLUM}/build/lib"
LIBOS, PAL = f"{LIBS}/libocclum-libos.so.0.31.0", f"{LIBS}/libocclum-pal.so.0.31.0"
INIT, RUN = f"{OCCLUM}/build/bin/init", f"{OCCLUM}/build/bin/occlum-run"
TEMPLATE, KEY = f"{OCCLUM}/etc/template/Occlum.json", f"{OCCLUM}/etc/template/Enclave.pem"
HEADER = f"{OCCLUM}/include/occlum_version.h"
MUSL = "usr/local/occlum/x86_64-linux-musl/lib"
LOADER = "lib/ld-musl-x86_64.so.1"
LIBRARIES = [f"{MUSL}/{name}" for name in ("libc.so", "libstdc++.so.6", "libgcc_s.so.1")]
GLIBC = [f"{OCCLUM}/glibc/lib/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libgcc_s.so.1"]
CODE = {"new": [INIT, LOADER, *LIBRARIES, *GLIBC], "build": [LIBOS, PAL, RUN]}
OTHERS = {"new": [TEMPLATE, HEADER], "build": [KEY, HEADER]}
SECRET = "-----BEGIN PRIVATE KEY-----\nnobody's, and as long as one that is somebody's\n"
ROLES = {HEADER: "header", TEMPLATE: "template", LIBOS: "libos", PAL: "pal", KEY: "sign-key"}
NEW, BUILD = ["new", "i"], ["build"]
_tried: list[str] = []


def _to(target: str) -> Callable[[Path], None]:
    """A link, `{top}` is above the toolchain and `{up}` leads there."""

    def link(path: Path) -> None:
        top = next(one for one in path.parents if (one / "secret").exists())
        up = "../" * (len(path.relative_to(top).parts) - 1)
        path.symlink_to(target.format(top=top, up=up, name=path.name))

    return link


def _by(name: str, target: str, last: str) -> Callable[[Path], None]:
    """A link by another one beside it."""

    def links(path: Path) -> None:
        _to(target)(path.with_name(name))
        path.symlink_to(last)

    return links


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _put(kind: str, path: Path) -> None:
    path.unlink(missing_ok=True)
    if kind in PLACED:
        PLACED[kind](path)
    else:
        path.write_bytes(CONTENT[kind])


PLACED: dict[str, Callable[[Path], None]] = {
    "a link out": _to("{top}/secret"),
    "a relative link out": _to("{up}secret"),
    "a link out and in again": _to("{up}tc/../secret"),
    "a link to a link out": _by("link", "{top}/secret", "link"),
    "a link through a directory out": _by("d", "{top}", "d/secret"),
    "a link to /proc": _to("/proc/self/environ"),
    "/etc/shadow": _to("/etc/shadow"),
    "/dev/zero": _to("/dev/zero"),
    "a link to itself": _to("{name}"),
    "a link to nothing": _to("gone"),
    "a fifo": os.mkfifo,
    "a socket": _socket,
    "a directory": Path.mkdir,
    "nothing": lambda path: None,
}
CONTENT: dict[str, bytes] = {
    "a key": SECRET.encode(),
    "empty": b"",
    "a script": b"#!/bin/sh\ncat /etc/shadow\n",
    "JSON": b"{}",
    "half of a header": made_elf()[:20],
    "a magic number": b"\x7fELF" + SECRET.encode(),
    "for ARM": made_elf(machine=EM_AARCH64),
    "for 386": made_elf(machine=EM_386),
    "an object": made_elf(kind=ET_REL),
    "a core": made_elf(kind=ET_CORE),
    "a long stand-in": b"stand-in for " + SECRET.encode() * 2,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toolchain, a secret beside it, and a fresh instance."""
    top = tmp_path_factory.mktemp("made")
    make_toolchain(top / "tc", glibc=True)
    (top / "secret").write_text(SECRET)
    assert run([*NEW, "--toolchain", "tc"], top).code == 0
    return top


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    top = tmp_path / "world"
    shutil.copytree(made, top, symlinks=True)
    return top


def _run(verb: str, world: Path, root: str = "tc") -> Ended:
    if verb == "new":
        shutil.rmtree(world / "i", ignore_errors=True)
        return run([*NEW, "--toolchain", root], world)
    return run([*BUILD, "-f", "--toolchain", f"../{root}"], world / "i")


def _check(ended: Ended, world: Path, verb: str, *names: str) -> None:
    assert ended.code == 1 and len(ended.errors) == 1, ended
    assert any(name and name in ended.err for name in names), ended
    assert "Traceback" not in ended.err and SECRET[:20] not in ended.err, ended
    if verb == "new":
        assert not (world / "i").exists()
    else:
        assert not list((world / "i").rglob("*secret*")) and not (world / "i/build").exists()


@pytest.mark.parametrize("kind", [*PLACED, *CONTENT])
@pytest.mark.parametrize("verb", CODE)
def test_in_a_directory(verb: str, kind: str, world: Path) -> None:
    for place in [*CODE[verb], *(OTHERS[verb] if kind in PLACED else ())]:
        kept = (world / "tc" / place).read_bytes()
        for root in ("tc", "tc/opt/occlum"):
            path = world / "tc" / place
            _put(kind, path)
            ended = _run(verb, world, root)
            _check(ended, world, verb, path.name, ROLES.get(place, ""))
            links = [path.with_name(name) for name in ("link", "d")]
            last = next((one for one in links if one.is_symlink()), path)
            if last.is_symlink():
                name = last.relative_to(world)
                assert f"/{name} is a link to {os.readlink(last)}, and there is no" in ended.err
            for one in (path, *links):
                if one.is_dir() and not one.is_symlink():
                    one.rmdir()
                else:
                    one.unlink(missing_ok=True)
            _tried.append(f"{verb} {root} {place} {kind}")
        path.write_bytes(kept)


def test_links_within_are_as_good_as_files(world: Path) -> None:
    whole = world / "tc"
    first = _run("new", world), _run("build", world)
    assert [one.code for one in first] == [0, 0]
    built = (world / "i/measurement.json").read_text()
    for number, place in enumerate([*CODE["new"], *CODE["build"], *OTHERS["new"], KEY]):
        path = whole / place
        real = whole / f"{OCCLUM}/real/{number}"
        real.parent.mkdir(exist_ok=True)
        path.rename(real)
        up = "../" * (len(Path(place).parts) - 1)
        targets = (f"/{OCCLUM}/real/{number}", f"{up}{OCCLUM}/./real/../real/{number}")
        path.symlink_to(targets[number % 2 and not place.startswith("usr/")])
    (whole / "usr").rename(whole / OCCLUM / "usr-of-system")
    (whole / "usr").symlink_to(f"/{OCCLUM}/usr-of-system")
    for root in ("tc", "tc/opt/occlum"):
        assert [_run(verb, world, root).code for verb in CODE] == [0, 0]
        assert (world / "i/measurement.json").read_text() == built
        _tried.append(root)


MEMBERS = {
    "a link out": (tarfile.SYMTYPE, "/etc/shadow"),
    "a relative link out": (tarfile.SYMTYPE, "../" * 9 + "etc/shadow"),
    "a hard link out": (tarfile.LNKTYPE, "/etc/shadow"),
    "a relative hard link out": (tarfile.LNKTYPE, "../../etc/shadow"),
    "a link to itself": (tarfile.SYMTYPE, "{name}"),
    "a fifo": (tarfile.FIFOTYPE, ""),
    "a device": (tarfile.CHRTYPE, ""),
    "a block device": (tarfile.BLKTYPE, ""),
    "a directory": (tarfile.DIRTYPE, ""),
}


@pytest.mark.parametrize("kind", [*MEMBERS, *CONTENT])
def test_in_an_archive(kind: str, world: Path) -> None:
    for place in [INIT, LOADER, *LIBRARIES, LIBOS, PAL, RUN]:
        path = world / "tc" / place
        kept = path.read_bytes()
        path.unlink()
        member = tarfile.TarInfo(place)
        if kind in CONTENT:
            path.write_bytes(CONTENT[kind])
            path.chmod(0o755)
        with tarfile.open(world / "a.tar", "w") as tar:
            tar.add(world / "tc", ".")
            if kind in MEMBERS:
                member.type, member.linkname = MEMBERS[kind]
                member.linkname = member.linkname.format(name=Path(place).name)
                tar.addfile(member)
        with pytest.raises(OcclumError) as caught:
            unpack_toolchain(world / "a.tar", world / "out", "HW")
        (problem,) = caught.value.problems
        assert problem.code == "toolchain" and Path(place).name in str(problem)
        assert not member.linkname or f"is a link to {member.linkname}, and" in str(problem)
        path.write_bytes(kept)
        shutil.rmtree(world / "out", ignore_errors=True)
        _tried.append(f"archive {place} {kind}")


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("wrong files of a toolchain, tried", len(_tried))
    assert len(_tried) == len(set(_tried))
