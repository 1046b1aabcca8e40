"""Files that a library reads by paths in its data, for the few libraries of which it is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

# Pattern of DT_SONAME -> how paths begin and end. Debian's Node has built-in modules in files.
KNOWN = {r"libnode\.so\.\d+": (b"/usr/share/nodejs/", b".js")}
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 1 << 10  # a longer path than this may be cut
_PATH = re.compile(rb"[\w./-]*")


def data_paths(stream: BinaryIO, soname: str) -> tuple[str, ...]:
    """The sorted paths in a library (a seekable stream) that is one of those known by soname."""
    found: set[bytes] = set()
    for name, (start, end) in KNOWN.items():
        if not re.fullmatch(name, soname):
            continue
        stream.seek(0)
        before = b""
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(_paths(before + chunk, start, end))
            before = chunk[-_OVERLAP_BYTES:]
    return tuple(sorted(one.decode("ascii") for one in found))


def _paths(data: bytes, start: bytes, end: bytes) -> Iterator[bytes]:
    """The longest that begins and ends so in each run of characters of paths."""
    at = data.find(start)
    while at >= 0:
        run = _PATH.match(data, at)
        stop = run.end() if run else at
        last = data.rfind(end, at + len(start) + 1, stop)
        if last >= 0:
            yield data[at : last + len(end)]
        at = data.find(start, stop)
