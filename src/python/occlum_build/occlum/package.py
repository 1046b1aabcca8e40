"""The archive that `occlum package` makes of a built instance, as a deterministic one.

Process: `python -m occlum_build.occlum.package INSTANCE OUT TOP TABLE.json`, with what the instance
lacks (occlum_build.process.complete).

Occlum renames the top directory with an unanchored `sed` expression that also hits link targets;
here the first part of each name is replaced and nothing else.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from occlum_build.errors import WARNING, OcclumError, Place, Problem
from occlum_build.files.bounds import ENCLAVE_BYTES
from occlum_build.files.change import Change
from occlum_build.files.handles import CREATE
from occlum_build.files.reading import read_file
from occlum_build.files.source import open_source
from occlum_build.files.trees import walk
from occlum_build.occlum.initfs import IMAGE_KEY
from occlum_build.occlum.instance import BUILT, SIGNED_LIBOS, read_mode, read_status, reading
from occlum_build.occlum.seal import ROOT, ROOT_MAC, SECRET_MODE
from occlum_build.occlum.toolchain import pal_name
from occlum_build.process.complete import complete_tree
from occlum_build.process.step import run_step
from occlum_build.sefs.fs_format import FileType
from occlum_build.sefs.reader import ImageReader
from occlum_build.sgx.attributes import FLAG_DEBUG
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.sources.model import DIR

SUFFIX = ".tar.gz"
# What `tar -z` has: level 9 takes twice the time for a hundredth of the size.
_GZIP_LEVEL = 6
_SEALED_INITFS = f"build/initfs/{ROOT}"
_SIGNED = f"build/{SIGNED_LIBOS}"
_ARCHIVED = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_RUN = "run"
_KEY_FOLDER = os.path.dirname(IMAGE_KEY).encode()
METADATA = f"{ROOT}/metadata"
_MEMBERS = (
    ".__occlum_status",
    ".sgx_mode",
    "Occlum.json",
    "build/.Occlum_sys.json.protected",
    "build/bin",
    "build/initfs",
    _SIGNED,
    "build/mount",
    "initfs",
    _RUN,
)
# What no enclave boots without: all of it regular files.
_SEALED = (
    "build/.Occlum_sys.json.protected",
    *(f"build/{name}/{part}" for name in ("initfs", "mount") for part in (METADATA, ROOT_MAC)),
)
_BUILD_AGAIN = "run `occlum-build build --force`"


def check_packageable(instance: Path, *, debug: bool) -> None:
    """OcclumError `package` unless the instance is built and, without `debug`, for production."""
    if read_status(instance) != BUILT:
        raise OcclumError(
            "package",
            "the instance is not built, or its enclave is not signed",
            place=Place(str(instance)),
            hint="run `occlum-build build` first",
        )
    if debug:
        return
    hint = "--debug packages it all the same"
    if read_mode(instance) == "SIM":
        raise OcclumError("package", "the enclave is a simulated one (SIM)", hint=hint)
    enclave = instance / _SIGNED
    if not read_sigstruct(read_file(enclave, ENCLAVE_BYTES)).flags_mask & FLAG_DEBUG:
        raise OcclumError(
            "package",
            "the enclave is debuggable: its memory can be read from outside",
            place=Place(str(enclave)),
            hint=f"set metadata.debuggable to false and build again; {hint}",
        )


def package(instance: Path, out: Path, top: str) -> tuple[Problem, ...]:
    """Write the archive of an instance; `top` is the name of the directory in it.

    Sorted, times and owners zero, modes 0755 or 0644, and 0600 of what holds a key that is built
    in, and of the archive then. Gives a warning for each fifo, socket and device, as an enclave may
    have made in run/: they are left out. Raises OcclumError `package`.
    """
    left_out: list[Problem] = []
    try:
        with reading(instance), Change() as change:
            paths = list(_paths(instance, left_out))
            secret = _secret(instance)
            is_secret = bool(secret) or f"initfs/{IMAGE_KEY}" in paths
            mode = SECRET_MODE if is_secret else 0o666
            with open(os.open(change.part(out), CREATE, mode), "wb") as stream:
                _write(stream, instance, paths, top, secret)
            change.commit()
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("package", message, place=Place(str(error.filename or out))) from error
    return tuple(left_out)


def archived(tree: Mapping[str, str], mode: str) -> list[str]:
    """The paths that `package` archives of a complete instance of an SGX mode, in its order.

    `tree` has the kind of each path, as of occlum_build.sources.model.
    """
    names = tuple(f"build/lib/{pal_name(one)}" for one in ("HW", mode))
    libraries = [
        path for path in tree if path.startswith(names) and path.count("/") == names[0].count("/")
    ]
    paths = []
    for member in sorted({*_MEMBERS, *libraries}):
        paths.append(member)
        if tree[member] == DIR:
            paths += sorted(path for path in tree if path.startswith(f"{member}/"))
    return paths


def _paths(instance: Path, left_out: list[Problem]) -> Iterator[str]:
    """The paths of all members, parents first."""
    # On hardware this is the PAL itself, in other modes the links that lead to it.
    names = tuple(pal_name(mode) for mode in ("HW", read_mode(instance)))
    found = os.listdir(instance / "build/lib")
    libraries = [f"build/lib/{name}" for name in found if name.startswith(names)]
    for part in _SEALED:
        if not stat.S_ISREG(_mode(instance / part)):
            message = "is missing from the instance, or is no regular file"
            raise OcclumError(
                "package", message, place=Place(str(instance / part)), hint=_BUILD_AGAIN
            )
    for member in sorted({*_MEMBERS, *libraries}):
        if not os.path.lexists(instance / member):
            message = "is missing from the instance"
            raise OcclumError("package", message, place=Place(str(instance / member)))
        yield member
        if (instance / member).is_dir():
            yield from sorted(_below(instance, member, left_out))


def _mode(path: Path) -> int:
    return os.lstat(path).st_mode if os.path.lexists(path) else 0


def _below(instance: Path, member: str, left_out: list[Problem]) -> Iterator[str]:
    for path, entry in walk(instance / member):
        if stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) in _ARCHIVED:
            yield f"{member}/{path}"
        else:
            place = Place(str(instance / member / path))
            if member != _RUN:  # which enclaves write to
                message = "is neither a file nor a directory nor a symlink"
                raise OcclumError("package", message, place=place, hint=_BUILD_AGAIN)
            message = "left out: neither a file nor a directory nor a symlink"
            left_out.append(Problem("package", message, place, severity=WARNING))


def _secret(instance: Path) -> tuple[str, ...]:
    """How the paths begin of what holds the image key, where it is built in.

    Where a link leads to it, as Occlum writes through those, it may be anywhere in the tree.
    """
    initfs = instance / "initfs"
    places = [initfs / IMAGE_KEY, (initfs / IMAGE_KEY).parent]
    linked = ("initfs/",) if any(one.is_symlink() for one in places) else ()
    if not _holds_image_key(instance / _SEALED_INITFS):
        return linked
    return (f"{_SEALED_INITFS}/", *(linked or (f"initfs/{IMAGE_KEY}",)))


def _write(
    stream: BinaryIO, instance: Path, paths: list[str], top: str, secret: tuple[str, ...]
) -> None:
    with ExitStack() as stack:
        packed = stack.enter_context(gzip.GzipFile("", "wb", _GZIP_LEVEL, stream, mtime=0))
        archive = stack.enter_context(
            tarfile.TarFile(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT)
        )
        for path in paths:
            is_secret = path.startswith(secret)
            _add(archive, instance / path, f"{top}/{path}", is_secret=is_secret)


class _Named:
    """A stream whose errors tell of its file, and not of the archive."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path = stream, path

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            error.filename = str(self._path)
            raise


