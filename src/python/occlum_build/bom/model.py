"""A bill of materials as written: every text with its place, nothing expanded."""

from __future__ import annotations

from typing import NamedTuple

from occlum_build.errors import Place


class Text(NamedTuple):
    value: str
    place: Place


class DirItem(NamedTuple):
    """A directory to make; `mode` is its permission bits (0 to 0o7777), None where none is said."""

    path: Text
    mode: int | None = None


class LinkItem(NamedTuple):
    src: Text
    linkname: Text


class FileItem(NamedTuple):
    name: Text
    hash: Text | None = None
    autodep: bool = True
    rename: Text | None = None


class CopyItem(NamedTuple):
    """One item of `copy:`; without `dirs` and `files` (both None) the whole source is meant."""

    place: Place
    source: Text | None
    dirs: tuple[Text, ...] | None
    files: tuple[FileItem, ...] | None


class Target(NamedTuple):
    target: Text
    mkdirs: tuple[DirItem, ...] = ()
    createlinks: tuple[LinkItem, ...] = ()
    copy: tuple[CopyItem, ...] = ()


class Bom(NamedTuple):
    path: str
    includes: tuple[Text, ...] = ()
    excludes: tuple[Text, ...] = ()
    targets: tuple[Target, ...] = ()
