"""A toolchain in a tar archive: `python -m occlum_build.occlum.archive ARCHIVE MODE VERSION OUT`.

Only the files that a build needs are read. They are written to OUT under their places in a system
(occlum/toolchain.py), 0755 or 0644, so that it does not matter how the archive was laid out.
"""

from __future__ import annotations

import posixpath
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from occlum_build.errors import OcclumError, Place, Problem
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
        with tarfile.open(archive, "r:*") as tar:
            _ArchiveReader(tar, str(archive)).unpack(out, mode, groups, version)
    except (tarfile.TarError, EOFError) as error:
        message = f"no usable tar archive: {error}"
        raise OcclumError("toolchain-archive", message, place=Place(str(archive))) from error
    except OSError as error:
        message = error.strerror or "no usable tar archive"
        raise OcclumError("toolchain-archive", message, place=Place(str(archive))) from error


class _ArchiveReader:
    """Finds members by their places; links lead to other members and never out of the archive."""

    def __init__(self, tar: tarfile.TarFile, name: str) -> None:
        self._tar = tar
        self._name = name
        self._members = {_clean(member.name): member for member in tar.getmembers()}
        self._occlum = self._occlum_dir()
        self._system = self._occlum
        if f"/{self._occlum}".endswith(f"/{OCCLUM_DIR}"):
            self._system = self._occlum[: -len(OCCLUM_DIR)].rstrip("/")

    def unpack(self, out: Path, mode: str, groups: Iterable[str], wanted: str) -> None:
        header = ToolFile("version header", (VERSION_HEADER,))
        text = self._read(self._member(VERSION_HEADER)).decode("utf-8", "replace")
        place = Place(self._name)
        version = check_version(parse_version(text, place), wanted, place)
        problems: list[Problem] = []
        for file in (header, *required_files(version, mode, groups)):
            found = next((place for place in file.places if self._member(place)), None)
            if found is None:
                searched = [f"{self._path(place)} in {self._name}" for place in file.places]
                problems.append(missing(file, searched))
            else:
                self._write(found, out)
        if problems:
            raise OcclumError.of(problems)

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

    def _member(self, place: str) -> tarfile.TarInfo | None:
        """The regular file at a place, links followed; None when there is none."""
        path = self._path(place)
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None or member.isreg():
                return member
            if member.islnk():
                path = _clean(member.linkname)
            elif member.issym() and member.linkname.startswith("/"):
                path = _clean(posixpath.join(self._system, member.linkname.lstrip("/")))
            elif member.issym():
                path = _clean(posixpath.join(posixpath.dirname(path), member.linkname))
            else:
                return None
        return None

    def _read(self, member: tarfile.TarInfo | None) -> bytes:
        stream = self._tar.extractfile(member) if member else None
        if stream is None:
            message = f"{_HEADER_IN_OCCLUM} is no file"
            raise OcclumError("toolchain-archive", message, place=Place(self._name))
        return stream.read()

    def _write(self, place: str, out: Path) -> None:
        member = self._member(place)
        target = out / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self._read(member))
        target.chmod(0o755 if member and member.mode & 0o100 else 0o644)


def _clean(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _step(archive: str, mode: str, version: str, out: str) -> None:
    unpack_toolchain(Path(archive), Path(out), mode, version=version)


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.occlum.archive ARCHIVE MODE VERSION OUT"))
