"""Files that a library reads by paths in its data, for the few libraries of which it is known."""

from __future__ import annotations

import re
from typing import BinaryIO

# Pattern of DT_SONAME -> that of a path. Debian's Node has built-in modules in files.
KNOWN = {r"libnode\.so\.\d+": rb"/usr/share/nodejs/[\w./-]+\.js"}
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 1 << 10  # a longer path than this may be cut


def data_paths(stream: BinaryIO, soname: str) -> tuple[str, ...]:
    """The sorted paths in a library (a seekable stream) that is one of those known by soname."""
    found: set[bytes] = set()
    for name, path in KNOWN.items():
        if not re.fullmatch(name, soname):
            continue
        stream.seek(0)
        before = b""
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(re.findall(path, before + chunk))
            before = chunk[-_OVERLAP_BYTES:]
    return tuple(sorted(one.decode("ascii") for one in found))
