"""A fresh instance, as `occlum init` makes it: image skeleton, initfs, the default Occlum.json."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.change import Change
from occlum_build.files.recovery import sweep
from occlum_build.occlum import entries as tree
from occlum_build.occlum import instance as layout
from occlum_build.occlum.adding import install, real_directories
from occlum_build.occlum.entries import TreeEntry
from occlum_build.occlum.init_ra import attesting_initfs
from occlum_build.occlum.initfs import HOSTS, default_initfs, musl_libraries
from occlum_build.occlum.toolchain import (
    GLIBC,
    GLIBC_DIR,
    GLIBC_LOADER,
    GLIBC_NAMES,
    INITFS,
    OCCLUM_DIR,
    OS_NAMES,
    TEMPLATE,
    Toolchain,
    ToolchainDirectory,
    find,
)

_IMAGE_DIRECTORIES = (
    *("bin", "lib", "lib64", "root", "host", "tmp", "dev", "proc", "etc", "sbin", "ext2"),
)


def plan_fresh(
    toolchain_root: Path, localtime: Path | None = None, init_ra: str = ""
) -> tuple[TreeEntry, ...]:
    """All entries of a fresh instance. With Occlum's glibc the image gets that as well as musl.

    `localtime`: a time zone file for image and initfs; without it their time is UTC. `init_ra`: the
    attestation client of the initfs, "grpc_ratls" or "aecs", "" for none.
    """
    find(toolchain_root, "HW", ())  # what is no toolchain at all is not told by its glibc
    has_glibc = ToolchainDirectory(toolchain_root).directory(GLIBC_DIR) is not None
    groups = [INITFS, TEMPLATE, *([GLIBC] if has_glibc else [])]
    toolchain = find(toolchain_root, "HW", groups)
    config = replace(tree.copy_of("Occlum.json", toolchain.files["template"]), mode=0o644)
    glibc = _glibc(toolchain, localtime) if has_glibc else ()
    if init_ra:
        initfs, conf = attesting_initfs(init_ra, toolchain, toolchain_root, glibc, localtime)
    else:
        initfs, conf = default_initfs(toolchain, localtime), ()
    return tree.merged(
        _below("image", _image(toolchain, localtime)),
        _below("image", glibc),
        _below("initfs", initfs),
        [config, tree.file_of(layout.STATUS, f"{layout.INITIALIZED}\n".encode()), *conf],
    )


def make_instance(path: Path, planned: Iterable[TreeEntry]) -> None:
    """Write a fresh instance as the new directory `path`: complete or not at all."""
    try:
        if not path.name:
            raise FileExistsError
        with _made_parents(path), Change() as change:
            part = change.part(path, must_be_new=True)
            tree.write(planned, part)
            change.commit()
    except FileExistsError as error:
        where = str(error.filename or path)
        raise OcclumError("instance", "exists already", place=Place(where)) from None
    except OSError as error:
        message = error.strerror or "cannot be made"
        where = str(error.filename or path)
        raise OcclumError("instance", message, place=Place(where)) from error


def init_instance(directory: Path, planned: Iterable[TreeEntry]) -> None:
    """Write a fresh instance into an existing directory: complete or not at all."""
    entries = list(planned)
    with layout.writing(directory):
        for one in real_directories(entries, directory):
            sweep(one)
        if os.path.lexists(directory / layout.STATUS):
            message = "the directory is an Occlum instance already"
            raise OcclumError("instance", message, place=Place(str(directory)))
        install(entries, directory)


@contextmanager
def _made_parents(path: Path) -> Iterator[None]:
    """The directories above a path, which are gone again when the body fails."""
    missing = [one for one in path.parents if not os.path.lexists(one)]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for one in missing:
            with suppress(OSError):
                one.rmdir()
        raise


def _image(toolchain: Toolchain, localtime: Path | None) -> tuple[TreeEntry, ...]:
    return tree.merged(
        [tree.directory(path) for path in _IMAGE_DIRECTORIES],
        [tree.file_of("etc/hosts", HOSTS)],
        [tree.time_zone("etc/localtime", localtime)] if localtime else [],
        musl_libraries(toolchain),
    )


def _glibc(toolchain: Toolchain, localtime: Path | None) -> tuple[TreeEntry, ...]:
    etc = f"{OCCLUM_DIR}/glibc/etc"
    return tree.merged(
        [
            tree.directory(etc),
            tree.copy_of(f"lib64/{GLIBC_LOADER}", toolchain.files[f"glibc/{GLIBC_LOADER}"]),
            tree.link(f"{GLIBC_DIR}/{GLIBC_LOADER}", f"/lib64/{GLIBC_LOADER}"),
        ],
        [
            tree.copy_of(f"{GLIBC_DIR}/{name}", toolchain.files[f"glibc/{name}"])
            for name in (*GLIBC_NAMES, *OS_NAMES)
        ],
        [tree.time_zone(f"{etc}/localtime", localtime)] if localtime else [],
    )


def _below(folder: str, entries: Iterable[TreeEntry]) -> list[TreeEntry]:
    return [replace(entry, path=f"{folder}/{entry.path}") for entry in entries]
