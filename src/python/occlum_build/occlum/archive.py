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
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from occlum_build.errors import OcclumError, Place, Problem, Report
from occlum_build.files.bounds import CONFIG_BYTES, ENCLAVE_BYTES
from occlum_build.files.compressed import BadArchive
from occlum_build.files.reading import READ_FLAGS, read_file
from occlum_build.files.tar_reader import Member, contents_of, members_of
from occlum_build.occlum.toolchain import (
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
from occlum_build.occlum.toolchain_links import astray
from occlum_build.process.step import run_step

_MAX_LINKS = 40
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


class _ArchiveReader:
    """Finds members by their places; links lead to other members and never out of the archive."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        others: list[str] = []
        self._members = {_clean(member.name): member for member in members_of(stream, others)}
        self._others = frozenset(map(_clean, others))  # directories, fifos and devices
        self._occlum = self._occlum_dir()
        self._system = self._occlum
        if f"/{self._occlum}".endswith(f"/{OCCLUM_DIR}"):
            self._system = self._occlum[: -len(OCCLUM_DIR)].rstrip("/")

    def unpack(self, out: Path, mode: str, groups: Iterable[str], wanted: str) -> None:
        version = self._version(wanted)
        header = ToolFile(HEADER_ROLE, (VERSION_HEADER,))
        wanted_files = (header, *required_files(version, mode, groups))
        problems: list[Problem] = []
        chosen: dict[str, Member] = {}
        for file in wanted_files:
            members = {place: self._member(place) for place in file.places}
            found = next(((place, one) for place, one in members.items() if one), None)
            if found is None:
                problems.append(self._problem(file))
            else:
                chosen[found[0]] = found[1]
        if problems:
            raise OcclumError.of(problems)
        roles = {place: file.role for file in wanted_files for place in file.places}
        places: dict[Member, list[str]] = {}  # links may lead several places to one file
        for place, member in chosen.items():
            places.setdefault(member, []).append(place)
        report = Report()
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
        member, place = self._member(VERSION_HEADER), Place(self._name)
        if member is None:
            message = f"{_HEADER_IN_OCCLUM} is no file"
            raise OcclumError("toolchain-archive", message, place=place)
        text = b"".join(
            chunk
            for _, chunks in contents_of(self._stream, [member], CONFIG_BYTES)
            for chunk in chunks
        )
        found = parse_version(text.decode("utf-8", "replace"), place)
        return check_version(found, wanted, place)

    def _occlum_dir(self) -> str:
        found = [
            name[: -len(_HEADER_IN_OCCLUM)].rstrip("/")
            for name in self._members
            if f"/{name}".endswith(f"/{_HEADER_IN_OCCLUM}")
        ]
        if len(found) != 1:
            count = "more than one" if found else "no"
            raise OcclumError(
                "toolchain-archive",
                f"the archive has {count} {_HEADER_IN_OCCLUM}",
                place=Place(self._name),
            )
        return found[0]

    def _path(self, place: str) -> str:
        if place.startswith(f"{OCCLUM_DIR}/"):
            return _clean(posixpath.join(self._occlum, place[len(OCCLUM_DIR) + 1 :]))
        return _clean(posixpath.join(self._system, place))

    def _member(self, place: str) -> Member | None:
        """The regular file at a place, links followed; None when there is none."""
        member = self._end(place)
        return member if member is not None and member.link is None else None

    def _end(self, place: str) -> Member | None:
        """The file that links lead to from a place, else the link that leads to none."""
        path, last = self._path(place), None
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None:
                return last
            if member.link is None:
                return member
            last = member
            if not member.is_symbolic:
                path = _clean(member.link)
            elif member.link.startswith("/"):
                path = _clean(posixpath.join(self._system, member.link.lstrip("/")))
            else:
                path = _clean(posixpath.join(posixpath.dirname(path), member.link))
        return last

    def _problem(self, file: ToolFile) -> Problem:
        """Why there is no file at any of its places."""
        for place in file.places:
            name, last = f"{self._path(place)} in {self._name}", self._end(place)
            if last is not None:
                link = f"{_clean(last.name)} in {self._name}"
                return astray(file.role, link, str(last.link), "the archive")
            if self._path(place) in self._others:
                return Problem("toolchain", "is not a regular file", Place(name))
        return missing(file, [f"{self._path(place)} in {self._name}" for place in file.places])


def _write(target: Path, chunks: Iterable[bytes], mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        file.writelines(chunks)
    target.chmod(mode)


def _clean(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _step(archive: str, mode: str, version: str, out: str) -> None:
    unpack_toolchain(Path(archive), Path(out), mode, version=version)


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.occlum.archive ARCHIVE MODE VERSION OUT"))
