"""A deterministic archive of a tree.

Process: `python -m occlum_build.image.tar ROOT ENTRIES.json OUT [TABLE.json]`, with what the tree
lacks (occlum_build.process.complete).
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from occlum_build.files.source import open_source
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.process.complete import complete_tree
from occlum_build.process.step import run_step

_TYPES = {DIR: tarfile.DIRTYPE, FILE: tarfile.REGTYPE, SYMLINK: tarfile.SYMTYPE}


def entries_json(entries: Iterable[Entry]) -> bytes:
    """What the archive needs of the entries, as JSON: what the files are is read from the tree."""
    rows = [
        {"path": entry.path, "type": entry.kind, "mode": entry.mode, "target": entry.target}
        for entry in entries
        if entry.path
    ]
    return json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_tar(root: str, rows: Sequence[Mapping[str, Any]], out: str) -> None:
    """Write the archive: pax format, entries in order, times and owners zero, modes as given.

    Raises OcclumError `source-changed` for what is no regular file in the tree, or is written to.
    """
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for member, path in _members(root, rows):
            if not member.isreg():
                archive.addfile(member)
                continue
            with (
                open_source(path) as source,
                open(source.descriptor, "rb", buffering=0, closefd=False) as file,
            ):
                member.size = source.size
                archive.addfile(member, file)
                source.check_unchanged()


def _members(root: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for row in rows:
        path = os.path.join(root, row["path"])
        member = tarfile.TarInfo(row["path"])
        member.type = _TYPES[row["type"]]
        member.mode = row["mode"]
        member.linkname = row["target"]
        yield member, path


def _step(root: str, entries: str, out: str, table: str = "") -> None:
    if table:
        complete_tree(root, table)
    with open(entries, encoding="utf-8") as file:
        rows = json.load(file)
    write_tar(root, rows, out)


if __name__ == "__main__":
    usage = "occlum_build.image.tar ROOT ENTRIES.json OUT [TABLE.json]"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=1))
