"""Which BOM line pays for what: its own entries, and what these need that no other line needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from occlum_build.report.chains import place_key
from occlum_build.report.model import Item, KnownImage


class Owner(NamedTuple):
    """A BOM line: the bytes of what it `named`, what would go with it, what it has with others.

    `alone` and `shared` are of all that it names and all that this needs: without the line an image
    would have `alone` bytes less, but for what another line names too: a manifest has one of them.
    """

    bom: str
    named: int
    alone: int
    shared: int


class Shared(NamedTuple):
    """What several BOM lines need: the lines, and how many entries and bytes that is."""

    boms: tuple[str, ...]
    entries: int
    size: int


def owners_of(image: KnownImage) -> tuple[list[Owner], list[Shared]]:
    """All BOM lines, those that pay most first, and what they share, the largest first."""
    groups = groups_of(image)
    lines = sorted({item.bom for item in _with_why(image)}, key=place_key)
    named, alone = dict.fromkeys(lines, 0), dict.fromkeys(lines, 0)
    shared, told = dict.fromkeys(lines, 0), []
    for boms, items in groups.items():
        size = sum(item.size for item in items)
        for item in items:
            if not item.needed_by:
                named[item.bom] += item.size
        if len(boms) == 1:
            alone[boms[0]] += size
            continue
        told.append(Shared(boms, len(items), size))
        for bom in boms:
            shared[bom] += size
    owners = [Owner(bom, named[bom], alone[bom], shared[bom]) for bom in lines]
    owners.sort(key=lambda one: (-one.alone, -one.shared))  # of equals the first line first
    return owners, sorted(told, key=lambda one: (-one.size, one.boms))


def groups_of(image: KnownImage) -> dict[tuple[str, ...], list[Item]]:
    """The entries by the BOM lines that pay for them, these in order; each entry is there once."""
    lines = sorted({item.bom for item in _with_why(image)}, key=place_key)
    bits = {bom: 1 << number for number, bom in enumerate(lines)}
    payers = _payers(image, bits)
    groups: dict[int, list[Item]] = {}
    for item in _with_why(image):
        mask = payers.get(item.path, 0)
        if not item.needed_by:
            mask |= bits[item.bom]
        groups.setdefault(mask or bits[item.bom], []).append(item)
    return {tuple(_lines(mask, lines)): items for mask, items in groups.items()}


def _with_why(image: KnownImage) -> Iterator[Item]:
    """All but the root, which is there for no line."""
    return (item for item in image.items.values() if item.path != "/")


def _payers(image: KnownImage, bits: Mapping[str, int]) -> Mapping[str, int]:
    """For all that is needed, the lines whose entries lead there, as the bits of a number."""
    payers: dict[str, int] = {}
    pending: deque[str] = deque()
    for path, edges in image.edges_from.items():
        item = image.items.get(path)
        if item is not None and not item.needed_by and path != "/":
            for edge in edges:
                payers[edge.to] = payers.get(edge.to, 0) | bits[item.bom]
    pending.extend(payers)
    waiting = set(payers)
    while pending:
        path = pending.popleft()
        waiting.discard(path)
        for edge in image.edges_from.get(path, ()):
            before = payers.get(edge.to, 0)
            after = before | payers[path]
            if after != before:
                payers[edge.to] = after
                if edge.to not in waiting:
                    waiting.add(edge.to)
                    pending.append(edge.to)
    return payers


def _lines(mask: int, lines: Sequence[str]) -> Iterator[str]:
    """The lines whose bits are set: of the others, which there may be many of, nothing is done."""
    while mask:
        lowest = mask & -mask
        yield lines[lowest.bit_length() - 1]
        mask ^= lowest
