"""What stands at a path of a root file system that exists only as entries."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from occlum_build.occlum.instance import SIGNED_LIBOS
from occlum_build.oci.runtimes import INSTANCE, RUNE_DIRECTORY
from occlum_build.sources.model import DIR, MAX_LINKS, SYMLINK

# A container runtime mounts over the first three, Docker writes into /etc.
MOUNT_POINTS = ("dev", "proc", "sys", "etc", "tmp")
INSTANCE_PATH = f"{RUNE_DIRECTORY}/{INSTANCE}".lstrip("/")
_LIBOS = "build/lib/libocclum-libos"
# Left behind by a build, and of no use to a PAL.
_BUILD_ONLY = ("build/.Occlum_sys.json", "build/Enclave.xml", "build/image_config.json")


def in_container(path: str) -> bool:
    """Does a path of an instance belong into a container, as into `occlum package`'s archive?

    What is left out: the libOS before it was signed and the plain texts of what is in it.
    """
    is_unsigned = path.startswith(_LIBOS) and path != f"build/{SIGNED_LIBOS}"
    return path not in _BUILD_ONLY and not is_unsigned


class RootFs:
    """The entries of a root file system; paths are relative to it."""

    def __init__(self, entries: Iterable[tuple[str, str, str]]) -> None:
        """Each entry is path, kind and link target."""
        self._entries = {path: (kind, target) for path, kind, target in entries}
        for path in list(self._entries):
            parent = posixpath.dirname(path)
            while parent and parent not in self._entries:
                self._entries[parent] = (DIR, "")
                parent = posixpath.dirname(parent)
        self._names = _names(self._entries)

    def resolve(self, path: str) -> str | None:
        """Where an absolute path leads, links followed; None where nothing is."""
        found = ""
        pending = [part for part in path.split("/") if part][::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part in (".", ".."):
                found = posixpath.dirname(found) if part == ".." else found
                continue
            step = posixpath.join(found, part)
            kind, target = self._entries.get(step, ("", ""))
            if kind == SYMLINK and links < MAX_LINKS:
                links += 1
                found = "" if target.startswith("/") else found
                pending += [one for one in target.split("/") if one][::-1]
            elif kind in ("", SYMLINK):
                return None
            else:
                found = step
        return found

    def kind(self, path: str) -> str:
        """The kind of what an absolute path leads to, "" where nothing is."""
        found = self.resolve(path)
        if found is None:
            return ""
        return self._entries[found][0] if found else DIR

    def names(self, path: str) -> list[str]:
        """The sorted names in the directory that an absolute path leads to."""
        found = self.resolve(path)
        return sorted(self._names.get(found, ())) if found is not None else []


def _names(entries: Mapping[str, object]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path in entries:
        if path:
            folder, name = posixpath.split(path)
            names.setdefault(folder, []).append(name)
    return names
