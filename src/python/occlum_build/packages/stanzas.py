"""Stanzas of Debian's control files, deb822(5): `Field: value`, folded lines, a blank line between.

`Packages` and `Release` of an archive, `control` of a package and dpkg's `status` are such files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# A value goes on in lines that begin with a blank. Comments are for files that people edit.
_FIELD = rb"^(%s):[ \t]*((?:.*)(?:\n[ \t].*)*)"
_SPACES = re.compile(r"\s+")


def stanzas_of(data: bytes, fields: Iterable[str]) -> Iterator[dict[str, str]]:
    """Each stanza with those of the named fields that it has, by the names that were asked for.

    A value is as it stands, without blanks around it. What is no UTF-8 comes as surrogates. What is
    no line of a stanza is passed over, as apt does: who reads a stanza says which fields it needs.
    """
    names = {name.lower(): name for name in fields}
    choice = "|".join(map(re.escape, names)).encode()
    pattern = re.compile(_FIELD % choice, re.MULTILINE | re.IGNORECASE)
    for block in _blocks(data):
        found = {
            names[name.decode().lower()]: value.decode("utf-8", "surrogateescape").strip()
            for name, value in pattern.findall(block)
        }
        if found:
            yield found


def _blocks(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n\n", start)
        end = len(data) if end < 0 else end
        if end > start:
            yield data[start:end]
        start = end + 2


def one_line(value: str) -> str:
    """A folded value as one line."""
    return _SPACES.sub(" ", value).strip()
