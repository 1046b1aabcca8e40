"""A toolchain in a tar archive: `python -m occlum_build.occlum.archive ARCHIVE MODE VERSION OUT`.

Only the files that a build needs are read. They are written to OUT under their places in a system
(occlum/toolchain.py), 0755 or 0644, so that it does not matter how the archive was laid out.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from occlum_build.errors import OcclumError, Place, Problem, Report
from occlum_build.files.bounds import CONFIG_BYTES, ENCLAVE_BYTES
from occlum_build.files.compressed import BadArchive
from occlum_build.files.reading import READ_FLAGS, read_file
from occlum_build.files.tar_reader import Member, contents_of, members_of
from occlum_build.occlum.archive_tree import ArchiveTree
from occlum_build.occlum.toolchain import (
    ABOVE_OCCLUM,
    ALL_OF_AN_ENCLAVE,
    OCCLUM_DIR,
    VERSION_HEADER,
    ToolFile,
    check_version,
    missing,
    parse_version,
    required_files,
)
from occlum_build.occlum.toolchain_content import HEADER_ROLE, check_content
from occlum_build.occlum.toolchain_links import follow
from occlum_build.process.step import run_step
from occlum_build.sources.model import DIR, FILE, SourceStat

_HEADER = ToolFile(HEADER_ROLE, (VERSION_HEADER,))
_HEADER_IN_OCCLUM = VERSION_HEADER[len(OCCLUM_DIR) + 1 :]


def unpack_toolchain(
    archive: Path,
    out: Path,
    mode: str,
    groups: Iterable[str] = ALL_OF_AN_ENCLAVE,
    *,
    version: str = "",
) -> None:
    """Write the needed files of the archive (tar, also compressed) to `out`, for `find`.

    Raises OcclumError `toolchain-archive` when it is none, and what `find` raises.
    """
    try:
        descriptor = os.open(archive, READ_FLAGS)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadArchive("it is not a regular file")
            _ArchiveReader(stream, str(archive)).unpack(out, mode, groups, version)
    except BadArchive as error:
        message = f"no usable tar archive: {error}"
        raise OcclumError("toolchain-archive", message, place=Place(str(archive))) from error
    except OSError as error:
        message = error.strerror or "no usable tar archive"
        raise OcclumError("toolchain-archive", message, place=Place(str(archive))) from error


@dataclass(frozen=True)
class _Layout:
    """Where places are in an archive, be `root` Occlum's own directory in it or that of a system.

    As in a directory (occlum/toolchain.py), links are followed below it alone.
    """

    tree: ArchiveTree
    archive: str
    root: str
    is_occlum: bool = False

    def member(self, file: ToolFile) -> tuple[str, Member]:
        """The first place with a regular file, and that; raises where no place has one."""
        errors = []
        for place in file.places:
            try:
                name = self.real(place, file.role)
                if name is not None:
                    member = self.tree.members.get(name)
                    if member is not None and member.kind == FILE:
                        return place, member
                    shown = Place(self.shown(place))
                    raise OcclumError("toolchain", "is not a regular file", place=shown)
            except OcclumError as error:
                errors.append(error)
        raise errors[0] if errors else OcclumError.of([self._missing(file)])

    def real(self, place: str, role: str) -> str | None:
        """The name that a place has when links are followed, None where nothing is."""
        root = f"{self.root} in the archive" if self.root else "the archive"
        found = follow(place, self._look, self.shown, root, role)
        return None if found is None else self._name(found)

    def shown(self, place: str) -> str:
        """A place as errors name it."""
        return f"{self._name(place)} in {self.archive}"

    def _name(self, place: str) -> str:
        if self.is_occlum and f"{place}/".startswith(f"{OCCLUM_DIR}/"):
            place = place[len(OCCLUM_DIR) + 1 :]
        return posixpath.join(self.root, place).rstrip("/")

    def _look(self, place: str) -> SourceStat | None:
        if self.is_occlum and place in ABOVE_OCCLUM:
            return SourceStat(DIR)
        return self.tree.look(self._name(place))

    def _missing(self, file: ToolFile) -> Problem:
        searched = [self.shown(place) for place in file.places]
        for place, shown in zip(file.places, searched):
            if self.tree.look(self._name(place)) is not None:
                message = (
                    f"the toolchain has no {file.role}: {shown} is below a link in the archive"
                )
                return Problem("toolchain", message, hint="pack it as what the link leads to")
        return missing(file, searched)


class _ArchiveReader:
    """Finds members by their places; links lead to other members and never out of the archive."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._tree = ArchiveTree(members_of(stream))
        self._layout = self._find_layout()

    def unpack(self, out: Path, mode: str, groups: Iterable[str], wanted: str) -> None:
        version = self._version(wanted)
        wanted_files = (_HEADER, *required_files(version, mode, groups))
        report = Report()
        chosen: dict[str, Member] = {}
        for file in wanted_files:
            with report:
                place, member = self._layout.member(file)
                chosen[place] = member
        report.raise_errors()
        roles = {place: file.role for file in wanted_files for place in file.places}
        places: dict[Member, list[str]] = {}  # links may lead several places to one file
        for place, member in chosen.items():
            places.setdefault(member, []).append(place)
        for member, chunks in contents_of(self._stream, places, ENCLAVE_BYTES):
            first, *others = (out / place for place in places[member])
            _write(first, chunks, 0o755 if member.is_executable else 0o644)
            content = read_file(first, ENCLAVE_BYTES)
            for role in dict.fromkeys(roles[place] for place in places[member]):
                with report:
                    check_content(role, content, f"{member.name} in {self._name}")
            for other in others:
                other.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(first, other)
        report.raise_errors()

    def _version(self, wanted: str) -> str:
        _, member = self._layout.member(_HEADER)
        text = b"".join(
            chunk
            for _, chunks in contents_of(self._stream, [member], CONFIG_BYTES)
            for chunk in chunks
        )
        place = Place(self._name)
        found = parse_version(text.decode("utf-8", "replace"), place)
        return check_version(found, wanted, place)

    def _find_layout(self) -> _Layout:
        """By the one version header; opt/occlum, or what is above the header, may be a link."""
        found = [
            name[: -len(_HEADER_IN_OCCLUM)].rstrip("/")
            for name, member in self._tree.members.items()
            if f"/{name}".endswith(f"/{_HEADER_IN_OCCLUM}") and member.kind != DIR
        ]
        if len(found) > 1:
            raise self._no_layout("more than one")
        roots = self._tree.tops()
        if found and f"/{found[0]}".endswith(f"/{OCCLUM_DIR}"):
            roots.append(found[0][: -len(OCCLUM_DIR)].rstrip("/"))
        layout = self._layout_of(roots, found)
        if layout.root:
            top = _Layout(self._tree, self._name, "")
            if top.real(f"{layout.root}/", HEADER_ROLE) != layout.root:
                raise self._no_layout("no")  # what has the name is behind a link
        return layout

    def _layout_of(self, roots: Iterable[str], found: Sequence[str]) -> _Layout:
        """Of the first root that is a system with Occlum, or Occlum's own directory."""
        report = Report()
        for root in roots:
            system = _Layout(self._tree, self._name, root)
            with report:
                occlum = system.real(OCCLUM_DIR, HEADER_ROLE)
                if occlum is not None and occlum in (found or [occlum]):
                    return system
                own = replace(system, is_occlum=True)
                if not (found or occlum) and own.real(VERSION_HEADER, HEADER_ROLE) is not None:
                    return own
        report.raise_errors()
        if not found:
            raise self._no_layout("no")
        return _Layout(self._tree, self._name, found[0], is_occlum=True)

    def _no_layout(self, count: str) -> OcclumError:
        message = f"the archive has {count} {_HEADER_IN_OCCLUM}"
        return OcclumError("toolchain-archive", message, place=Place(self._name))


def _write(target: Path, chunks: Iterable[bytes], mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        file.writelines(chunks)
    target.chmod(mode)


def _step(archive: str, mode: str, version: str, out: str) -> None:
    unpack_toolchain(Path(archive), Path(out), mode, version=version)


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.occlum.archive ARCHIVE MODE VERSION OUT"))
