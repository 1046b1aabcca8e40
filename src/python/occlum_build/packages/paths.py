"""Where the entry of a package stands in a root: one path for each, also where /usr is merged."""

from __future__ import annotations

import os
import posixpath

from occlum_build.files.compressed import BadArchive
from occlum_build.files.trees import PATH_BYTES, is_too_long
from occlum_build.shown import quoted

# What a merged /usr has under /usr, and at the top only as links to that (Debian's usrmerge).
MERGED = ("bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin")
NAME_BYTES = 255  # of one component, NAME_MAX of Linux
_MERGED = frozenset(MERGED)


def canonical(name: str, merged_usr: bool) -> str:
    """The absolute path of a name in a package, as `./bin/sh`; "/" for the package's top.

    Raises BadArchive for a name that no entry may have.
    """
    if name.startswith("/"):
        raise _bad(name, "is absolute")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _bad(name, "has a component `..`")
    check_text(name, name)
    if merged_usr and parts and parts[0] in _MERGED:
        parts = ["usr", *parts]
    path = "/" + "/".join(parts)
    if is_too_long(path):
        raise _bad(name, f"has more than {PATH_BYTES} bytes")
    if any(len(os.fsencode(part)) > NAME_BYTES for part in parts):
        raise _bad(name, f"has a component of more than {NAME_BYTES} bytes")
    return path


def of_root(path: str, merged_usr: bool) -> str:
    """The canonical form of an absolute path, as scripts name it. Raises BadArchive."""
    if not path.startswith("/"):
        raise _bad(path, "is not absolute")
    return canonical(path.lstrip("/"), merged_usr)


def is_absolute(path: str, *, top: bool = False) -> bool:
    """Whether a root may have this path: no `.`, `..`, double slashes, none at its end.

    top: "/" is one as well.
    """
    if path == "/":
        return top
    try:
        return path.startswith("/") and canonical(path[1:], merged_usr=False) == path
    except BadArchive:
        return False


def check_text(text: str, name: str) -> None:
    """Raise BadArchive for a name or target that is no UTF-8 or has a NUL."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _bad(name, "is not UTF-8") from None
    if "\0" in text:
        raise _bad(name, "has a NUL")


def is_top(name: str) -> bool:
    """Whether a name in a package is one of ./bin, ./lib, ..., which a merged /usr has as links."""
    return name[2 * name.startswith("./") :] in _MERGED


def leads_to(name: str, target: str, merged_usr: bool) -> str:
    """The canonical path that the link of a name in a package names, no other link followed."""
    joined = posixpath.normpath(posixpath.join("/", posixpath.dirname(name), target))
    return of_root("/" + joined.lstrip("/"), merged_usr)


def _bad(name: str, what: str) -> BadArchive:
    return BadArchive(f"the name {quoted(name)} in it {what}")
