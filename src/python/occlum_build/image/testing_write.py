"""For tests of what is written: a directory of sources, an image, and entries of a plan."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.plan import ImagePlan
from occlum_build.image.write import ImageWriter, Written
from occlum_build.sources.os import OsSources

ORIGIN = Origin(Place("f", 1))
OLD = 1_500_000_000_123_456_789  # nanoseconds


def dir_at(path: str, mode: int = 0o755, source: str = "") -> Entry:
    return Entry(path, DIR, ORIGIN, mode, source)


def file_at(path: str, source: str, mode: int = 0o644, size: int = 0) -> Entry:
    return Entry(path, FILE, ORIGIN, mode, source, size)


def link_at(path: str, target: str) -> Entry:
    return Entry(path, SYMLINK, ORIGIN, 0o777, target=target)


PLAN = (
    dir_at("d"),
    file_at("d/a", "a", 0o4755),
    file_at("d/b", "b"),
    file_at("e", "empty"),
    link_at("l", "d/a"),
)


def write_image(source: Path, image: Path, *entries: Entry, sync: bool = False) -> Written:
    sources = OsSources(str(source))
    entries = tuple(
        one._replace(source=f"/{one.source}".rstrip(".")) if one.source else one for one in entries
    )
    return ImageWriter(str(image), sources).write(ImagePlan(entries), sync=sync)


def tree_of(image: Path) -> dict[str, tuple[int, str]]:
    """Path -> mode, and content or target."""
    found = {}
    for path in sorted(image.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else ""
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()[:10].decode()
        found[str(path.relative_to(image))] = (stat.S_IMODE(status.st_mode), content)
    return found


DUE = {
    "d": (0o755, ""),
    "d/a": (0o4755, "1" * 10),
    "d/b": (0o644, "2" * 10),
    "e": (0o644, ""),
    "l": (0o777, "d/a"),
}
