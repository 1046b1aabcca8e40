"""Read the facts of the ELF files in a zip archive: a pex, a wheel, a jar, and what they contain.

Nothing is unpacked that is neither an ELF file nor an archive, and what is, one file at a time.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from occlum_build.elf.facts import (
    SHEBANG_BYTES,
    Archive,
    ElfFacts,
    Malformed,
    Outcome,
    script_of,
)
from occlum_build.elf.layout import MAGIC
from occlum_build.elf.read import read_facts
from occlum_build.elf.zip_reader import (
    LOCAL_MAGIC,
    MIN_BYTES,
    BadZip,
    is_zip,
    member_content,
    member_name,
    open_zip,
    overlapping_members,
    start_of,
)
from occlum_build.shown import some, with_bytes

if TYPE_CHECKING:  # what scans a file has no part in a run, and most files are no archives
    from zipfile import ZipFile, ZipInfo

    from occlum_build.elf.budget import Unpacking

MAX_DEPTH = 3  # of archives in an archive
MAX_MEMBERS = 400_000
MAX_ELF_FILES = 10_000
MAX_NAMES = 64 << 20  # bytes of the names in all of them, and 32 more of each
MAX_FILE_BYTES, MAX_BYTES = 2 << 30, 8 << 30  # of one unpacked file, and of all of an archive
_IN_MEMORY_BYTES = 32 << 20
_NAME_BYTES = 32  # that a name costs besides its own
_SHOWN_CHARACTERS = 200


def read_outcome(stream: BinaryIO, unpacking: Unpacking | None = None) -> Outcome:
    """What a file (a seekable stream) tells: itself, the ELF files in it, or its `#!` line.

    Raises TooMuch when the archives of a run, which `unpacking` counts, have too much.
    """
    if is_zip(stream):
        return read_archive(stream, unpacking)
    return read_facts(stream) or script_of(_head(stream))


def read_archive(stream: BinaryIO, unpacking: Unpacking | None = None) -> Archive:
    """The ELF files of a zip archive, and what of it cannot be read."""
    reader = _Reader(unpacking)
    try:
        reader.read(stream, "", MAX_DEPTH)
    except BadZip as error:
        reader.note("", error)
    return Archive(_interpreter(stream), tuple(sorted(reader.files.items())), reader.problems())


def _interpreter(stream: BinaryIO) -> str:
    """The `#!` line without these characters, "" where there is none."""
    script = script_of(_head(stream))
    if script is None:
        return ""
    return _shown(" ".join(script.line.split()))


def _head(stream: BinaryIO) -> bytes:
    stream.seek(0)
    return stream.read(SHEBANG_BYTES)


def _shown(text: str) -> str:
    text = text[:_SHOWN_CHARACTERS]
    return text if text.isprintable() else with_bytes(ascii(text))


class _Reader:
    """What was found in an archive and the archives in it."""

    def __init__(self, unpacking: Unpacking | None) -> None:
        self.files: dict[str, ElfFacts] = {}
        self._unpacking = unpacking
        self._files_left = MAX_ELF_FILES  # also of those that have one name
        self._members_left, self._bytes_left = MAX_MEMBERS, MAX_BYTES
        self._names_left = MAX_NAMES
        self._wrong: dict[str, list[str]] = {}  # what is wrong -> of what, "" for the archive

    def read(self, stream: BinaryIO, folder: str, depth: int) -> None:
        """Read an archive whose members' paths start with `folder`. Raises BadZip."""
        with open_zip(stream) as archive:
            members = archive.infolist()
            self._members_left -= len(members)
            self._count(members=len(members))
            overlapping = overlapping_members(archive)
            for member in members:
                if self._members_left < 0:  # also by those of an archive in this one
                    raise BadZip(f"it has more than {MAX_MEMBERS:,} members")
                if member.file_size >= MIN_BYTES:
                    try:
                        if member in overlapping:
                            raise BadZip("it lies where another member does")
                        self._read_member(archive, member, folder, depth)
                    except BadZip as error:
                        self.note(folder + member_name(member), error)

    def _count(self, *, members: int = 0, size: int = 0, names: int = 0) -> None:
        """For the run, if there is one. Raises TooMuch."""
        if self._unpacking is not None:
            self._unpacking.add(members=members, size=size, names=names)

    def note(self, name: str, error: BadZip) -> None:
        self._wrong.setdefault(str(error), []).append(name)

    def problems(self) -> tuple[str, ...]:
        """A text for each reason why something could not be read."""
        return tuple(
            f"{_names(names)} cannot be read: {reason}" for reason, names in self._wrong.items()
        )

    def _read_member(self, archive: ZipFile, member: ZipInfo, folder: str, depth: int) -> None:
        start = start_of(archive, member)
        if start is not None and not start.startswith((LOCAL_MAGIC, MAGIC)):
            return
        chunks = member_content(archive, member)
        first = next(chunks)
        is_archive = first.startswith(LOCAL_MAGIC)
        if not is_archive and not first.startswith(MAGIC):
            return
        path = folder + _path(member_name(member))
        if is_archive and not depth:
            raise BadZip(f"it lies in more than {MAX_DEPTH} archives")
        if not self._files_left:
            raise BadZip(f"there are more than {MAX_ELF_FILES:,} ELF files")
        with self._unpacked(member.file_size, itertools.chain([first], chunks)) as unpacked:
            if is_archive:
                self.read(unpacked, f"{path}/", depth - 1)
                return
            self._files_left -= 1
            facts = read_facts(unpacked)
        if isinstance(facts, Malformed):
            raise BadZip(f"it begins as an ELF file, but {facts.reason}")
        if facts is not None:
            names = sum(len(name) + _NAME_BYTES for name in _names_of(facts))
            self._count(names=names)
            self._names_left -= names
            if self._names_left < 0:
                raise BadZip(f"the ELF files have more than {MAX_NAMES:,} bytes of names")
            self.files[path] = facts

    @contextlib.contextmanager
    def _unpacked(self, size: int, chunks: Iterator[bytes]) -> Iterator[BinaryIO]:
        """A file with the content of a member, which can be read anywhere."""
        if size > min(MAX_FILE_BYTES, self._bytes_left):
            raise BadZip("it is too large")
        self._bytes_left -= size
        self._count(size=size)
        with io.BytesIO() if size <= _IN_MEMORY_BYTES else _temporary_file() as file:
            file.writelines(chunks)
            yield file


def _temporary_file() -> BinaryIO:
    import tempfile

    return tempfile.TemporaryFile()


def _names_of(facts: ElfFacts) -> Iterator[str]:
    yield from (*facts.needed, *facts.filters, *facts.auxiliaries)
    yield from (*(facts.rpath or ()), *(facts.runpath or ()))
    yield from (*facts.version_defs, *facts.data_paths)
    for _, versions in facts.version_needs:
        yield from versions


def _path(name: str) -> str:
    """The path of a member within its archive. Raises BadZip for one that no loader could mean."""
    path = posixpath.normpath(name)
    if name.startswith("/") or path == ".." or path.startswith("../") or not name.isprintable():
        raise BadZip("its name is no path within an archive")
    return path


def _names(names: list[str]) -> str:
    if not names[0]:
        return "it"
    return f"{some([_shown(name) for name in names], 1)} in it"
