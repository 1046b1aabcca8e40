"""Several names in one message: the first few, and how many more there are."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first names, as a sentence has them, and how many more there are where that is shorter.

    `a`, `a and b`, `a, b and c`, `a, b, c and d`, `a, b, c and 2 more`.
    """
    more = len(names) - shown
    return f"{', '.join(names[:shown])} and {more:,} more" if more > 1 else listed(names)


def listed(names: Sequence[str]) -> str:
    """All names, as a sentence has them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def who(paths: Iterable[str]) -> str:
    """Files as one says them: the one, or how many and below which directory."""
    found = sorted(set(paths))
    if len(found) == 1:
        return found[0]
    is_absolute = {path.startswith("/") for path in found}
    common = posixpath.commonpath(found) if len(is_absolute) == 1 else ""
    if common in ("", "/"):
        return f"{len(found)} files, {found[0]} among them"
    return f"{len(found)} files below {common}"
