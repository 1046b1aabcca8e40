"""Wildcards in `files:` and `dirs:`: matched in the sources, sorted; a literal name wins."""

from __future__ import annotations

import fnmatch
import posixpath

from occlum_build.sources.model import DIR, Sources, resolve


def expand_wildcard(sources: Sources, pattern: str, base: str) -> list[str]:
    """The source paths that match `pattern`, a source path below the directory `base`.

    `*`, `?` and `[...]` match within one component, and no leading dot that is not written.
    """
    if resolve(sources, pattern, follow_last=False) is not None:
        return [pattern]
    literal = base if base and pattern.startswith(base.rstrip("/") + "/") else ""
    found = [literal or ("/" if pattern.startswith("/") else "")]
    for part in pattern[len(literal) :].strip("/").split("/"):
        found = [match for directory in found for match in _matches(sources, directory, part)]
    return sorted(found)


def _matches(sources: Sources, directory: str, part: str) -> list[str]:
    if not any(character in part for character in "*?["):
        child = posixpath.join(directory, part)
        return [child] if resolve(sources, child, follow_last=False) is not None else []
    real = resolve(sources, directory)
    stat = sources.lstat(real) if real is not None else None
    if real is None or stat is None or stat.kind != DIR:
        return []
    return [
        posixpath.join(directory, name)
        for name in sources.names(real)
        if fnmatch.fnmatchcase(name, part) and (not name.startswith(".") or part.startswith("."))
    ]
