"""What is to be verified: an instance, an archive of one, a bundle of rune or an OCI image."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files import tar_reader
from occlum_build.files.tar_reader import Member
from occlum_build.files.trees import remove_tree
from occlum_build.oci.config import ROOTFS
from occlum_build.oci.runtimes import INSTANCE
from occlum_build.verify import bundle, layers
from occlum_build.verify.files import CODE, Files, files_of_directory
from occlum_build.verify.members import Merged, check_names, instances_in, opened, unpack
from occlum_build.verify.rows import Table

KINDS = ("instance", "archive", "bundle", "oci")
_ARCHIVE_OF_LAYOUT = (layers.LAYOUT, layers.INDEX)


@dataclass(frozen=True)
class Target:
    """An instance that can be read; `files` is None where rows say why it cannot.

    `records`: the directory that may hold its measurement.json. `labels` of an OCI image, `program`
    of a bundle.
    """

    kind: str
    files: Files | None
    records: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    program: str = ""


@contextmanager
def open_target(path: Path, ref: str | None, table: Table) -> Iterator[Target]:
    """What is at a path, by what it holds; archives are unpacked to a temporary directory.

    `ref` names one of several images of a layout. Raises OcclumError `verify` for what is nothing
    of this.
    """
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            with _of_directory(path, ref, table) as target:
                yield target
            return
        with _temporary() as out:
            yield _of_archive(path, ref, out, table)
    except OSError as error:
        message = error.strerror or "cannot be read"
        # Not the name in the error: a temporary one, which nobody knows, and may be long.
        raise OcclumError(CODE, message, place=Place(str(path))) from error


@contextmanager
def _of_directory(path: Path, ref: str | None, table: Table) -> Iterator[Target]:
    """Also of a directory in `dist/`, which holds one of these under a name of its own."""
    for folder in (path, path / "bundle", path / "layout"):
        if _has(folder, bundle.CONFIG) and _has(folder, ROOTFS, is_dir=True):
            files, program = bundle.files_of_bundle(folder)
            yield Target("bundle", files, program=program)
            return
        if _has(folder, layers.LAYOUT):
            with _temporary() as out:
                image = layers.read_image(folder, ref, out, table)
                yield Target("oci", image.files, labels=image.labels)
            return
    for folder in (path, path / INSTANCE):
        if _has(folder, "build", is_dir=True):
            yield Target("instance", files_of_directory(folder), path)
            return
    raise OcclumError(
        CODE,
        "is no instance, no bundle and no OCI image layout",
        place=Place(str(path)),
        hint="give the directory that has build/, config.json and rootfs/, or oci-layout, or an"
        " archive of an instance or of a layout",
    )


def _of_archive(path: Path, ref: str | None, out: Path, table: Table) -> Target:
    with opened(path) as stream:
        members = tar_reader.members_of(stream)
    merged = Merged()
    merged.add(members)
    if all(name in merged.top.below for name in _ARCHIVE_OF_LAYOUT):
        layout, instance = out / "layout", out / "instance"
        layout.mkdir()
        instance.mkdir()
        unpack([path], merged, "", layout)
        check_names(merged, "", table, path.name)
        image = layers.read_image(layout, ref, instance, table)
        return Target("oci", image.files, labels=image.labels)
    found = _one_instance(path, members)
    files = unpack([path], merged, found, out)
    check_names(merged, found, table, path.name)
    return Target("archive", files)


def _one_instance(path: Path, members: list[Member]) -> str:
    found = sorted(instances_in(members))
    if len(found) != 1:
        what = "no instance with a signed enclave" if not found else "more than one instance"
        hint = "give an archive of `occlum-build package`, or of an OCI image layout"
        raise OcclumError(CODE, f"the archive holds {what}", place=Place(str(path)), hint=hint)
    return found[0]


@contextmanager
def _temporary() -> Iterator[Path]:
    """A directory that is removed at the end, however deep an archive has made it."""
    path = Path(tempfile.mkdtemp(prefix="occlum-build-verify-"))
    try:
        yield path
    finally:
        remove_tree(path)


def _has(folder: Path, name: str, *, is_dir: bool = False) -> bool:
    """Is there a file, or a directory, of that name, and no link?"""
    try:
        mode = os.lstat(folder / name).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) if is_dir else stat.S_ISREG(mode)
