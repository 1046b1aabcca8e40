"""What a BOM asks for, with variables expanded and paths joined: the operations on the image.

In-image paths are relative to the image's root, in normal form; the root itself is "".
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from occlum_build.bom.model import Bom, CopyItem, FileItem, Target, Text
from occlum_build.bom.variables import UNDEFINED, expand
from occlum_build.errors import Place, Report
from occlum_build.shown import quoted
from occlum_build.sources.model import join


class MakeDir(NamedTuple):
    path: str
    place: Place
    mode: int | None = None  # permission bits, None where none are said


class MakeLink(NamedTuple):
    path: str
    target: str
    place: Place


class CopyDir(NamedTuple):
    """Copy a source into the directory `path`: itself, or only its contents."""

    source: str
    path: str
    contents_only: bool
    place: Place
    wildcard: bool = False  # the last part of the source may be a pattern
    base: str = ""  # the directory that a pattern is relative to


class CopyFile(NamedTuple):
    """Copy one file, links followed, to `path`."""

    source: str
    path: str
    place: Place
    autodep: bool = True
    sha256: str | None = None  # expected, lower-case hex
    wildcard: bool = False
    base: str = ""


class Operations(NamedTuple):
    """The operations of one BOM; each kind is carried out in turn: mkdirs, links, dirs, files."""

    bom: str
    excludes: tuple[str, ...]
    mkdirs: tuple[MakeDir, ...]
    links: tuple[MakeLink, ...]
    dirs: tuple[CopyDir, ...]
    files: tuple[CopyFile, ...]


def bom_operations(bom: Bom, workspace: str, env: Mapping[str, str], report: Report) -> Operations:
    """Expand one BOM; relative sources are joined to the source path `workspace`."""
    return _Expander(workspace, env, report).bom(bom)


def has_wildcard(name: str) -> bool:
    return any(character in name for character in "*?[")


class _Expander:
    def __init__(self, workspace: str, env: Mapping[str, str], report: Report) -> None:
        self.workspace = workspace
        self.env = env
        self.report = report
        self.mkdirs: list[MakeDir] = []
        self.links: list[MakeLink] = []
        self.dirs: list[CopyDir] = []
        self.files: list[CopyFile] = []

    def bom(self, bom: Bom) -> Operations:
        for target in bom.targets:
            self.target(target)
        return Operations(
            bom=bom.path,
            excludes=tuple(pattern.value for pattern in bom.excludes),
            mkdirs=tuple(one for one in self.mkdirs if UNDEFINED not in one.path),
            links=tuple(one for one in self.links if UNDEFINED not in one.path + one.target),
            dirs=tuple(one for one in self.dirs if UNDEFINED not in one.path + one.source),
            files=tuple(one for one in self.files if UNDEFINED not in one.path + one.source),
        )

    def target(self, target: Target) -> None:
        path = self.image_path("", self.expand(target.target), target.target.place, absolute=True)
        if path is None:
            return
        self.mkdirs.append(MakeDir(path, target.target.place))
        for mkdir in target.mkdirs:
            place = mkdir.path.place
            made = self.image_path(path, self.expand(mkdir.path), place)
            if made == "" and mkdir.mode is not None:
                self.fail("the image's root is 0755, always", place, "leave `mode` out")
            elif made is not None:
                self.mkdirs.append(MakeDir(made, place, mkdir.mode))
        for link in target.createlinks:
            name = self.image_path(path, self.expand(link.linkname), link.linkname.place)
            src = self.expand(link.src)
            if name == "":
                self.fail("the image's root cannot be a link", link.linkname.place)
            elif name is not None:
                self.links.append(MakeLink(name, src, link.linkname.place))
        for item in target.copy:
            self.copy(item, path)

    def copy(self, item: CopyItem, path: str) -> None:
        base: str | None = self.workspace
        if item.source is not None:
            value = self.expand(item.source)
            if not value:
                self.fail(
                    "`from` is empty", item.source.place, "leave it out to mean the workspace"
                )
                return
            base = self.source_path(self.workspace, value, item.source.place)
        if base is None:
            return
        if item.dirs is None and item.files is None:
            place = item.source.place if item.source else item.place
            self.dirs.append(CopyDir(base, path, True, place))
        for entry in item.dirs or ():
            self.copy_dir(entry, base, path)
        for file in item.files or ():
            self.copy_file(file, base, path)

    def copy_dir(self, entry: Text, base: str, path: str) -> None:
        value = self.expand(entry)
        if not value:
            self.fail("the directory's name is empty", entry.place)
            return
        source = self.source_path(base, value, entry.place)
        if source is None:
            return
        last = posixpath.basename(value.rstrip("/"))
        contents_only = value.endswith("/") or last in ("", ".", "..")
        self.dirs.append(
            CopyDir(source, path, contents_only, entry.place, has_wildcard(value), base)
        )

    def copy_file(self, item: FileItem, base: str, path: str) -> None:
        value, place = self.expand(item.name), item.name.place
        name = posixpath.basename(value)
        if value.endswith("/") or name in (".", ".."):
            self.report.error(
                "file", f"{quoted(value)} is no file name", place, "directories go under `dirs:`"
            )
            return
        if not name:
            self.fail("the file's name is empty", place)
            return
        source = self.source_path(base, value, place)
        if source is None:
            return
        wildcard = has_wildcard(value)
        rename = self.expand(item.rename) if item.rename else name
        if posixpath.basename(rename) in ("", "."):  # a directory, into which the file goes
            rename = posixpath.join(rename, name)
        target = self.image_path(path, rename, item.rename.place if item.rename else place)
        if target is None:
            return
        if target in ("", path):
            self.fail(
                f"{quoted(rename)} is no file name", item.rename.place if item.rename else place
            )
            return
        sha256 = item.hash.value.lower() if item.hash else None
        self.files.append(CopyFile(source, target, place, item.autodep, sha256, wildcard, base))

    def expand(self, text: Text) -> str:
        return expand(text, self.env, self.report)

    def source_path(self, base: str, value: str, place: Place) -> str | None:
        source = join(base, value)
        if source is None:
            self.fail(f"{quoted(value)} leaves the build root", place, "name a file below it")
        return source

    def image_path(
        self, base: str, value: str, place: Place, *, absolute: bool = False
    ) -> str | None:
        """`value` below the in-image directory `base`; reported when it leaves the image."""
        if value.startswith("/") and not absolute:
            self.fail(
                f"{quoted(value)} is absolute, but is taken relative to the item's `target`",
                place,
                "put it under an item with `target: /` and leave the leading slash out",
            )
            return None
        path = join(base, value.lstrip("/") or ".") if value else base
        if path is None:
            self.fail(f"{quoted(value)} leaves the image", place, "remove the `..`")
        elif "//" in path:
            path = posixpath.normpath(path)
        return path

    def fail(self, message: str, place: Place, hint: str = "") -> None:
        self.report.error("bom-invalid", message, place, hint)
