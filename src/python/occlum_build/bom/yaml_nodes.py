"""YAML text to a tree of nodes that know their line and column; no type is ever guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Union

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import BOM_BYTES, shown_bytes
from occlum_build.shown import MOST_QUOTED, quoted

MAX_TEXT_BYTES = BOM_BYTES
MAX_DEPTH = 32
# Both after anchors are expanded.
MAX_NODES = 200_000
MAX_CHARACTERS = MAX_TEXT_BYTES

# Its bound is above ours, but it reads ahead.
_TOO_DEEP_FOR_LIBYAML = "exceeded maximum nesting depth"
_STR_TAG = "tag:yaml.org,2002:str"
_NULL = ("~", "null", "Null", "NULL", "")
_BOOL = ("true", "True", "TRUE", "false", "False", "FALSE")
# YAML 1.2 core schema; a leading zero makes no number (0644 is text), floats (1.20) are text, too.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+)\Z")


class Scalar(NamedTuple):
    value: str
    plain: bool  # written without quotes and without a tag
    place: Place

    @property
    def is_null(self) -> bool:
        return self.plain and self.value in _NULL

    @property
    def is_bool(self) -> bool:
        return self.plain and self.value in _BOOL

    @property
    def is_int(self) -> bool:
        return self.plain and bool(_INT.match(self.value))


class Sequence(NamedTuple):
    items: tuple[Node, ...]
    place: Place


class Mapping(NamedTuple):
    items: tuple[tuple[Scalar, Node], ...]
    place: Place


Node = Union[Scalar, Sequence, Mapping]


def invalid(message: str, place: Place, hint: str = "") -> OcclumError:
    return OcclumError("bom-invalid", message, place=place, hint=hint)


def parse_yaml(data: bytes, file: str) -> Node:
    """The one document in `data` (UTF-8); raises OcclumError `bom-invalid` with its place."""
    import yaml  # here, as it is slow to import and a run may need none

    if len(data) > MAX_TEXT_BYTES:
        raise invalid(f"larger than {shown_bytes(MAX_TEXT_BYTES)}", Place(file))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise invalid("not UTF-8 text", _place_after(before, file)) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(yaml.parse(text, Loader=loader), file).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        is_tab = mark is not None and _is_at_tab(text, mark.line, mark.column)
        hint = "indent with blanks, not with tabs" if is_tab else ""
        if error.problem == _TOO_DEEP_FOR_LIBYAML:
            raise invalid(f"nested deeper than {MAX_DEPTH} levels", place) from None
        raise invalid(f"not YAML: {error.problem or error.context}", place, hint) from None
    except yaml.reader.ReaderError as error:
        before = text.partition(chr(error.character))[0]
        raise invalid(f"not YAML: {error.reason}", _place_after(before, file)) from None
    except (ValueError, OverflowError):  # PyYAML without libyaml takes \\UFFFFFFFF for a character
        raise invalid("not YAML: an escape is no character", Place(file)) from None


def _place_after(text: str, file: str) -> Place:
    return Place(file, text.count("\n") + 1, len(text) - text.rfind("\n"))


def _is_at_tab(text: str, line: int, column: int) -> bool:
    lines = text.splitlines()
    return line < len(lines) and lines[line][column : column + 1] == "\t"


class _Composer:
    """Builds nodes from PyYAML's events, with a bound on depth and on expanded anchors."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self.events = events
        self.file = file
        self.anchors: dict[str, tuple[Node, int, int]] = {}
        self.nodes = self.characters = 0

    def document(self) -> Node:
        from yaml import events

        root: Node | None = None
        for event in self.events:
            if isinstance(event, events.DocumentStartEvent):
                if root is not None:
                    raise invalid("a second document", self._place(event), "one document a file")
                root = self._node(next(self.events), 0)
        if root is None:
            raise invalid("the file is empty", Place(self.file, 1, 1), "an empty BOM is written {}")
        return root

    def _place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        from yaml import events

        place = self._place(event)
        if depth > MAX_DEPTH:
            raise invalid(f"nested deeper than {MAX_DEPTH} levels", place)
        if isinstance(event, events.AliasEvent):
            return self._alias(event.anchor, place)
        if event.tag not in (None, "!", _STR_TAG) or (
            event.tag and not isinstance(event, events.ScalarEvent)
        ):
            raise invalid(
                f"the tag {event.tag[:MOST_QUOTED]} means nothing here", place, "remove it"
            )
        nodes, characters = self.nodes, self.characters
        node: Node
        if isinstance(event, events.ScalarEvent):
            self._count(1, len(event.value), place)
            node = Scalar(event.value, event.implicit[0], place)
        elif isinstance(event, events.SequenceStartEvent):
            self._count(1, 0, place)
            node = Sequence(tuple(self._items(events.SequenceEndEvent, depth)), place)
        else:
            self._count(1, 0, place)
            node = self._mapping(place, depth)
        if event.anchor:
            counted = self.nodes - nodes, self.characters - characters
            self.anchors[event.anchor] = (node, *counted)
        return node

    def _items(self, end: type, depth: int) -> Iterator[Node]:
        for event in self.events:
            if isinstance(event, end):
                return
            yield self._node(event, depth + 1)

    def _mapping(self, place: Place, depth: int) -> Mapping:
        from yaml import events

        flat = list(self._items(events.MappingEndEvent, depth))
        items: list[tuple[Scalar, Node]] = []
        seen: dict[str, Place] = {}
        for key, value in zip(flat[::2], flat[1::2]):
            if not isinstance(key, Scalar):
                raise invalid("a key must be text", key.place)
            if key.value == "<<":
                raise invalid("merge keys (<<) are not supported", key.place, "write the keys out")
            if key.value in seen:
                raise invalid(
                    f"key {quoted(key.value)} is given twice, first at {seen[key.value]}",
                    key.place,
                    "leave one of the two out",
                )
            seen[key.value] = key.place
            items.append((key, value))
        return Mapping(tuple(items), place)

    def _alias(self, anchor: str, place: Place) -> Node:
        if anchor not in self.anchors:
            raise invalid(f"anchor &{anchor[:MOST_QUOTED]} is not defined before its use", place)
        node, nodes, characters = self.anchors[anchor]
        self._count(nodes, characters, place)
        return node

    def _count(self, nodes: int, characters: int, place: Place) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > MAX_NODES:
            raise invalid(f"more than {MAX_NODES} nodes (anchors expanded)", place)
        if self.characters > MAX_CHARACTERS:
            raise invalid(f"more than {MAX_CHARACTERS} characters (anchors expanded)", place)
