"""An image whose configuration mounts ext2 needs mke2fs, which Occlum copies from the host."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path

from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.occlum import entries as tree
from occlum_build.occlum.adding import install, kinds_below
from occlum_build.occlum.configure import mounts_ext2, read_config
from occlum_build.occlum.toolchain import (
    GLIBC_DIR,
    GLIBC_LOADER,
    GLIBC_NAMES,
    OS_LIB_DIRS,
    ToolchainDirectory,
)
from occlum_build.sources.model import DIR, resolve
from occlum_build.sources.os import OsSources

_MKE2FS = "usr/sbin/mke2fs"
_IN_IMAGE = "sbin/mke2fs"
_LIBRARIES = ("libext2fs.so.2", "libcom_err.so.2", "libblkid.so.1", "libuuid.so.1", "libe2p.so.2")


def add_mke2fs(instance: Path, toolchain: Path) -> None:
    """Put mke2fs and its libraries into `image/`, as `occlum build` does where ext2 is mounted.

    One that is there stays. Raises OcclumError `ext2` for what neither the toolchain's system nor
    this machine has.
    """
    image = instance / "image"
    config = instance / "Occlum.json"
    inside = OsSources(str(image))
    if not image.is_dir() or resolve(inside, f"/{_IN_IMAGE}") or not config.is_file():
        return
    if not mounts_ext2(read_config([config])):
        return
    if image.is_symlink():
        message = "is a symlink, where a directory belongs: mke2fs is put into it"
        hint = "make it a directory, or name mke2fs in a BOM, target /sbin"
        raise OcclumError("ext2", message, place=Place(str(image)), hint=hint)
    layout = ToolchainDirectory(toolchain)
    # Of the system around the toolchain, else of this machine.
    own, both = (layout,), (layout, ToolchainDirectory(Path("/")))
    wanted = {
        _IN_IMAGE: (both, (_MKE2FS,)),
        f"lib64/{GLIBC_LOADER}": (own, (f"{GLIBC_DIR}/{GLIBC_LOADER}",)),
        **{f"{GLIBC_DIR}/{name}": (own, (f"{GLIBC_DIR}/{name}",)) for name in GLIBC_NAMES},
        **{
            f"{GLIBC_DIR}/{name}": (both, tuple(f"{folder}/{name}" for folder in OS_LIB_DIRS))
            for name in _LIBRARIES
        },
    }
    found = {
        path: next((file for one in layouts if (file := one.file(*places))), None)
        for path, (layouts, places) in wanted.items()
    }
    missing = [_problem(path, *wanted[path]) for path, source in found.items() if source is None]
    if missing:
        raise OcclumError.of(missing)
    entries = [
        tree.copy_of(_real(inside, path), source) for path, source in found.items() if source
    ]
    loader = f"{GLIBC_DIR}/{GLIBC_LOADER}"
    entries.append(tree.link(_real(inside, loader), f"/lib64/{GLIBC_LOADER}"))
    there = kinds_below(image)
    install([one for one in tree.merged(entries) if not _is_kept(one, there(one.path))], image)


def _is_kept(entry: tree.TreeEntry, there: str | None) -> bool:
    """Directories that are there keep their modes."""
    return entry.kind == DIR and there == DIR


def _real(image: OsSources, path: str) -> str:
    """Where a new file of the image is, links of directories followed as its programs do."""
    folder, name = posixpath.split(path)
    missing = [name]
    while folder and resolve(image, f"/{folder}") is None:
        folder, name = posixpath.split(folder)
        missing.append(name)
    real = resolve(image, f"/{folder}") or "/"
    return posixpath.join(real, *reversed(missing)).strip("/")


def _problem(path: str, layouts: Iterable[ToolchainDirectory], places: Iterable[str]) -> Problem:
    paths = dict.fromkeys(str(one.path(place)) for one in layouts for place in places)
    searched = " nor ".join(paths)
    return Problem(
        "ext2",
        f"an ext2 file system is mounted, for which the image needs /{path}; "
        f"{searched} does not exist",
        hint="install e2fsprogs, or name mke2fs in a BOM, target /sbin",
    )
