"""Contents in groups that hardly change when a content does, for nodes that each do one group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def content_groups(by_sha256: Mapping[str, T], size: int) -> list[list[T]]:
    """Groups of about `size`, by the first bits of the SHA-256 (hex), sorted by it.

    One changed content changes one group, or two. The number of groups is a power of two: it stays
    the same until the contents have doubled.
    """
    count = 1
    while count * size < len(by_sha256):
        count *= 2
    groups: dict[int, list[T]] = {}
    for sha256, item in sorted(by_sha256.items()):
        groups.setdefault(int(sha256[:8], 16) * count >> 32, []).append(item)
    return list(groups.values())
