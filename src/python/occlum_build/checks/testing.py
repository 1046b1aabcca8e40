"""Root file systems for tests, made up in memory."""

from __future__ import annotations

from collections.abc import Mapping

from occlum_build.checks.root import Root
from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.testing import Files, TreeView

ORIGIN = Origin(Place("bom.yaml", 3, 7))


def root_of(files: Files, modes: Mapping[str, int] | None = None) -> Root:
    """A root file system of absolute path -> content, facts, "-> TARGET", None for a directory.

    ELF files are 0755 and others 0644 unless `modes` says otherwise.
    """
    sources, entries = TreeView(files), []
    for path in files:
        stat = sources.lstat(path)
        if stat is None or stat.kind not in (DIR, FILE, SYMLINK):
            raise ValueError(path)
        mode = (modes or {}).get(path, stat.mode)
        source = "" if stat.kind == SYMLINK else path
        entries.append(Entry(path[1:], stat.kind, ORIGIN, mode, source, stat.size, stat.target))
    return Root(entries, sources)
