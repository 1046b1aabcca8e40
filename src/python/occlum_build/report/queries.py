"""What somebody may ask for in an image: a path, a name, a pattern, a directory, a package."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from occlum_build.files.wildcards import wildcard
from occlum_build.report.model import DIR, KnownImage, entries

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
    kind, named = NAME, _named(image, query)
    if not named and _WILDCARD.search(query):
        kind, named = PATTERN, _like(image, query)
    return [*_some(kind, named), *_some(PACKAGE, _of_package(image, query))]


_NO_PACKAGE = "as a package: no entry is of it"
_NO_PACKAGES = "as a package: the manifest names none, as the image was not made of packages"


def _has_packages(image: KnownImage) -> bool:
    return any(item.package for item in image.items.values())


def absent(image: KnownImage, query: str) -> Absent:
    """Why a query is not found: what was looked at, and what is near."""
    if query.startswith(PACKAGE_PREFIX):
        near = _packages_like(image, query[len(PACKAGE_PREFIX) :])
        none = "as the package of an entry: none is of it"
        return Absent((none if _has_packages(image) else _NO_PACKAGES,), near)
    searched, name = [], posixpath.basename(query.rstrip("/"))
    if "/" in query:
        if _WILDCARD.search(query):
            searched.append(f"in the paths of {entries(len(image.items))}: none is like it")
        else:
            searched += _down_to(image, query)
        searched.append("as the source of an entry: none is copied from there")
    else:
        searched.append(f"as the name of one of {entries(len(image.items))}: none has it")
        searched.append("as the name of a library in DT_NEEDED: none is found by it")
        searched.append(_NO_PACKAGE if _has_packages(image) else _NO_PACKAGES)
    for missing in image.graph.missing if image.graph else ():
        if posixpath.basename(missing.name) == name:
            searched.append(f"needed by {' -> '.join(missing.chain)}, and missing:")
            searched += [f"by its loader: {one}" for one in missing.searched]
    return Absent(tuple(searched), _nearest(image, query))


def _find_path(image: KnownImage, query: str) -> list[Found]:
    path = posixpath.join("/", query).rstrip("/") or "/"
    real = image.resolve(path)
    item = image.items.get(real)
    if item is not None:
        return [Found(DIRECTORY if item.kind == DIR else PATH, (real,))]
    if any(one in image.edges_from for one in (path, real)):  # in an archive
        return [Found(PATH, (path if path in image.edges_from else real,))]
    sources = {query, path}
    found = _some(SOURCE, (one.path for one in image.items.values() if one.source in sources))
    if not found and _WILDCARD.search(query):
        matches = wildcard(path).match
        return _some(PATTERN, (one for one in image.items if one != "/" and matches(one)))
    return found


def _named(image: KnownImage, name: str) -> set[str]:
    end, edges = f"/{name}", image.graph.edges if image.graph else ()
    found = {path for path in image.items if path.endswith(end)}
    return found.union(edge.to for edge in edges if edge.name == name)


def _like(image: KnownImage, pattern: str) -> set[str]:
    matches, edges = wildcard(pattern).match, image.graph.edges if image.graph else ()
    found = {path for path in image.items if path != "/" and matches(path[path.rfind("/") + 1 :])}
    return found.union(edge.to for edge in edges if edge.name and matches(edge.name))


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
    has = f"has {entries(len(image.below.get(there, ())))}"
    return [f"{there} is there and {has}, but not {there.rstrip('/')}/{gone}"]


def _nearest(image: KnownImage, query: str) -> tuple[str, ...]:
    """Paths with a name like it, first those in the same directory; packages of a like name."""
    name = posixpath.basename(query.rstrip("/"))
    if not name or _WILDCARD.search(name):
        return ()
    directory = posixpath.dirname(image.resolve(posixpath.join("/", query)))
    here = [posixpath.basename(path) for path in image.below.get(directory, ())]
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
        found += _packages_like(image, name)
    return tuple(found)


def _packages_like(image: KnownImage, name: str) -> tuple[str, ...]:
    packages = sorted({item.package for item in image.items.values() if item.package})
    near = difflib.get_close_matches(name, packages[:_MOST_COMPARED], 3)
    return tuple(f"{PACKAGE_PREFIX}{one}" for one in near)
