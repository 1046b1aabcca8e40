"""Wildcards in names: `*`, `?` and `[...]`, as `fnmatch` has them."""

from __future__ import annotations

import fnmatch
import functools
import re


@functools.lru_cache(maxsize=1 << 10)
def wildcard(pattern: str) -> re.Pattern[str]:
    """What a name has to match; `*` and `?` match slashes too.

    With Python 3.9 `fnmatch` itself ends in an error for `[z-a]`, which no name matches.
    """
    try:
        return re.compile(fnmatch.translate(pattern))
    except re.error:
        return re.compile("(?!)")
