"""An image as its manifest and graph tell of it: what stands where, and why."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from occlum_build.errors import NOTE, Problem
from occlum_build.image.entries import DIR, FILE, SYMLINK
from occlum_build.image.graph import GRAPH, Edge, Graph

__all__ = ["DIR", "FILE", "SYMLINK", "Item", "KnownImage", "entries", "without_graph"]

MOST_LINKS = 40  # as many as Linux follows


class Item(NamedTuple):
    """An entry of a manifest, a tuple as an image has many.

    `bom` is the place of the item that it is there for, "" where the manifest has no provenance;
    `needed_by` the one chain that the manifest has of a library, in source paths.
    """

    path: str
    kind: str
    mode: int
    size: int = 0
    sha256: str = ""
    target: str = ""
    bom: str = ""
    needed_by: tuple[str, ...] = ()
    package: str = ""
    version: str = ""
    source: str = ""

    @property
    def release(self) -> str:
        """Package and version, as one says them; "" for none."""
        return f"{self.package} {self.version}".rstrip()


@dataclass(frozen=True)
class KnownImage:
    """`items` by path, sorted, the root "/" among them; `graph` is None where none is known.

    `name` is what messages call the image: a file, or a target.
    """

    name: str
    items: Mapping[str, Item]
    graph: Graph | None = None

    @cached_property
    def edges_from(self) -> Mapping[str, list[Edge]]:
        """The edges by where they start."""
        found: dict[str, list[Edge]] = {}
        for edge in self.graph.edges if self.graph else ():
            found.setdefault(edge.origin, []).append(edge)
        return found

    @cached_property
    def below(self) -> Mapping[str, list[str]]:
        """The paths in each directory, sorted."""
        found: dict[str, list[str]] = {}
        for path in self.items:
            if path != "/":
                found.setdefault(posixpath.dirname(path), []).append(path)
        return found

    def tree(self, directory: str) -> Iterator[Item]:
        """All entries below a directory, but itself."""
        pending = [directory]
        while pending:
            for path in self.below.get(pending.pop(), ()):
                yield self.items[path]
                pending.append(path)

    def resolve(self, path: str) -> str:
        """Where a path leads over the image's links; the last part of it is not followed.

        It stays as it is from the first part on that the image does not have.
        """
        found, left, links = "/", [part for part in path.split("/") if part not in ("", ".")], 0
        left.reverse()
        while left:
            part = left.pop()
            here = posixpath.dirname(found) if part == ".." else posixpath.join(found, part)
            item = self.items.get(here)
            if item is None:
                return posixpath.join(here, *reversed(left))
            if left and item.kind == SYMLINK and links < MOST_LINKS:
                links += 1
                left += [one for one in reversed(item.target.split("/")) if one not in ("", ".")]
                here = "/" if item.target.startswith("/") else found
            found = here
        return found


def entries(count: int) -> str:
    """So many entries, as one says it."""
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"


def without_graph(image: KnownImage) -> list[Problem]:
    """The note on answers about an image whose graph is not known; [] where it is."""
    if image.graph is not None:
        return []
    message = (
        f"there is no {GRAPH} of this image beside the manifest: of each library one chain is "
        "known, and what several BOM lines need counts as what one of them brings"
    )
    return [Problem("graph", message, severity=NOTE)]
