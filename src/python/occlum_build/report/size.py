"""What makes an image large: by layer, owner, package, directory, duplicate and file."""

from __future__ import annotations

import heapq
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.report.chains import place_key
from occlum_build.report.model import DIR, FILE, Item, KnownImage
from occlum_build.report.owners import Owner, Shared, owners_of
from occlum_build.shown import Lines, quoted

CODE = "size"
_CULPRITS = 5


class Part(NamedTuple):
    """Entries that have something in common, a `name`; bytes of the files among them."""

    name: str
    entries: int
    size: int


class Duplicate(NamedTuple):
    """Files with one content, of `size` bytes each."""

    sha256: str
    size: int
    paths: tuple[str, ...]

    @property
    def wasted(self) -> int:
        return self.size * (len(self.paths) - 1)


@dataclass(frozen=True)
class Sizes:
    """The sizes of an image, each the largest first and then by name."""

    image: KnownImage

    @cached_property
    def total(self) -> Part:
        """All entries but the root."""
        return Part("", len(self._items), sum(item.size for item in self._items))

    @cached_property
    def layers(self) -> list[Part]:
        """By BOM file: what one file brings is the layers of an image under Pants."""
        files = {bom: place_key(bom)[0] for bom in {item.bom for item in self._items}}
        return parts(self._items, lambda item: files[item.bom])

    @cached_property
    def owners(self) -> list[Owner]:
        return self._owners[0]

    @cached_property
    def shared(self) -> list[Shared]:
        return self._owners[1]

    @cached_property
    def packages(self) -> list[Part]:
        """By package and version; "" has what is of none, directories left out."""
        return parts((one for one in self._items if one.kind != DIR), lambda item: item.release)

    @cached_property
    def directories(self) -> list[Part]:
        """Each with all that is below it, the root "/" among them."""
        found = {item.path: [0, 0] for item in self.image.items.values() if item.kind == DIR}
        for item in self._items:
            part = found.setdefault(item.path[: item.path.rfind("/")] or "/", [0, 0])
            part[0] += 1
            part[1] += item.size
        for path in list(found):  # a manifest need not have an entry for each
            while path != "/" and posixpath.dirname(path) not in found:
                path = posixpath.dirname(path)
                found[path] = [0, 0]
        # From the deepest on, each is whole when it is added to the one above.
        for path in sorted(found, key=lambda one: -one.count("/")):
            if path != "/":
                above = found[posixpath.dirname(path)]
                above[0] += found[path][0]
                above[1] += found[path][1]
        return _sorted(Part(path, *counts) for path, counts in found.items())

    @cached_property
    def duplicates(self) -> list[Duplicate]:
        """Files that have a content which another one has too; those that waste most first."""
        by_content: dict[str, list[Item]] = {}
        for item in self._items:
            if item.kind == FILE and item.size and item.sha256:
                by_content.setdefault(item.sha256, []).append(item)
        found = [
            Duplicate(sha256, items[0].size, tuple(item.path for item in items))
            for sha256, items in by_content.items()
            if len(items) > 1
        ]
        return sorted(found, key=lambda one: (-one.wasted, one.paths))

    def largest(self, count: int) -> list[Item]:
        """So many of the files."""
        files = (item for item in self._items if item.kind == FILE)
        return heapq.nsmallest(count, files, key=lambda item: (-item.size, item.path))

    def check(self, most: int) -> None:
        """OcclumError `size`, with the culprits, when the files have more than `most` bytes."""
        if self.total.size <= most:
            return
        over = self.total.size - most
        raise OcclumError(
            CODE,
            Lines(
                f"{self.image.name} has {self.total.size:,} bytes, {over:,} more than the {most:,} "
                "that are allowed",
                *_culprits("BOM lines, with what only they need", self._paying()),
                *_culprits("files", ((one.path, one.size) for one in self.largest(_CULPRITS))),
                *_culprits("kept more than once", self._wasted()),
            ),
            hint="leave out what is not needed with `excludes`, or allow more with --max",
        )

    def _paying(self) -> Iterator[tuple[str, int]]:
        return ((one.bom or "no BOM line known", one.alone) for one in self.owners)

    def _wasted(self) -> Iterator[tuple[str, int]]:
        return ((", ".join(one.paths[:3]), one.wasted) for one in self.duplicates)

    @cached_property
    def _items(self) -> Sequence[Item]:
        return [item for item in self.image.items.values() if item.path != "/"]

    @cached_property
    def _owners(self) -> tuple[list[Owner], list[Shared]]:
        return owners_of(self.image)


def parts(items: Iterable[Item], name_of: Callable[[Item], str]) -> list[Part]:
    """Items by a name."""
    found: dict[str, list[int]] = {}
    for item in items:
        part = found.setdefault(name_of(item), [0, 0])
        part[0] += 1
        part[1] += item.size
    return _sorted(Part(name, *counts) for name, counts in found.items())


def parse_limit(text: str) -> int:
    """Bytes of `200MB`, as Occlum.json has sizes: MB is 1,048,576. Raises OcclumError `usage`."""
    from occlum_build.sgx.config.sizes import parse_size  # with all of the configuration

    found = parse_size(text if text[-1:].isalpha() else f"{text}B")
    if found is None:
        hint = "give bytes, or a number with KB, MB, GB or TB, as in Occlum.json"
        raise OcclumError("usage", f"{quoted(text)} is no size", hint=hint)
    return found


def _sorted(found: Iterable[Part]) -> list[Part]:
    return sorted(found, key=lambda one: (-one.size, one.name))


def _culprits(what: str, found: Iterable[tuple[str, int]]) -> Iterator[str]:
    told = [one for _, one in zip(range(_CULPRITS), found) if one[1]]
    if told:
        yield f"  {what}:"
        yield from (f"    {size:>15,}  {name}" for name, size in told)
