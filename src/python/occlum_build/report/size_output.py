"""The sizes of an image as text and as JSON, whose schema is report/size.schema.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from occlum_build.report.model import entries
from occlum_build.report.size import Part, Sizes

SCHEMA = 1
_NO_BOM, _NO_PACKAGE = "(no BOM line known)", "(of no package)"
_MOST_LINES = 100  # BOM lines that share something, of which thousands may share a libc
_T = TypeVar("_T")


def lines(sizes: Sizes, top: int) -> Iterator[str]:
    """For people: of each list the `top` first; no lists for 0."""
    total = sizes.total
    yield f"{sizes.image.name}: {entries(total.entries)}, {total.size:,} bytes"
    if not top:
        return
    yield from _parts("layers (BOM files)", sizes.layers, top, _NO_BOM)
    yield from _owners(sizes, top)
    yield from _shared(sizes, top)
    if any(one.name for one in sizes.packages):
        yield from _parts("packages", sizes.packages, top, _NO_PACKAGE)
    yield from _parts("directories, with all below them", sizes.directories, top, "")
    wasted = sum(one.wasted for one in sizes.duplicates)
    if wasted:
        yield f"kept more than once: {wasted:,} bytes could be saved"
        for one in sizes.duplicates[:top]:
            paths = ", ".join(one.paths[:3]) + (", ..." if one.paths[3:] else "")
            yield f"{one.wasted:>15,}  {len(one.paths)} times: {paths}"
        yield from _more(sizes.duplicates, top)
    yield "largest files:"
    yield from (f"{one.size:>15,}  {one.path}" for one in sizes.largest(top))


def to_json(sizes: Sizes, top: int) -> dict[str, Any]:
    """All of it as an object, but of the files the `top` largest only."""
    total = sizes.total
    return {
        "schema": SCHEMA,
        "image": sizes.image.name,
        "entries": total.entries,
        "bytes": total.size,
        "layers": _json("bom", sizes.layers),
        "owners": [
            {"bom": one.bom, "named": one.named, "alone": one.alone, "shared": one.shared}
            for one in sizes.owners
        ],
        "shared": [
            {
                "boms": list(one.boms[:_MOST_LINES]),
                "lines": len(one.boms),
                "entries": one.entries,
                "bytes": one.size,
            }
            for one in sizes.shared
        ],
        "packages": _json("package", sizes.packages),
        "directories": _json("path", sizes.directories),
        "duplicates": [
            {
                "sha256": one.sha256,
                "bytes": one.size,
                "wasted": one.wasted,
                "paths": list(one.paths),
            }
            for one in sizes.duplicates
        ],
        "largest": [
            {
                "path": one.path,
                "bytes": one.size,
                **({"bom": one.bom} if one.bom else {}),
                **({"package": one.release} if one.package else {}),
            }
            for one in sizes.largest(top)
        ],
    }


def _json(key: str, found: Sequence[Part]) -> list[dict[str, Any]]:
    return [{key: one.name, "entries": one.entries, "bytes": one.size} for one in found]


def _parts(title: str, found: Sequence[Part], top: int, no_name: str) -> Iterator[str]:
    yield f"{title}:"
    for one in found[:top]:
        yield f"{one.size:>15,}  {one.name or no_name} ({entries(one.entries)})"
    yield from _more(found, top)


def _owners(sizes: Sizes, top: int) -> Iterator[str]:
    yield "BOM lines: bytes that they alone bring, and that they share with others"
    paying = [one for one in sizes.owners if one.alone or one.shared]
    for one in paying[:top]:
        yield f"{one.alone:>15,} {one.shared:>15,}  {one.bom or _NO_BOM}"
    yield from _more(paying, top)


def _shared(sizes: Sizes, top: int) -> Iterator[str]:
    if not sizes.shared:
        return
    yield "shared:"
    for one in sizes.shared[:top]:
        boms = ", ".join(one.boms[:3]) + (", ..." if one.boms[3:] else "")
        yield f"{one.size:>15,}  {entries(one.entries)} of {len(one.boms)} BOM lines: {boms}"
    yield from _more(sizes.shared, top)


def _more(found: Sequence[_T], top: int) -> Iterator[str]:
    if len(found) > top:
        yield f"{'':>15}  and {len(found) - top:,} more"
