"""Wildcards in `files:` and `dirs:`: matched in the sources, sorted; a literal name wins."""

from __future__ import annotations

import posixpath

from occlum_build.bom.looked import Looked
from occlum_build.files.wildcards import wildcard
from occlum_build.sources.model import DIR, Sources, resolve


def expand_wildcard(
    sources: Sources, pattern: str, base: str, looked: Looked | None = None
) -> list[str]:
    """The source paths that match `pattern`, a source path below the directory `base`.

    `*`, `?` and `[...]` match within one component, and no leading dot that is not written. Raises
    TooMuch `directory` where too many names match, by what `looked` counts.
    """
    looked = looked or Looked()
    if resolve(sources, pattern, follow_last=False) is not None:
        return [pattern]
    literal = base if base and pattern.startswith(base.rstrip("/") + "/") else ""
    found = [literal or ("/" if pattern.startswith("/") else "")]
    for part in pattern[len(literal) :].strip("/").split("/"):
        directories, found = found, []
        for directory in directories:
            found += _matches(sources, directory, part, looked)
            looked.matched(0, len(found), pattern)
    return sorted(found)


def _matches(sources: Sources, directory: str, part: str, looked: Looked) -> list[str]:
    if not any(character in part for character in "*?["):
        child = posixpath.join(directory, part)
        return [child] if resolve(sources, child, follow_last=False) is not None else []
    real = resolve(sources, directory)
    stat = sources.lstat(real) if real is not None else None
    if real is None or stat is None or stat.kind != DIR:
        return []
    names = sources.names(real)
    looked.matched(len(names), 0, part)
    matches = wildcard(part).match
    return [
        posixpath.join(directory, name)
        for name in names
        if (name[0] != "." or part[0] == ".") and matches(name)
    ]
