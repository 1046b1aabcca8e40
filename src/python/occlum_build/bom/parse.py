"""BOM text to the model; every mistake of a file is told at once, with its place."""

from __future__ import annotations

import re
from typing import Callable, TypeVar

from occlum_build.bom.excludes import MAX_PATTERN, MAX_WILDCARDS
from occlum_build.bom.model import Bom, CopyItem, DirItem, FileItem, LinkItem, Target, Text
from occlum_build.bom.modes import MODE_HINT, parse_mode
from occlum_build.bom.names import is_utf8
from occlum_build.bom.operations import has_wildcard
from occlum_build.bom.yaml_nodes import Mapping, Node, Scalar, Sequence, parse_yaml
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.shown import MOST_QUOTED, quoted
from occlum_build.sources.model import MOST_COMPARISONS

T = TypeVar("T")

BOM_KEYS = ("includes", "excludes", "targets")
TARGET_KEYS = ("target", "mkdirs", "createlinks", "copy")
MKDIR_KEYS = ("path", "mode")
LINK_KEYS = ("src", "linkname")
COPY_KEYS = ("from", "dirs", "files")
FILE_KEYS = ("name", "hash", "autodep", "rename")


# Most YAML files are no BOMs: they need not be parsed.
_MAY_BE_BOM = re.compile(rb"\b(?:targets|includes)\b")


def parse_bom(data: bytes, path: str) -> Bom:
    """Parse one BOM file; raises OcclumError `bom-invalid` with all its mistakes."""
    reader = _Reader(Report())
    bom = reader.bom(parse_yaml(data, path), path)
    reader.report.raise_errors()
    return bom


def parse_if_bom(data: bytes, path: str = "") -> Bom | None:
    """The BOM in a file that may hold any YAML; None for one that is none, or asks for nothing."""
    if not _MAY_BE_BOM.search(data):
        return None
    try:
        bom = parse_bom(data, path)
    except OcclumError:
        return None
    return bom if bom.targets or bom.includes else None


