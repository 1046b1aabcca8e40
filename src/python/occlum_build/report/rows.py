"""The text of a manifest row by row: of two images with 50,000 entries only a few rows differ.

A manifest is canonical JSON (docs/manifest.md). What is no such text is read as any JSON is. That a
row begins where it seems to is certain: in a string of JSON a quotation mark stands after a
backslash.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_BEGIN, _END, _BETWEEN = b'{"entries":[', b'],"schema":1}', b'},{"mode":"'
_NAMED = re.compile(rb'"provenance":\{"bom":("(?:[^"\\]|\\.)*")(?!,"needed_by")')


def is_canonical(data: bytes) -> bool:
    """Whether it begins and ends as a manifest does."""
    return data.startswith(_BEGIN + b'{"mode":"') and data.endswith(_END)


def rows_of(data: bytes) -> list[bytes] | None:
    """Each entry's text."""
    if not is_canonical(data):
        return None
    first, *others = data[len(_BEGIN) : -len(_END)].split(_BETWEEN)
    if not others:
        return [first]
    rows = [first + b"}", *(b'{"mode":"' + one + b"}" for one in others)]
    rows[-1] = rows[-1][:-1]
    return rows


def document_of(rows: list[bytes]) -> bytes:
    """A manifest of some rows."""
    return _BEGIN + b",".join(rows) + _END


def named_by_boms(data: bytes) -> Mapping[bytes, int]:
    """How many entries each BOM place names, by its text in JSON."""
    return Counter(_NAMED.findall(data))
