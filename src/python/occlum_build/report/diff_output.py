"""A difference of two images as text and as JSON, whose schema is report/diff.schema.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from occlum_build.report.causes import Cause
from occlum_build.report.diff import (
    ADDED,
    BY_IMAGE_SAME,
    CHANGED,
    MOVED,
    MOVES,
    REMOVED,
    Change,
    Difference,
)
from occlum_build.report.model import FILE, SYMLINK, Item
from occlum_build.report.sides import Side

SCHEMA = 1
_FEW = 20  # entries of one cause that are told
_KINDS = (ADDED, REMOVED, CHANGED)
_MRENCLAVE = {
    MOVES: "MRENCLAVE moves: the image's MAC is in the configuration that it measures",
    BY_IMAGE_SAME: "the image does not move MRENCLAVE",
}


def lines(found: Difference, *, every: bool = False) -> Iterator[str]:
    """For people: each cause with its entries, what moved of an enclave, and the sum of it."""
    for cause, changes in by_cause(found):
        yield f"{cause.text}: {counts(changes)}"
        told = changes if every else changes[:_FEW]
        yield from (f"  {change.kind} {change.path}: {what_changed(change)}" for change in told)
        if len(told) < len(changes):
            yield f"  and {len(changes) - len(told):,} more, told with --all"
    yield from map(str, found.inputs)
    if found.changes:
        yield f"image: {counts(found.changes)}"
    is_told = any(one.kind == "image" for one in found.inputs)
    if found.changes and found.old.digest and found.new.digest and not is_told:
        yield f"image digest: {found.old.digest} -> {found.new.digest}"
    yield mrenclave(found)


def by_cause(found: Difference) -> list[tuple[Cause, list[Change]]]:
    """The changes of each cause, those of which there are most first."""
    causes: dict[Cause, list[Change]] = {}
    for change in found.changes:
        causes.setdefault(change.cause, []).append(change)
    return sorted(causes.items(), key=lambda one: (-len(one[1]), one[0]))


def to_json(found: Difference) -> dict[str, Any]:
    """All of it as an object."""
    return {
        "schema": SCHEMA,
        "old": _side_json(found.old),
        "new": _side_json(found.new),
        "bytes": found.bytes,
        "entries": [_change_json(change) for change in found.changes],
        "inputs": [
            {
                "kind": one.kind,
                "name": one.name,
                **({"old": one.old} if one.old is not None else {}),
                **({"new": one.new} if one.new is not None else {}),
            }
            for one in found.inputs
        ],
        "mrenclave": found.mrenclave,
    }


def mrenclave(found: Difference) -> str:
    """What becomes of MRENCLAVE, in a sentence."""
    if found.mrenclave in _MRENCLAVE:
        return _MRENCLAVE[found.mrenclave]
    old, new = (side.record or {} for side in (found.old, found.new))
    if found.mrenclave != MOVED:
        return f"MRENCLAVE is the same: {new.get('mrenclave')}"
    by = sorted({one.kind for one in found.inputs})
    why = f" by its {' and '.join(by)}" if by else ", by no input that is recorded"
    return f"MRENCLAVE moves{why}: {old.get('mrenclave')} -> {new.get('mrenclave')}"


def counts(changes: Iterable[Change]) -> str:
    """How many of each kind, and by how many bytes they make the image larger."""
    changes = list(changes)
    counts = Counter(change.kind for change in changes)
    parts = [f"{counts[kind]:,} {kind}" for kind in _KINDS if counts[kind]]
    return f"{', '.join(parts)}, {sum(change.bytes for change in changes):+,} bytes"


def what_changed(change: Change) -> str:
    """How the entry is another one than before."""
    old, new = change.old, change.new
    if old is None or new is None:
        return _described(new or old)
    if old.kind != new.kind:
        return f"{_described(old)} -> {_described(new)}"
    parts = []
    if old.target != new.target:
        parts.append(f"{old.target} -> {new.target}")
    if old.size != new.size:
        parts.append(f"{old.size:,} -> {new.size:,} bytes")
    elif old.sha256 != new.sha256:
        parts.append(f"{new.size:,} bytes, other content")
    if old.mode != new.mode:
        parts.append(f"mode {old.mode:04o} -> {new.mode:04o}")
    return ", ".join(parts)


def _described(item: Item | None) -> str:
    if item is None:
        return ""
    if item.kind == FILE:
        return f"{item.size:,} bytes"
    return f"link to {item.target}" if item.kind == SYMLINK else "directory"


def _side_json(side: Side) -> Mapping[str, Any]:
    value = {"name": side.name}
    if side.digest:
        value["image"] = side.digest
    if side.record is not None:
        value["mrenclave"] = side.record["mrenclave"]
    return value


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "path": change.path,
        "change": change.kind,
        "cause": {"kind": change.cause.kind, "text": change.cause.text},
        **{
            name: _item_json(item)
            for name, item in (("old", change.old), ("new", change.new))
            if item is not None
        },
    }


def _item_json(item: Item) -> dict[str, Any]:
    told = {
        "sha256": item.sha256,
        "target": item.target,
        "bom": item.bom,
        "package": item.package,
        "version": item.version,
        "source": item.source,
    }
    value: dict[str, Any] = {"type": item.kind, "mode": f"{item.mode:04o}"}
    if item.kind == FILE:
        value["bytes"] = item.size
    return {**value, **{key: text for key, text in told.items() if text}}