def _add(archive: tarfile.TarFile, path: Path, name: str, *, is_secret: bool) -> None:
    member = tarfile.TarInfo(name)
    if path.is_symlink():
        member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, os.readlink(path)
        archive.addfile(member)
    elif path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(member)
    else:
        with open_source(path) as source, open(source.descriptor, "rb", closefd=False) as content:
            member.size = source.size
            member.mode = 0o755 if source.status.st_mode & 0o100 else 0o644
            if is_secret:
                member.mode = SECRET_MODE
            try:
                archive.addfile(member, cast("BinaryIO", _Named(content, path)))
            finally:  # of a file that has become shorter, addfile does not tell the name
                source.check_unchanged()


def _holds_image_key(sealed: Path) -> bool:
    """Is the image key built into a sealed initfs, or a link in the place of its directory?"""
    try:
        with ImageReader(sealed) as reader:
            return any(
                entry.path == IMAGE_KEY.encode()
                or (entry.path == _KEY_FOLDER and entry.inode.type == FileType.SYMLINK)
                for entry in reader.walk()
            )
    except OcclumError:  # nobody reads a key from it
        return False


def _step(instance: str, out: str, top: str, table: str) -> None:
    complete_tree(instance, table)
    package(Path(instance), Path(out), top)


if __name__ == "__main__":
    usage = "occlum_build.occlum.package INSTANCE OUT TOP TABLE.json"
    sys.exit(run_step(_step, sys.argv[1:], usage))
