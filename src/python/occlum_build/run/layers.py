"""An image above another root file system, which shows where the image has nothing.

Each directory at the top is a layer of its own: of two layers none may lie in the other, as an
image does in the root of the machine that it is on.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from occlum_build.run.spec import SCRATCH, RootSpec
from occlum_build.run.system import NO_DEVICES, NO_SETUID, bind, mount

# What a machine has at run time, and what is its users': nothing of it is installed.
NOT_INSTALLED = (
    "boot", "dev", "home", "lost+found", "media", "mnt", "proc", "root", "run", "sys", "tmp",
)  # fmt: skip
_IMAGE, _BELOW, _HIDDEN, _BARE, _SCRATCH = "lower", "below", "hidden", "bare", "written"
_SEPARATORS = frozenset(":,\\")  # of mount options


def put_over(directory: str, spec: RootSpec, root: str) -> None:
    """Mount an image above `spec.below` at `root`, all relative to the working directory.

    A directory of which no layer can be made shows what the image has. Raises OSError where that
    is so of all.
    """
    bind(directory, _IMAGE)
    os.mkdir(_BELOW)
    bind(os.path.abspath(spec.below), _BELOW)
    for name in (_HIDDEN, _BARE, _SCRATCH):
        os.mkdir(name)
        mount("tmpfs", name, "tmpfs", NO_DEVICES | NO_SETUID, "mode=755")
    names = _installed(spec.below)
    _make_bare(names)
    for path in spec.hidden:
        _hide(path)
    is_writable = spec.access == SCRATCH
    _overlay(root, [_IMAGE, _BARE], "root" if is_writable else "")
    layered, failure = 0, None
    for name in names:
        place = f"{root}/{name}"
        if os.path.islink(place) or not os.path.isdir(place):
            continue
        above = (f"{_IMAGE}/{name}", f"{_HIDDEN}/{name}", f"{_BARE}/{name}")
        layers = [one for one in above if os.path.isdir(one) and not os.path.islink(one)]
        try:
            _overlay(place, [*layers, _real(name)], name if is_writable else "")
            layered += 1
        except OSError as error:  # it has the image in it, or cannot be a layer
            failure = error
    if failure is not None and not layered:
        raise failure


def _installed(below: str) -> list[str]:
    """The names at the top of a root file system that may be layers."""
    return sorted(
        name
        for name in os.listdir(below)
        if name not in NOT_INSTALLED
        and not _SEPARATORS & {*name}
        and os.path.isdir(os.path.join(below, name))
    )


def _make_bare(names: list[str]) -> None:
    """The directories and links at the top, for what the image lacks of them."""
    for name in names:
        found = f"{_BELOW}/{name}"
        if os.path.islink(found):
            os.symlink(os.readlink(found), f"{_BARE}/{name}")
        else:
            os.mkdir(f"{_BARE}/{name}")


def _real(name: str) -> str:
    """The directory below that a name at the top leads to. Raises OSError where it leads out."""
    real = os.path.relpath(os.path.realpath(f"{_BELOW}/{name}"), os.path.realpath(_BELOW))
    if real.startswith("..") or _SEPARATORS & {*real}:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), f"layer {name}")
    return f"{_BELOW}/{real}"


def _hide(path: str) -> None:
    """A whiteout: what overlayfs takes for a file that is not there."""
    place = f"{_HIDDEN}/{path}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with suppress(FileExistsError):
        os.mknod(place, stat.S_IFCHR, 0)


def _overlay(place: str, layers: list[str], written: str) -> None:
    options = f"lowerdir={':'.join(layers)},userxattr"
    if written:
        upper, work = f"{_SCRATCH}/{written}/upper", f"{_SCRATCH}/{written}/work"
        os.makedirs(upper)
        os.makedirs(work)
        options += f",upperdir={upper},workdir={work}"
    mount("overlay", place, "overlay", options=options)
