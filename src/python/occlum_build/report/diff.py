"""What changed between two images, entry by entry, with the cause; and whether MRENCLAVE moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.json_text import load_json
from occlum_build.report.causes import Cause, Causes
from occlum_build.report.model import Item
from occlum_build.report.read import image_of, items_of
from occlum_build.report.rows import (
    document_of,
    is_canonical,
    named_by_boms,
    path_of_right,
    rows_of,
)
from occlum_build.report.sides import CODE, Side

if TYPE_CHECKING:  # of enclaves, which not every difference is of
    from occlum_build.occlum.measurement import InputChange

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
# What is known of MRENCLAVE: the measurements have one or two, or images alone are compared.
SAME, MOVED, MOVES, BY_IMAGE_SAME = "same", "moved", "moves", "not by the image"


class Change(NamedTuple):
    """An entry that is in one image only, or is another one; `old` or `new` is None for none."""

    path: str
    kind: str
    old: Item | None
    new: Item | None
    cause: Cause

    @property
    def bytes(self) -> int:
        """How much larger it makes the image."""
        return (self.new.size if self.new else 0) - (self.old.size if self.old else 0)


@dataclass(frozen=True)
class Difference:
    """`changes` by path, the `inputs` of measurements that moved, and what becomes of MRENCLAVE."""

    old: Side
    new: Side
    changes: tuple[Change, ...]
    inputs: tuple[InputChange, ...]
    mrenclave: str

    @property
    def is_empty(self) -> bool:
        return not self.changes and not self.inputs and self.mrenclave != MOVED

    @property
    def bytes(self) -> int:
        return sum(change.bytes for change in self.changes)


def compare(old: Side, new: Side) -> Difference:
    """All that differs; OcclumError `diff` when one has entries alone and one a measurement."""
    has_entries = old.has_entries and new.has_entries
    if not has_entries and (old.record is None or new.record is None):
        message = f"{_what(old)} and {_what(new)} have nothing in common to be compared by"
        raise OcclumError(CODE, message, hint="compare two manifests, or two measurements")
    changes: tuple[Change, ...] = ()
    if has_entries:
        changes = _changes(old, new)
    inputs: tuple[InputChange, ...] = ()
    if old.record is not None and new.record is not None:
        from occlum_build.occlum.measurement import changed_inputs

        inputs = tuple(changed_inputs(old.record, new.record))
    return Difference(old, new, changes, inputs, _mrenclave(old, new, changes))


def _what(side: Side) -> str:
    return f"{side.name} ({'a manifest' if side.has_entries else 'a measurement'})"


def _mrenclave(old: Side, new: Side, changes: tuple[Change, ...]) -> str:
    if old.record is not None and new.record is not None:
        return SAME if old.record["mrenclave"] == new.record["mrenclave"] else MOVED
    return MOVES if changes else BY_IMAGE_SAME


def _changes(old: Side, new: Side) -> tuple[Change, ...]:
    before, after = _items(old, new)
    paths = sorted({*before, *after})
    pairs = [(path, before.get(path), after.get(path)) for path in paths]
    differing = [one for one in pairs if _identity(one[1]) != _identity(one[2])]
    is_one_sided = any(was is None or now is None for _, was, now in differing)
    boms = (_boms(old, before), _boms(new, after)) if is_one_sided else ({}, {})
    causes = Causes([(was, now) for _, was, now in differing], *boms)
    return tuple(
        Change(path, _kind(was, now), was, now, causes.cause(was, now))
        for path, was, now in differing
    )


def _kind(old: Item | None, new: Item | None) -> str:
    return ADDED if old is None else REMOVED if new is None else CHANGED


def _identity(item: Item | None) -> tuple[object, ...] | None:
    return item[: Item._fields.index("bom")] if item is not None else None


def _items(old: Side, new: Side) -> tuple[Mapping[str, Item], Mapping[str, Item]]:
    """The items of both, without those whose texts are the same where both have texts.

    Either way both are checked whole: OcclumError `manifest` for what is none of an image.
    """
    if old.manifest is not None and new.manifest is not None:
        before, after = rows_of(old.manifest), rows_of(new.manifest)
        if before is not None and after is not None:
            both = set(before).intersection(after)
            same = {row: path for row in both if (path := path_of_right(row)) is not None}
            was, now = _others(before, same, old.name), _others(after, same, new.name)
            if was is not None and now is not None:
                return was, now
    return _all_items(old), _all_items(new)


def _others(rows: list[bytes], same: Mapping[bytes, str], name: str) -> Mapping[str, Item] | None:
    """The items of all rows but the same; None for what is no manifest, for which reason ever."""
    rest = [row for row in rows if row not in same]
    try:
        items = items_of(document_of(rest), name)
    except OcclumError:  # which has a place in this document, that nobody has seen
        return None
    paths = {*same.values(), *items}
    is_whole = len(paths) == len(rows) - len(rest) + len(items) and "/" in paths
    return items if is_whole else None


def _all_items(side: Side) -> Mapping[str, Item]:
    if side.items is not None:
        return side.items
    return image_of(side.manifest or b"", side.name).items


def _boms(side: Side, items: Mapping[str, Item]) -> Mapping[str, int]:
    """How many entries each BOM place names, which are not what these need."""
    if side.manifest is None or not is_canonical(side.manifest):
        return Counter(item.bom for item in items.values() if not item.needed_by)
    found = named_by_boms(side.manifest)
    return {load_json(text, side.name, code=CODE): count for text, count in found.items()}
