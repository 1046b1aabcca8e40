"""What somebody may ask for in an image: a path, a name, a pattern, a directory, a package."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from occlum_build.files.wildcards import wildcard
from occlum_build.report.model import DIR, KnownImage

PATH, DIRECTORY, SOURCE, NAME, PACKAGE, PATTERN = (
    *("path", "directory", "source", "name", "package", "pattern"),
)
PACKAGE_PREFIX = "package:"
_WILDCARD = re.compile(r"[*?]|\[.+\]")
_MOST_NEAR, _MOST_COMPARED = 5, 2_000


@dataclass(frozen=True)
class Found:
    """What a query is found as, and the paths in the image, sorted.

    An archive's member is no entry, but has a path.
    """

    kind: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Absent:
    """What was looked for in vain, a step a line, and names that are there and look alike."""

    searched: tuple[str, ...]
    nearest: tuple[str, ...]


def find(image: KnownImage, query: str) -> list[Found]:
    """All that a query may mean; [] for what is not there."""
    if query.startswith(PACKAGE_PREFIX):
        return _some(PACKAGE, _of_package(image, query[len(PACKAGE_PREFIX) :]))
    if "/" in query:
        return _find_path(image, query)
    named = _named(image, query)
    kind = PATTERN if _WILDCARD.search(query) else NAME
    return [*_some(kind, named), *_some(PACKAGE, _of_package(image, query))]


def absent(image: KnownImage, query: str) -> Absent:
    """Why a query is not found: what was looked at, and what is near."""
    searched, name = [], posixpath.basename(query.rstrip("/"))
    if "/" in query and not _WILDCARD.search(query):
        searched += _down_to(image, query)
        searched.append("as the source of an entry: none is copied from there")
    elif "/" in query:
        searched.append(f"in the paths of {len(image.items):,} entries: none is like it")
    if "/" not in query:
        searched.append(f"as the name of one of {len(image.items):,} entries: none has it")
        searched.append("as the name of a library in DT_NEEDED: none is found by it")
        searched.append("as a package: no entry is of it")
    for missing in image.graph.missing if image.graph else ():
        if posixpath.basename(missing.name) == name:
            searched.append(f"needed by {' -> '.join(missing.chain)}, and missing:")
            searched += [f"by its loader: {one}" for one in missing.searched]
    return Absent(tuple(searched), _nearest(image, query))


def _find_path(image: KnownImage, query: str) -> list[Found]:
    path = posixpath.join("/", query).rstrip("/") or "/"
    if path not in image.items and _WILDCARD.search(query):
        matches = wildcard(path).match
        return _some(PATTERN, (one for one in image.items if one != "/" and matches(one)))
    real = image.resolve(path)
    item = image.items.get(real)
    if item is not None:
        return [Found(DIRECTORY if item.kind == DIR else PATH, (real,))]
    if any(one in image.edges_from for one in (path, real)):  # in an archive
        return [Found(PATH, (path if path in image.edges_from else real,))]
    sources = {query, path}
    return _some(SOURCE, (one.path for one in image.items.values() if one.source in sources))


def _named(image: KnownImage, name: str) -> set[str]:
    is_pattern = _WILDCARD.search(name)
    matches = wildcard(name).match if is_pattern else None
    end = f"/{name}"
    found = {
        path
        for path in image.items
        if path != "/"
        and (path.endswith(end) if matches is None else matches(path[path.rfind("/") + 1 :]))
    }
    for edge in image.graph.edges if image.graph else ():
        if edge.name == name or (matches is not None and edge.name and matches(edge.name)):
            found.add(edge.to)
    return found


def _of_package(image: KnownImage, name: str) -> Iterable[str]:
    matches = wildcard(name).match
    return (one.path for one in image.items.values() if one.package and matches(one.package))


def _some(kind: str, paths: Iterable[str]) -> list[Found]:
    found = tuple(sorted(paths))
    return [Found(kind, found)] if found else []


def _down_to(image: KnownImage, query: str) -> list[str]:
    """What there is of a path: the last directory, and how much that has."""
    path = image.resolve(posixpath.join("/", query))
    there = posixpath.dirname(path)
    while there not in image.items:
        there = posixpath.dirname(there)
    gone = path[len(there.rstrip("/")) + 1 :].split("/")[0]
    if image.items[there].kind != DIR:
        return [f"{there} is there, and is no directory"]
    below = len(image.below.get(there, ()))
    has = f"has {below:,} entr{'y' if below == 1 else 'ies'}"
    return [f"{there} is there and {has}, but not {there.rstrip('/')}/{gone}"]


def _nearest(image: KnownImage, query: str) -> tuple[str, ...]:
    """Paths with a name like it, first those in the same directory; packages of a like name."""
    name = posixpath.basename(query.rstrip("/"))
    if not name or _WILDCARD.search(name):
        return ()
    directory = posixpath.dirname(image.resolve(posixpath.join("/", query)))
    here = [posixpath.basename(path) for path in image.below.get(directory, ())]
    packages = {item.package for item in image.items.values() if item.package}
    by_name: dict[str, str] = {}
    for path in image.items:
        by_name.setdefault(path[path.rfind("/") + 1 :], path)
    start = name[:3].lower()
    like = [one for one in by_name if one[:3].lower() == start]
    candidates = dict.fromkeys([*here[:_MOST_COMPARED], *like[:_MOST_COMPARED]])
    near = difflib.get_close_matches(name, candidates, _MOST_NEAR)
    in_place = {posixpath.join(directory, one) for one in here}
    found = []
    for one in near:
        path = posixpath.join(directory, one)
        found.append(path if path in in_place else by_name[one])
    if "/" not in query:
        found += [
            f"{PACKAGE_PREFIX}{one}"
            for one in difflib.get_close_matches(name, sorted(packages)[:_MOST_COMPARED], 3)
        ]
    return tuple(found)
