"""A deterministic archive of a tree.

Process: `python -m occlum_build.image.tar ROOT ENTRIES.json OUT [TABLE.json]`, with what the tree
lacks (occlum_build.process.contents).
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.process.contents import Contents
from occlum_build.process.step import run_step

_COPY_BYTES = 1 << 20
_TYPES = {DIR: tarfile.DIRTYPE, FILE: tarfile.REGTYPE, SYMLINK: tarfile.SYMTYPE}


def entries_json(entries: Iterable[Entry]) -> bytes:
    """What the archive needs of the entries, as JSON: what the files are is read from the tree."""
    rows = [
        {"path": entry.path, "type": entry.kind, "mode": entry.mode, "target": entry.target}
        for entry in entries
        if entry.path
    ]
    return json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_tar(root: str, rows: Sequence[Mapping[str, Any]], out: str, table: str = "") -> None:
    """Write the archive: pax format, entries in order, times and owners zero, modes as given.

    Raises OcclumError `source-changed` for what is no regular file in the tree, or is written to,
    and `host-content` for a file of the table that is not what was planned.
    """
    with open(out, "wb") as stream, archive_on(stream) as archive:
        add_rows(archive, rows, Contents(root, table))


def archive_on(stream: BinaryIO) -> tarfile.TarFile:
    """An archive to be written to a stream, which needs no more than `write` and `tell`."""
    return tarfile.TarFile(
        fileobj=stream,
        mode="w",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        copybufsize=_COPY_BYTES,
    )


def add_rows(
    archive: tarfile.TarFile, rows: Iterable[Mapping[str, Any]], contents: Contents
) -> None:
    """Add entries in order, each with its content, whose size is that of the file."""
    for row in rows:
        member = _member(row)
        if not member.isreg():
            archive.addfile(member)
            continue
        with contents.open(row["path"]) as content:
            member.size = content.size
            archive.addfile(member, content.stream)


def _member(row: Mapping[str, Any]) -> tarfile.TarInfo:
    member = tarfile.TarInfo(row["path"])
    member.type = _TYPES[row["type"]]
    member.mode = row["mode"]
    member.linkname = row["target"]
    return member


def _step(root: str, entries: str, out: str, table: str = "") -> None:
    with open(entries, encoding="utf-8") as file:
        rows = json.load(file)
    write_tar(root, rows, out, table)


if __name__ == "__main__":
    usage = "occlum_build.image.tar ROOT ENTRIES.json OUT [TABLE.json]"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=1))
