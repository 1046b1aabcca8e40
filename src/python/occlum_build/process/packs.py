"""Files put into fewer and larger ones, as a build engine works best with.

Pants keeps outputs of less than 512 KiB in a database that it maps into memory, and handles many
at a time: a directory of 50,000 files (1.4 GB) took 5 GB of pantsd. A pack is files in a row.
Which one a file is in depends on its number, so that the packs of two trees differ where their
files do.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

PACKS, INDEX = "packs", "packs.json"
# At most, but for a file that is larger: blobs up to 4 MiB are sent to a remote cache by calls
# that take many of them, which costs Pants most memory.
PACK_BYTES = 10 << 20
_NUMBER_BITS = 32


class PackedFile(NamedTuple):
    """A file: SHA-256 in hex, size in bytes, the name of its pack and where in that it begins."""

    name: str
    sha256: str
    size: int
    pack: str
    offset: int


class Numbered(NamedTuple):
    """Something of a number and a size in bytes."""

    number: int
    size: int


class Span(NamedTuple):
    """A part of a sequence, [start:end], and the lowest number that may be in it."""

    start: int
    end: int
    lowest: int


def spans(items: Sequence[Numbered], most_bytes: int) -> list[Span]:
    """Cut a sequence, ascending by number, into parts of no more bytes, or of one item.

    All numbers are halved, and halved again where there is too much: so where a cut is depends on
    what is near it, and a change at one end moves none at the other.
    """
    numbers = [item.number for item in items]
    sums = [0, *accumulate(item.size for item in items)]
    found = []
    pending = [(0, len(items), 0, _NUMBER_BITS)]
    while pending:
        start, end, lowest, bits = pending.pop()
        if end - start == 1 or sums[end] - sums[start] <= most_bytes:
            if end > start:
                found.append(Span(start, end, lowest))
            continue
        middle = lowest + (1 << bits - 1)
        cut = bisect_left(numbers, middle, start, end)
        pending += [(cut, end, middle, bits - 1), (start, cut, lowest, bits - 1)]
    return found


def write_index(out: Path, packed: Iterable[PackedFile]) -> None:
    """Write `out/packs.json`."""
    text = json.dumps(sorted(packed), separators=(",", ":"))
    (out / INDEX).write_text(text, encoding="utf-8")


def read_index(text: bytes) -> tuple[PackedFile, ...]:
    """The files of a `packs.json`, by name."""
    return tuple(PackedFile(*row) for row in json.loads(text))
