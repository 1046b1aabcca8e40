"""Where the libOS mounts at boot: each mount point must be a directory then.

/proc and /dev come first, the mounts of Occlum.json follow in their order, an ext2 comes last.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from occlum_build.checks.root import Root
from occlum_build.errors import WARNING, Place, Problem
from occlum_build.image.entries import DIR
from occlum_build.sgx.config.findings import Path, path_text, place_of, shown
from occlum_build.sgx.config.jsontext import Node
from occlum_build.sgx.config.model import Mount

CODE = "libos-mount"
_OWN = (Mount("procfs", "/proc"), Mount("devfs", "/dev"))
_ETC = "/etc"  # the libOS writes hosts, hostname and resolv.conf there


@dataclass(frozen=True)
class _Missing:
    path: str
    needed_for: str
    place: Place | None


def mount_problems(root: Root, document: Node, mounts: tuple[Mount, ...]) -> Iterator[Problem]:
    """What is wrong with the mount points of a configuration; `document` tells their places."""
    missing: list[_Missing] = []
    mounted: dict[str, str] = {}  # mount point -> type
    for mount, path in _in_order(mounts):
        point, rest = _mount_point(root, mount.target, mounted)
        place = place_of(document, path) if path else None
        name = f"{path_text(path)}: {shown(mount.target)}" if path else mount.target
        if rest:
            if mounted[point] == "ramfs":
                message = f"{name} lies in the ramfs on {point}, which is empty at boot: it fails"
                yield _warning(message, place, "mount it first, or somewhere else")
        elif point == "":
            who = f"{mount.type} of {path_text(path[:-1])}" if path else mount.type
            missing.append(_Missing(_normal(mount.target), who, place))
        elif point not in mounted and root.kind(point) != DIR:
            message = f"{name} is a file of the image, and no directory to mount on: the boot fails"
            yield _warning(message, place, "mount it on a directory that the BOM makes")
        mounted[_normal(mount.target) if rest or not point else point] = mount.type
    if root.kind(_ETC) != DIR and _ETC not in mounted:
        missing.append(_Missing(_ETC, "hosts and resolv.conf", None))
    if missing:
        yield _lacking(missing, document.place)


def _lacking(missing: list[_Missing], place: Place) -> Problem:
    unique = list({one.path: one for one in missing}.values())
    shown_ones = ", ".join(f"{one.path} ({one.needed_for})" for one in unique)
    names = ", ".join(one.path.lstrip("/") for one in unique)
    return _warning(
        f"the libOS fails at boot, as the image lacks directories for it: {shown_ones}",
        next((one.place for one in missing if one.place), place),
        f"make them in a BOM, target /: `mkdirs: [{names}]`, or include Occlum's base.yaml",
    )


def _warning(message: str, place: Place | None, hint: str) -> Problem:
    return Problem(CODE, message, place, hint, severity=WARNING)


def _in_order(mounts: tuple[Mount, ...]) -> Iterator[tuple[Mount, Path]]:
    """The mounts with the paths of their targets, () for those that Occlum adds."""
    given: list[tuple[Mount, Path]] = [
        (mount, ("mount", index, "target"))
        for index, mount in enumerate(mounts)
        if mount.target.startswith("/") and _normal(mount.target) != "/"
    ]
    own: list[tuple[Mount, Path]] = [(mount, ()) for mount in _OWN]
    first = [one for one in given if one[0].type != "ext2"]
    yield from [*own, *first, *(one for one in given if one[0].type == "ext2")]


def _mount_point(root: Root, target: str, mounted: dict[str, str]) -> tuple[str, list[str]]:
    """The path that a target leads to in the image, "" where nothing is.

    Where something is mounted on the way, that mount point, and the rest of the target's path.
    """
    here, rest = "/", [part for part in target.split("/") if part not in ("", ".")]
    while rest:
        found = root.resolve(posixpath.join(here, rest.pop(0)))
        if found is None:
            return "", []
        here = found
        if here in mounted and rest:
            return here, rest
    return here, []


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
