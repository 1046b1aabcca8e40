"""Processes that are asked for before there is all that they would need: a cache may have them."""

from __future__ import annotations

from collections.abc import Iterable

from occlum_build.errors import OcclumError


def is_missing(error: Exception, contents: Iterable[str]) -> bool:
    """Whether an error of Pants says that one of the contents, by SHA-256, is in no store."""
    text = "" if isinstance(error, OcclumError) else str(error)
    return any(one in text for one in contents)
