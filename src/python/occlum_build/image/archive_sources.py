"""Sources in which zip archives are directories that hold their ELF files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from occlum_build.elf.facts import Archive, ElfFacts, Script
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.sources.model import DIR, FILE, Sources, SourceStat

_DIR, _FILE = SourceStat(DIR, 0o755), SourceStat(FILE, 0o644)


class ArchiveSources:
    """A view for searching libraries: as a loader would find them once the archives are unpacked.

    `archives` has them by source path; everything outside of them is as in `sources`.
    """

    def __init__(self, sources: Sources, archives: Mapping[str, Archive]) -> None:
        self._sources = sources
        self._within = tuple(f"{path}/" for path in archives)
        self._facts = {
            f"{path}/{name}": facts
            for path, archive in archives.items()
            for name, facts in archive.members
        }
        self._dirs = set(archives)
        for path in self._facts:
            while (path := posixpath.dirname(path)) not in self._dirs:
                self._dirs.add(path)

    def is_within(self, path: str) -> bool:
        """Whether a source path leads into an archive."""
        return path.startswith(self._within)

    def expect(self, path: str, *, tree: bool = False) -> bool | None:
        return None if self.is_within(path) else self._sources.expect(path, tree=tree)

    def lstat(self, path: str) -> SourceStat | None:
        if path in self._facts:
            return _FILE
        if path in self._dirs:
            return _DIR
        return None if self.is_within(path) else self._sources.lstat(path)

    def facts(self, path: str) -> ElfFacts | None:
        return self._facts[path] if path in self._facts else self._sources.facts(path)

    def names(self, path: str) -> Sequence[str]:
        return self._sources.names(path)

    def sha256(self, path: str) -> str:
        return self._sources.sha256(path)

    def malformed(self, path: str) -> str:
        return self._sources.malformed(path)

    def archive(self, path: str) -> Archive | None:
        return self._sources.archive(path)

    def script(self, path: str) -> Script | None:
        return self._sources.script(path)

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        return self._sources.read(path, limit)
