"""The text of a manifest row by row: of two images with 50,000 entries only a few rows differ.

A manifest is canonical JSON (docs/manifest.md). What is no such text is read as any JSON is: all
functions say so by None. That a row begins where it seems to is certain: in a string of JSON a
quotation mark stands after a backslash.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping

_BEGIN, _END, _BETWEEN = b'{"entries":[', b'],"schema":1}', b'},{"mode":"'
_PROVENANCE = b'"provenance":{'
_AFTER = (b'"sha256":"', b'"target":"', b'"type":"')
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


def identity_digest(data: bytes) -> str | None:
    """The image digest in hex."""
    if not is_canonical(data):
        return None
    first, *others = data.split(_PROVENANCE)
    found = hashlib.sha256(first)
    for part in others:
        end = part.find(b"},") + 2
        if end < 2 or not part.startswith(_AFTER, end):
            return None
        found.update(part[end:])
    return found.hexdigest()


def named_by_boms(data: bytes) -> Mapping[bytes, int]:
    """How many entries each BOM place names, by its text in JSON."""
    return Counter(_NAMED.findall(data))
