"""Puts the root file system of a run together, in namespaces of its own.

The directory of the image is bound; what a run writes goes to a layer above it, if it may write.
"""

from __future__ import annotations

import os
from contextlib import suppress

from occlum_build.run.layers import put_over
from occlum_build.run.spec import IN_PLACE, READ_ONLY, RootSpec
from occlum_build.run.system import (
    BIND,
    NO_DEVICES,
    NO_EXEC,
    NO_SETUID,
    PRIVATE,
    RECURSIVE,
    bind,
    enter_root,
    mount,
)

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "ptmx": "pts/ptmx",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
}
# Of /proc, what would change the machine where root is the machine's own root.
_READ_ONLY_PROC = (
    "acpi", "asound", "bus", "dynamic_debug", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger",
)  # fmt: skip
_LOWER, _SCRATCH, _ROOT = "lower", "scratch", "root"


def make_root(spec: RootSpec, folder: str) -> None:
    """Make the root file system the root of this process; `folder` is an empty directory for it.

    The process is the first of new namespaces of users, mounts and pids. Raises OSError.
    """
    mount("", "/", flags=PRIVATE | RECURSIVE)
    directory = os.path.abspath(spec.directory)
    mounts = [(one, os.path.abspath(one.source) if one.source else "") for one in spec.mounts]
    os.chdir(folder)  # its path may have what separates options
    for name in (_LOWER, _SCRATCH, _ROOT):
        os.mkdir(name)
    if spec.below:
        put_over(directory, spec, _ROOT)
    elif spec.access in (READ_ONLY, IN_PLACE):
        bind(directory, _ROOT, read_only=spec.access == READ_ONLY)
    else:
        _put_layer_over(directory)
    root = os.path.join(folder, _ROOT)
    _mount_system(root)
    for one, source in mounts:
        with _Place(root, one.target) as place:
            if not place:
                continue
            if source:
                bind(source, place)
            else:
                mount("tmpfs", place, "tmpfs", NO_DEVICES | NO_SETUID, "mode=755")
    enter_root(root)


def _put_layer_over(directory: str) -> None:
    """The image below an empty layer: on the disk, or in memory where it cannot be there."""
    bind(directory, _LOWER)
    try:
        _overlay()
    except OSError:  # the temporary directory is a layer itself, as in a container
        mount("tmpfs", _SCRATCH, "tmpfs", NO_DEVICES | NO_SETUID, "mode=755")
        _overlay()


def _overlay() -> None:
    for name in ("upper", "work"):
        with suppress(FileExistsError):
            os.mkdir(f"{_SCRATCH}/{name}")
    options = f"lowerdir={_LOWER},upperdir={_SCRATCH}/upper,workdir={_SCRATCH}/work,userxattr"
    mount("overlay", _ROOT, "overlay", options=options)


def _mount_system(root: str) -> None:
    """/proc and /dev, which the libOS has, too."""
    with _Place(root, "/proc") as place:
        if place:
            try:
                mount("proc", place, "proc", NO_SETUID | NO_DEVICES | NO_EXEC)
            except OSError:  # in a container that hides a part of its own /proc
                bind("/proc", place)
    with _Place(root, "/proc") as place:
        for name in _READ_ONLY_PROC if place else ():
            if os.path.exists(path := f"{place}/{name}"):
                bind(path, path, read_only=True)
    with _Place(root, "/dev") as place:
        if place:
            mount("tmpfs", place, "tmpfs", NO_SETUID, "mode=755")
    with _Place(root, "/dev") as place:
        if place:
            _fill_dev(place)


def _fill_dev(dev: str) -> None:
    for name in _DEVICES:
        if os.path.exists(f"/dev/{name}"):
            os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_WRONLY, 0o600))
            mount(f"/dev/{name}", f"{dev}/{name}", flags=BIND)
    for name, target in sorted(_LINKS.items()):
        os.symlink(target, f"{dev}/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")
    options = "newinstance,ptmxmode=0666,mode=0620"
    mount("devpts", f"{dev}/pts", "devpts", NO_SETUID | NO_EXEC, options)
    mount("tmpfs", f"{dev}/shm", "tmpfs", NO_SETUID | NO_DEVICES, "mode=1777")


class _Place:
    """A directory of the new root as a path from outside: its links are those of that root.

    "" where there is no such directory.
    """

    def __init__(self, root: str, path: str) -> None:
        self._root, self._path = root, path
        self._descriptor = -1

    def __enter__(self) -> str:
        outside = os.open("/", os.O_PATH | os.O_DIRECTORY)
        try:
            os.chroot(self._root)
            with suppress(OSError):
                flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
                self._descriptor = os.open(f"/{self._path}", flags)
        finally:
            os.fchdir(outside)
            os.chroot(".")
            os.close(outside)
        return "" if self._descriptor < 0 else f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_exception: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
