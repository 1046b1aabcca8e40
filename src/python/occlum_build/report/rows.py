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

_TEXT = r'"[^"\\\x00-\x1f\x80-\xff]*"'  # what has others than ASCII, or escapes, is parsed
_RIGHT = re.compile(
    r'\{"mode":"[0-7]{4}","path":"(/|(?:/(?!\.{0,2}[/"])[^"/\\\x00-\x1f\x80-\xff]+)+)"'
    rf'(?:,"provenance":\{{"bom":{_TEXT}(?:,"needed_by":\[{_TEXT}(?:,{_TEXT})*\])?'
    rf'(?:,"package":{_TEXT})?(?:,"source":{_TEXT})?(?:,"version":{_TEXT})?\}})?'
    rf'(?:,"sha256":{_TEXT})?(?:,"size":(?:0|[1-9][0-9]{{0,17}}))?(?:,"target":{_TEXT})?'
    r',"type":"(?:file|dir|symlink)"\}'.encode()
)


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


def path_of_right(row: bytes) -> str | None:
    """The path of an entry that is certain to be right; None for one that only reading tells of."""
    match = _RIGHT.fullmatch(row)
    return match[1].decode("ascii") if match else None


def document_of(rows: list[bytes]) -> bytes:
    """A manifest of some rows."""
    return _BEGIN + b",".join(rows) + _END


def named_by_boms(data: bytes) -> Mapping[bytes, int]:
    """How many entries each BOM place names, by its text in JSON."""
    return Counter(_NAMED.findall(data))
