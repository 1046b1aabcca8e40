"""The files of a project that matter: BOMs, scripts for Occlum, its configurations, BUILD files."""

from __future__ import annotations

import os
import pkgutil
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from occlum_build.bom.load import BASE_BOM
from occlum_build.bom.model import Bom
from occlum_build.bom.parse import parse_if_bom
from occlum_build.bom.variables import names_of
from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import BOM_BYTES, CONFIG_BYTES
from occlum_build.files.reading import read_file
from occlum_build.packages.shell import MAX_SCRIPT_BYTES
from occlum_build.sgx.config import parse_json
from occlum_build.sgx.config.jsontext import Object, plain

MOST_FILES = 200_000
_LEFT_OUT = frozenset(["dist", "node_modules", "__pycache__"])
_OF_AN_INSTANCE = ".__occlum_status"
_SCRIPT = re.compile(rb"\bocclum\b|\bcopy_bom\b")


@dataclass(frozen=True)
class BomFile:
    """A BOM of the project."""

    bom: Bom

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The variables that it needs."""
        return tuple(dict.fromkeys(name for text in _texts(self.bom) for name in names_of(text)))


@dataclass
class Tree:
    """What there is; all paths are relative to the root."""

    root: Path
    folder: str = ""  # that was looked at
    boms: dict[str, BomFile] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)  # scripts, and why
    configs: dict[str, Any] = field(default_factory=dict)
    build_files: dict[str, str] = field(default_factory=dict)  # by directory
    files: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)  # with files in them, or below
    links: set[str] = field(default_factory=set)  # to directories

    def read(self, path: str) -> bytes | None:
        """A BOM by its path; those of Occlum's are in no project, but for the one we have."""
        if path in self.boms:
            return read_file(self.root / path, BOM_BYTES)
        return pkgutil.get_data("occlum_build.bom", "base.yaml") if path == BASE_BOM else None


def root_of(folder: Path) -> Path:
    """The build root of Pants above a directory; the directory itself where there is none."""
    return next(
        (one for one in (folder, *folder.parents) if (one / "pants.toml").is_file()), folder
    )


def look(folder: Path, root: Path) -> Tree:
    """Look at a directory, which is the root or below it; links to directories are not followed."""
    start = folder.relative_to(root).as_posix()
    tree = Tree(root, "" if start == "." else start)
    for path in _files(folder, root, tree):
        name = posixpath.basename(path)
        if name.endswith((".yaml", ".yml")):
            bom = parse_if_bom(_content(root, path, BOM_BYTES), path)
            if bom is not None:
                tree.boms[path] = BomFile(bom)
        elif name.endswith((".sh", ".bash")):
            try:
                content = read_file(root / path, MAX_SCRIPT_BYTES, name=path)
            except OcclumError as error:
                tree.unread[path] = error.problems[0].message
                continue
            if _SCRIPT.search(content):
                tree.scripts[path] = content.decode("utf-8", "replace")
        elif name.endswith(".json"):
            config = _config(_content(root, path, CONFIG_BYTES))
            if config is not None:
                tree.configs[path] = config
    return tree


def _files(folder: Path, root: Path, tree: Tree) -> Iterator[str]:
    """What may be read, sorted; the tree has the hidden files as well, and links to files.

    Hidden directories, which Pants ignores, instances, and what builds make are passed over.
    """
    pending = [tree.folder]
    count = 0
    while pending:
        directory = pending.pop()
        with os.scandir(root / directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        count += len(found)
        if count > MOST_FILES:
            place = Place(str(folder))
            message = f"there are more than {MOST_FILES:,} files"
            raise OcclumError("switch", message, place=place, hint="name a directory in it")
        if any(entry.name == _OF_AN_INSTANCE for entry in found):
            continue
        for entry in found:
            path = posixpath.join(directory, entry.name)
            if entry.name.partition(".")[0] == "BUILD":  # whatever it is, none is written there
                tree.build_files.setdefault(directory, path)
            if entry.name in _LEFT_OUT or not _is_text(path):
                continue
            is_hidden = entry.name.startswith(".")
            is_directory, is_file = _kind(entry)
            if is_directory and entry.is_symlink():
                tree.links.add(path)
            elif is_directory and not is_hidden:
                pending.append(path)
            elif is_file:
                _add(tree, path)
                if not is_hidden and not entry.is_symlink():
                    yield path


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Is it a directory, and is it a file? A link is what it leads to, if that can be told."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself, or to where nobody may look
        return False, False


def _add(tree: Tree, path: str) -> None:
    """Note a file, and the directories that it is in."""
    tree.files.add(path)
    while path and (path := posixpath.dirname(path)) not in tree.directories:
        tree.directories.add(path)


def _is_text(path: str) -> bool:
    """Can a BUILD file name it?"""
    try:
        return path.isprintable() and bool(path.encode())
    except UnicodeEncodeError:
        return False


def _content(root: Path, path: str, most: int) -> bytes:
    """What is in a file; nothing for one that is too large, or cannot be read."""
    try:
        return read_file(root / path, most)
    except OcclumError:
        return b""


def _config(content: bytes) -> Any:
    """An Occlum.json; None for any other file."""
    if b'"resource_limits"' not in content:
        return None
    try:
        found = parse_json(content, "")
    except OcclumError:
        return None
    return plain(found) if isinstance(found, Object) else None


def _texts(bom: Bom) -> Iterator[str]:
    for include in bom.includes:
        yield include.value
    for target in bom.targets:
        yield target.target.value
        for made in target.mkdirs:
            yield made.path.value
        for link in target.createlinks:
            yield from (link.src.value, link.linkname.value)
        for item in target.copy:
            files = [(one.name, one.rename) for one in item.files or ()]
            texts = [item.source, *(item.dirs or ()), *(text for pair in files for text in pair)]
            yield from (text.value for text in texts if text is not None)