class _Reader:
    """Turns nodes into the model; a mistake is reported and its item left out."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def bom(self, node: Node, path: str) -> Bom:
        keys = self.mapping(node, "a BOM", BOM_KEYS)
        excludes = self.list_of(keys.get("excludes"), "excludes", self.text)
        self.check_excludes(excludes)
        return Bom(
            path=path,
            includes=self.list_of(keys.get("includes"), "includes", self.text),
            excludes=excludes,
            targets=self.list_of(keys.get("targets"), "targets", self.target),
        )

    def target(self, node: Node, _what: str) -> Target | None:
        keys = self.mapping(node, "an item of `targets`", TARGET_KEYS, required=("target",))
        target = self.optional_text(keys.get("target"), "target")
        mkdirs = self.list_of(keys.get("mkdirs"), "mkdirs", self.mkdir)
        links = self.list_of(keys.get("createlinks"), "createlinks", self.link)
        copies = self.list_of(keys.get("copy"), "copy", self.copy)
        return Target(target, mkdirs, links, copies) if target else None

    def mkdir(self, node: Node, what: str) -> DirItem | None:
        if not isinstance(node, Mapping):
            path = self.text(node, what)
            return DirItem(path) if path else None
        keys = self.mapping(node, "an item of `mkdirs`", MKDIR_KEYS, required=("path",))
        path = self.optional_text(keys.get("path"), "path")
        return DirItem(path, self.mode(keys.get("mode"))) if path else None

    def mode(self, node: Node | None) -> int | None:
        """Permission bits, with or without quotes: the digits count as they were written."""
        if node is None:
            return None
        mode = parse_mode(node.value) if isinstance(node, Scalar) else None
        if mode is None:
            shown = f", not {quoted(node.value)}" if isinstance(node, Scalar) else ""
            self.fail(f"`mode` must be permission bits{shown}", node.place, MODE_HINT)
        return mode

    def link(self, node: Node, _what: str) -> LinkItem | None:
        keys = self.mapping(node, "an item of `createlinks`", LINK_KEYS, required=LINK_KEYS)
        src = self.optional_text(keys.get("src"), "src")
        linkname = self.optional_text(keys.get("linkname"), "linkname")
        if src and not src.value:
            self.fail("the link's `src` is empty", src.place)
        return LinkItem(src, linkname) if src and linkname else None

    def copy(self, node: Node, _what: str) -> CopyItem | None:
        mistakes = len(self.report.errors)
        keys = self.mapping(node, "an item of `copy`", COPY_KEYS)
        dirs, files = keys.get("dirs"), keys.get("files")
        if not keys and len(self.report.errors) == mistakes:
            self.fail("an item of `copy` needs `from`, `dirs` or `files`", node.place)
            return None
        return CopyItem(
            place=node.place,
            source=self.optional_text(keys.get("from"), "from"),
            dirs=self.list_of(dirs, "dirs", self.text) if dirs else None,
            files=self.list_of(files, "files", self.file) if files else None,
        )

    def file(self, node: Node, what: str) -> FileItem | None:
        if isinstance(node, Scalar):
            name = self.text(node, what)
            return FileItem(name) if name else None
        keys = self.mapping(node, "an item of `files`", FILE_KEYS, required=("name",))
        name = self.optional_text(keys.get("name"), "name")
        item_hash = self.optional_text(keys.get("hash"), "hash")
        rename = self.optional_text(keys.get("rename"), "rename")
        autodep = self.boolean(keys.get("autodep"), "autodep", default=True)
        return FileItem(name, item_hash, autodep, rename) if name else None

    def check_excludes(self, patterns: tuple[Text, ...]) -> None:
        wildcards = 0
        for pattern in patterns:
            self.check_exclude(pattern)
            wildcards += len(pattern.value) if has_wildcard(pattern.value) else 0
            if wildcards > MAX_WILDCARDS:
                shown = f"{MAX_WILDCARDS:,} characters together"
                self.fail(f"the excludes with wildcards have more than {shown}", pattern.place)
                return

    def check_exclude(self, pattern: Text) -> None:
        if len(pattern.value) > MAX_PATTERN:
            shown = f"{quoted(pattern.value)} has more than {MAX_PATTERN:,} characters"
            self.fail(f"exclude {shown}", pattern.place)
        elif pattern.value == "!" or pattern.value.startswith("+ "):
            self.fail(
                f"exclude {quoted(pattern.value)} is an rsync filter rule, not a pattern",
                pattern.place,
                "only patterns of what to leave out can be given",
            )
        elif not pattern.value.strip("/"):
            self.fail(f"exclude {quoted(pattern.value)} is no pattern", pattern.place)

    def mapping(
        self, node: Node, what: str, known: tuple[str, ...], required: tuple[str, ...] = ()
    ) -> dict[str, Node]:
        """The keys of a mapping that have a value; unknown and missing ones are reported."""
        if not isinstance(node, Mapping):
            self.fail(f"{what} must be a mapping with the keys {_listing(known)}", node.place)
            return {}
        found: dict[str, Node] = {}
        for key, value in node.items:
            if key.value not in known:
                self.fail(
                    f"unknown key {quoted(key.value)} in {what}",
                    key.place,
                    self.known_key(key.value, known),
                )
            elif not (isinstance(value, Scalar) and value.is_null):
                found[key.value] = value
        for name in required:
            if name not in found and not any(key.value == name for key, _ in node.items):
                self.fail(f"{what} lacks the key {name!r}", node.place, f"add `{name}: ...` to it")
            elif name not in found:
                self.fail(f"`{name}` has no value", node.place)
        return found

    def known_key(self, key: str, known: tuple[str, ...]) -> str:
        """A hint that names the most similar key, or all; comparing takes long."""
        near = len(key) <= MOST_QUOTED and len(self.report.errors) < MOST_COMPARISONS
        import difflib

        found = difflib.get_close_matches(key, known, n=1, cutoff=0.5) if near else []
        return f"did you mean {found[0]!r}?" if found else f"known keys: {_listing(known)}"

    def list_of(
        self, node: Node | None, what: str, convert: Callable[[Node, str], T | None]
    ) -> tuple[T, ...]:
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            self.fail(f"`{what}` must be a list", node.place, "write it as `- item` or [item]")
            return ()
        converted = (convert(item, f"an item of `{what}`") for item in node.items)
        return tuple(item for item in converted if item is not None)

    def optional_text(self, node: Node | None, what: str) -> Text | None:
        return None if node is None else self.text(node, f"`{what}`")

    def text(self, node: Node, what: str) -> Text | None:
        if not isinstance(node, Scalar) or node.is_null:
            self.fail(f"{what} must be text", node.place)
        elif node.is_bool or node.is_int:
            self.fail(
                f"{what} must be text, not {node.value[:MOST_QUOTED]}",
                node.place,
                f'write it as "{node.value[:MOST_QUOTED]}"',
            )
        elif "\0" in node.value or not is_utf8(node.value):
            self.fail(f"{what} has a character that no path can have", node.place)
        else:
            return Text(node.value, node.place)
        return None

    def boolean(self, node: Node | None, what: str, default: bool) -> bool:
        if node is None:
            return default
        if not isinstance(node, Scalar) or not node.is_bool:
            self.fail(f"`{what}` must be true or false", node.place)
            return default
        return node.value.lower() == "true"

    def fail(self, message: str, place: Place, hint: str = "") -> None:
        self.report.error("bom-invalid", message, place, hint)


def _listing(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
