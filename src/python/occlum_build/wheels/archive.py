"""A wheel as a zip archive: its regular files by name, within bounds, and which one is which.

The format is https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from occlum_build.elf.zip_reader import (
    BadZip,
    member_content,
    member_name,
    open_zip,
    overlapping_members,
)
from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MIB, shown_bytes
from occlum_build.files.compressed import BadArchive
from occlum_build.files.reading import open_regular
from occlum_build.files.tar_reader import MAX_BYTES, MAX_MEMBERS, MAX_NAME_BYTES
from occlum_build.packages.paths import canonical
from occlum_build.process.step import CONTENT_MISSING
from occlum_build.shown import quoted

CODE = "wheel-file"
METADATA_BYTES = 64 * MIB  # of RECORD, and of each other file of .dist-info that is read
_HINT = "get it anew from its index, or build it anew"
_DIST_INFO, _DATA = ".dist-info", ".data"
_CHUNK_BYTES = 1 * MIB
_UNIX = 3  # the system whose modes a member has


class Wheel(NamedTuple):
    """An open wheel. files: by name; dist_info and data: names of its directories of that kind."""

    archive: zipfile.ZipFile
    files: Mapping[str, zipfile.ZipInfo]
    dist_info: str
    data: str

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file, a short piece first. Raises BadArchive, maybe at the end."""
        try:
            yield from member_content(self.archive, self.files[name])
        except BadZip as error:
            raise BadArchive(f"of {quoted(name)}: {error}") from None

    def text(self, name: str) -> str | None:
        """A file of .dist-info, None where there is none. Raises BadArchive."""
        path = f"{self.dist_info}/{name}"
        if path not in self.files:
            return None
        if self.files[path].file_size > METADATA_BYTES:
            raise BadArchive(f"{name} has more than {shown_bytes(METADATA_BYTES)}")
        try:
            return b"".join(self.chunks(path)).decode("utf-8")
        except UnicodeDecodeError:
            raise BadArchive(f"{name} is not UTF-8") from None

    def is_executable(self, name: str) -> bool:
        """Whether a file may be run by somebody."""
        member = self.files[name]
        return member.create_system == _UNIX and bool((member.external_attr >> 16) & 0o111)


@contextmanager
def opened(path: Path, name: str, sha256: str = "") -> Iterator[Wheel]:
    """A wheel to read; `name` is that of the file. Raises OcclumError `wheel-file`.

    With `sha256` what lies there must be that very content, else it is missing: `host-content`.
    """
    try:
        code = CONTENT_MISSING if sha256 else CODE
        with open(open_regular(path, code=code, name=name), "rb") as stream:
            if sha256:
                _check(stream, sha256, name)
            yield _wheel(stream, name)
    except (BadArchive, BadZip) as error:
        message = f"no usable wheel: {error}"
        raise OcclumError(CODE, message, place=Place(name), hint=_HINT) from None


def _check(stream: BinaryIO, sha256: str, name: str) -> None:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise OcclumError(CONTENT_MISSING, "there is another content", place=Place(name))


def _wheel(stream: BinaryIO, name: str) -> Wheel:
    archive = open_zip(stream)
    if overlapping_members(archive):
        raise BadArchive("members of it overlap")
    files = _files(archive)
    found = {one.partition("/")[0] for one in files}
    infos = sorted(one for one in found if one.endswith(_DIST_INFO))
    if len(infos) != 1:
        raise BadArchive(f"it has {len(infos)} directories *{_DIST_INFO}, and not one")
    project = _normal(infos[0].partition("-")[0])
    if project != _normal(name.partition("-")[0]):
        raise BadArchive(f"it is another distribution, by its {quoted(infos[0])}")
    wheel = Wheel(archive, files, infos[0], infos[0][: -len(_DIST_INFO)] + _DATA)
    version = re.search(r"(?m)^Wheel-Version:\s*([0-9]+)\.[0-9]+\s*$", wheel.text("WHEEL") or "")
    if not version or version[1] != "1":
        raise BadArchive("its WHEEL file does not say that it is of version 1 of the format")
    return wheel


def _normal(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def _files(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    files: dict[str, zipfile.ZipInfo] = {}
    size = name_bytes = 0
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BadArchive(f"it has more than {MAX_MEMBERS:,} members")
    for member in members:
        name = member_name(member)
        path = canonical(name, merged_usr=False)[1:]
        size += member.file_size
        name_bytes += len(path)
        if size > MAX_BYTES or name_bytes > MAX_NAME_BYTES:
            limits = f"{shown_bytes(MAX_BYTES)} of files, or {shown_bytes(MAX_NAME_BYTES)} of names"
            raise BadArchive(f"it has more than {limits}")
        kind = stat.S_IFMT(member.external_attr >> 16) if member.create_system == _UNIX else 0
        if name.endswith("/") and kind in (0, stat.S_IFDIR):
            continue
        if kind not in (0, stat.S_IFREG) or not path:
            raise BadArchive(f"{quoted(name)} in it is no regular file")
        if path in files:
            raise BadArchive(f"{quoted(name)} is in it twice")
        files[path] = member
    check_parents(files)
    return files


def check_parents(paths: Mapping[str, object]) -> None:
    """Raise BadArchive where a file is below a file."""
    seen: set[str] = set()
    for path in paths:
        parent = posixpath.dirname(path)
        while parent and parent not in seen:
            if parent in paths:
                raise BadArchive(f"{quoted(path)} in it is below a file")
            seen.add(parent)
            parent = posixpath.dirname(parent)
