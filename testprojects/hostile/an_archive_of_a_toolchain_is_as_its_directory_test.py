"""A toolchain's archive gives what its directory gives: the same files, or the same error.

Links in both are followed by one rule, as a system would whose root it is. Each tree is tried as a
directory and packed; and of a name that an archive has twice, the later member is what counts. The
last test records how many were tried.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.obstacles import run
from occlum_build.errors import OcclumError
from occlum_build.occlum.archive import unpack_toolchain
from occlum_build.occlum.toolchain import find
from toolchain.make_toolchain import make_toolchain

OCCLUM = "opt/occlum"
INIT, LOADER = f"{OCCLUM}/build/bin/init", "lib/ld-musl-x86_64.so.1"
_tried: list[str] = []


@pytest.fixture
def world(tmp_path: Path) -> Path:
    make_toolchain(tmp_path / "tc")
    return tmp_path


def _moved(place: str, target: str, real: str) -> Callable[[Path], None]:
    """A directory of the toolchain that is a link to where it is now."""

    def move(root: Path) -> None:
        (root / real).parent.mkdir(parents=True, exist_ok=True)
        (root / place).rename(root / real)
        (root / place).symlink_to(target)

    return move


def _chain(count: int) -> Callable[[Path], None]:
    def chain(root: Path) -> None:
        (root / LOADER).rename(root / f"l{count}")
        for number in range(1, count):
            (root / f"l{number}").symlink_to(f"l{number + 1}")
        (root / LOADER).symlink_to("/l1")

    return chain


def _instead(place: str, put: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(root: Path) -> None:
        (root / place).rename(root / "old")
        put(root / place)

    return replace


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


LINKED = {
    "merged /usr": _moved("lib", "usr/lib", "usr/lib"),
    "opt/occlum a link": _moved(OCCLUM, "occlum-0.31", "opt/occlum-0.31"),
    "opt/occlum an absolute link": _moved(OCCLUM, "/opt/occlum-0.31", "opt/occlum-0.31"),
    "opt/occlum a link elsewhere": _moved(OCCLUM, "../usr/lib/./occlum/", "usr/lib/occlum"),
    "opt a link": _moved("opt", "o", "o"),
    "opt an absolute link": _moved("opt", "/usr/opt", "usr/opt"),
    "include a link": _moved(f"{OCCLUM}/include", "../../inc", "inc"),
    "build a link": _moved(f"{OCCLUM}/build", "/b", "b"),
    "usr/local a link": _moved("usr/local", "../opt/local", "opt/local"),
    "the last link that is followed": _chain(40),
}
ASTRAY = {
    "one link too many": _chain(41),
    "many links too many": _chain(400),
    "a slash behind a file": _instead(INIT, _link("occlum-run/")),
    "a dot behind a file": _instead(INIT, _link("occlum-run/.")),
    "through a file": _instead(INIT, _link("occlum-run/../occlum-run")),
    "through nothing": _instead(INIT, _link("no/../occlum-run")),
    "above the root": _instead(INIT, _link("../" * 9 + f"{OCCLUM}/build/bin/occlum-run")),
    "to a directory": _instead(INIT, _link("/opt")),
    "bin a file": _instead(f"{OCCLUM}/build/bin", Path.touch),
    "bin a fifo": _instead(f"{OCCLUM}/build/bin", os.mkfifo),
    "bin a link to nothing": _instead(f"{OCCLUM}/build/bin", _link("gone")),
    "bin a link to itself": _instead(f"{OCCLUM}/build/bin", _link("bin")),
    "bin a link to other files": _instead(f"{OCCLUM}/build/bin", _link("lib")),
    "lib a link out": _instead("lib", _link("/usr/lib")),
    "lib a link to a file": _instead("lib", _link(f"/{INIT}")),
}


def _outcome(world: Path, archive: Path | None) -> str | dict[str, str]:
    """The digests of what is found, or what is told, as it would be of both."""
    try:
        if archive is not None:
            unpack_toolchain(archive, world / "out", "HW")
        return dict(find(world / ("tc" if archive is None else "out"), "HW").digests)
    except OcclumError as error:
        text = str(error).replace(f" in {world}/tc ", " in the archive ")
        text = text.replace(f" in {world}/tc\n", " in the archive\n")
        return text.replace(f"{world}/tc/", "").replace(f" in {archive}", "")


@pytest.mark.parametrize("kind", [*LINKED, *ASTRAY])
def test_a_directory_and_its_archive_are_the_same(kind: str, world: Path) -> None:
    plain = _outcome(world, None)
    {**LINKED, **ASTRAY}[kind](world / "tc")
    with tarfile.open(world / "a.tar", "w") as tar:
        tar.add(world / "tc", ".")
    found = _outcome(world, None)
    assert _outcome(world, world / "a.tar") == found
    assert (found == plain) == (kind in LINKED), found
    ended = run(["new", "i", "--toolchain", "tc"], world)
    assert ended.code == (kind in ASTRAY) and "Traceback" not in ended.err, ended
    _tried.append(f"directory and archive {kind}")


LATER = {
    "a fifo": (INIT, tarfile.FIFOTYPE, ""),
    "a directory": (INIT, tarfile.DIRTYPE, ""),
    "a link out": (INIT, tarfile.SYMTYPE, "/etc/shadow"),
    "a hard link out": (INIT, tarfile.LNKTYPE, "/etc/shadow"),
    "its directory a link out": (f"{OCCLUM}/build/bin", tarfile.SYMTYPE, "/bin"),
    "its directory a link within": (f"{OCCLUM}/build/bin", tarfile.SYMTYPE, "lib"),
    "its directory a file": (f"{OCCLUM}/build/bin", tarfile.REGTYPE, ""),
    "opt a link out": ("opt", tarfile.SYMTYPE, "/opt"),
    "opt/occlum a fifo": (OCCLUM, tarfile.FIFOTYPE, ""),
}


@pytest.mark.parametrize("kind", LATER)
def test_what_comes_later_in_an_archive_counts(kind: str, world: Path) -> None:
    name, type_, target = LATER[kind]
    for place in (name, f"./x/../{name}"):
        member = tarfile.TarInfo(place)
        member.type, member.linkname = type_, target
        with tarfile.open(world / "a.tar", "w") as tar:
            tar.add(world / "tc", ".")
            tar.addfile(member)
        with pytest.raises(OcclumError) as caught:
            unpack_toolchain(world / "a.tar", world / "out", "HW")
        assert name in str(caught.value) and not (world / "out").exists()
        _tried.append(f"later {place} {kind}")


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("toolchains, as a directory and packed, tried", len(_tried))
    assert len(_tried) == len(set(_tried))
