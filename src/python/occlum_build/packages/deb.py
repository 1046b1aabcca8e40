"""The parts of a .deb file (deb(5)): control files, and the archive of what it installs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MIB, shown_bytes
from occlum_build.files.compressed import BadArchive
from occlum_build.files.reading import open_regular
from occlum_build.files.tar_reader import FILE, entries_of
from occlum_build.packages.ar import Part, Slice, parts_of

CODE = "deb-file"
CONTROL_BYTES = 4 * MIB  # of one control file
ALL_CONTROL_BYTES = 64 * MIB
_HINT = "get it anew from its archive, or build it anew"
# What dpkg-deb makes or has made; "" for no compression.
_COMPRESSIONS = ("", ".gz", ".xz", ".zst", ".bz2", ".lzma")
_FORMAT, _CONTROL, _DATA = "debian-binary", "control.tar", "data.tar"


class Deb(NamedTuple):
    """An open .deb file: its two tar archives, each maybe compressed."""

    control: BinaryIO
    data: BinaryIO


@contextmanager
def opened(path: Path, name: str = "") -> Iterator[Deb]:
    """A .deb file to read; `name` is what errors call it, also those of a damage within.

    Raises OcclumError `deb-file`.
    """
    place = Place(name or str(path))
    try:
        with open(open_regular(path, code=CODE, name=place.file), "rb") as stream:
            yield _deb(stream)
    except BadArchive as error:
        message = f"no usable package: {error}"
        raise OcclumError(CODE, message, place=place, hint=_HINT) from None


def control_files(deb: Deb, names: Collection[str], large: str = "") -> dict[str, bytes]:
    """Those of the named control files that there are; `large` may have as much as all together.

    Raises BadArchive, OSError.
    """
    found: dict[str, bytes] = {}
    for member, chunks in entries_of(deb.control, ALL_CONTROL_BYTES):
        name = member.name[2:] if member.name.startswith("./") else member.name
        if name not in names or member.kind != FILE:
            continue
        if member.size > CONTROL_BYTES and name != large:
            raise BadArchive(f"{name} in it has more than {shown_bytes(CONTROL_BYTES)}")
        if name in found:
            raise BadArchive(f"it has {name} twice")
        found[name] = b"".join(chunks)
    return found


def _deb(stream: BinaryIO) -> Deb:
    """The archives of a package; what begins with `_` before them, or follows them, is ignored."""
    parts = parts_of(stream)
    if not parts or parts[0].name != _FORMAT:
        raise BadArchive(f"its first member is not {_FORMAT}")
    _check_format(stream, parts[0])
    due = [part for part in parts[1:] if not part.name.startswith("_")][:2]
    names = [part.name for part in due]
    if len(due) < 2 or not _is(names[0], _CONTROL) or not _is(names[1], _DATA):
        found = ", ".join(names) or "nothing"
        raise BadArchive(f"{_CONTROL} and {_DATA} are due after {_FORMAT}, and {found} is there")
    control, data = (cast(BinaryIO, Slice(stream, part)) for part in due)
    return Deb(control, data)


def _is(name: str, archive: str) -> bool:
    return name.startswith(archive) and name[len(archive) :] in _COMPRESSIONS


def _check_format(stream: BinaryIO, part: Part) -> None:
    stream.seek(part.offset)
    version = stream.read(min(part.size, 16)).partition(b"\n")[0]
    if not version.startswith(b"2."):
        shown = version.decode("utf-8", "backslashreplace")
        raise BadArchive(f"it has format {shown}, and 2.0 is the one that can be read")
