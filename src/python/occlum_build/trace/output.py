"""What is missing, and what is not used, as text and as JSON (trace/trace.schema.json).

The text of what is missing is a BOM in itself: all but the snippet are comments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from occlum_build.image.entries import DIR
from occlum_build.shown import some
from occlum_build.trace.missing import Missing
from occlum_build.trace.probes import CACHE, REASONS
from occlum_build.trace.record import MOST_ASKS, Record
from occlum_build.trace.snippet import snippet
from occlum_build.trace.unused import Unused

SCHEMA = 1
_FEW = 6  # paths of a reason that are told by name


def missing_json(name: str, record: Record, missing: Missing) -> dict[str, Any]:
    """All of it as an object."""
    return {
        **_head(name, record),
        "missing": [
            {
                "path": one.path,
                "source": one.source,
                "kind": one.kind,
                "asked": [{"by": by.program, "kind": by.kind} for by in one.asked],
                **({"package": one.package, "version": one.version} if one.package else {}),
            }
            for one in missing.found
        ],
        "left_out": [{"path": path, "reason": why} for path, why in missing.left_out.items()],
        "absent": missing.absent,
        "bom": "".join(f"{line}\n" for line in snippet(missing.found)),
    }


def unused_json(name: str, record: Record, unused: Unused) -> dict[str, Any]:
    """All of it as an object; paths of directories stand for all that is below them."""
    return {
        **_head(name, record),
        "unused": [
            {"path": one.path, "kind": one.kind, "files": one.files, "bytes": one.size}
            for one in unused.parts
        ],
        "looked_at": [{"path": path, "bytes": size} for path, size in unused.looked_at.items()],
        "files": unused.all_files,
        "bytes": unused.all_bytes,
    }


def _head(name: str, record: Record) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "image": name,
        "runs": record.runs,
        "incomplete": record.is_incomplete,
    }


def missing_lines(record: Record, missing: Missing, root: str) -> Iterator[str]:
    """For people: a BOM with comments."""
    number = len(missing.found)
    what = "1 path" if number == 1 else f"{number:,} paths"
    if number:
        yield f"# {what} that the image lacks and {root} has; paste this into a BOM:"
    else:
        yield f"# nothing is missing that {root} has"
    yield from snippet(missing.found)
    for reason in REASONS:
        paths = [path for path, why in missing.left_out.items() if why == reason]
        if paths:
            yield f"# left out, {reason}: {_few(paths, 0 if reason == CACHE else _FEW)}"
    if missing.absent:
        places = "1 path is" if missing.absent == 1 else f"{missing.absent:,} paths are"
        yield f"# {places} neither in the image nor in {root}"
    if record.is_incomplete:
        yield f"# not all is told: of more than {MOST_ASKS:,} different calls the rest was left out"


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"


def _few(paths: Sequence[str], most: int) -> str:
    if not most:
        return "1 path" if len(paths) == 1 else f"{len(paths):,} paths"
    return some(paths, most)


def unused_lines(record: Record, unused: Unused, most: int | None) -> Iterator[str]:
    """For people: the `most` largest; None for all."""
    runs = "1 run" if record.runs == 1 else f"{record.runs:,} runs"
    yield (
        f"not opened in {runs}: {unused.files:,} of {unused.all_files:,} files, "
        f"{unused.bytes:,} of {unused.all_bytes:,} bytes"
    )
    parts = sorted(unused.parts, key=lambda one: (-one.size, one.path))
    for one in parts[:most]:
        path = f"{one.path.rstrip('/')}/ ({_files(one.files)})" if one.kind == DIR else one.path
        yield f"{one.size:>15,}  {path}"
    if most is not None and len(parts) > most:
        yield f"{'':>15}  and {len(parts) - most:,} more (--all)"
    if unused.looked_at:
        size = sum(unused.looked_at.values())
        yield f"only looked at, and kept apart: {_files(len(unused.looked_at))}, {size:,} bytes"
    if record.is_incomplete:
        yield "the record is incomplete: what is told may have been opened"
