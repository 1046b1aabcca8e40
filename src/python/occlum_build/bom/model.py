"""A bill of materials as written: every text with its place, nothing expanded."""

from __future__ import annotations

from dataclasses import dataclass

from occlum_build.errors import Place


@dataclass(frozen=True)
class Text:
    value: str
    place: Place


@dataclass(frozen=True)
class DirItem:
    """A directory to make; `mode` is its permission bits (0 to 0o7777), None where none is said."""

    path: Text
    mode: int | None = None


@dataclass(frozen=True)
class LinkItem:
    src: Text
    linkname: Text


@dataclass(frozen=True)
class FileItem:
    name: Text
    hash: Text | None = None
    autodep: bool = True
    rename: Text | None = None


@dataclass(frozen=True)
class CopyItem:
    """One item of `copy:`; without `dirs` and `files` (both None) the whole source is meant."""

    place: Place
    source: Text | None
    dirs: tuple[Text, ...] | None
    files: tuple[FileItem, ...] | None


@dataclass(frozen=True)
class Target:
    target: Text
    mkdirs: tuple[DirItem, ...] = ()
    createlinks: tuple[LinkItem, ...] = ()
    copy: tuple[CopyItem, ...] = ()


@dataclass(frozen=True)
class Bom:
    path: str
    includes: tuple[Text, ...] = ()
    excludes: tuple[Text, ...] = ()
    targets: tuple[Target, ...] = ()
