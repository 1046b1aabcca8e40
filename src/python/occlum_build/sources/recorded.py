"""Sources as recorded before: answers from what is known, and collects what it was asked beyond.

Under a build engine nothing may be read in passing. A planner is run over such a view; what it
could not be told is then looked up, and it is run again, until nothing was missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from occlum_build.elf.facts import Archive, ElfFacts, Malformed, Outcome, Script
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.reading import too_large
from occlum_build.sources.model import FILE, SourceStat

MIN_ELF_BYTES = 64  # the size of an ELF64 header


@dataclass
class Unknown:
    """What a planner asked and was not told: paths to look at, directories, contents to read.

    Contents are named by their SHA-256, with a path that has them.
    """

    paths: set[str] = field(default_factory=set)
    trees: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    facts: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.paths or self.trees or self.directories or self.facts or self.texts)


@dataclass
class Asked:
    """What a planner looked at: entries, directories with the names it was told, and contents.

    `decisive` are files whose bytes or size counted by themselves, beyond what facts tell of them.
    """

    paths: set[str] = field(default_factory=set)
    listed: dict[str, Sequence[str]] = field(default_factory=dict)
    contents: set[str] = field(default_factory=set)
    decisive: set[str] = field(default_factory=set)

    def update(self, other: Asked) -> None:
        self.paths |= other.paths
        self.listed.update(other.listed)
        self.contents |= other.contents
        self.decisive |= other.decisive

    def in_sysroot(self) -> Asked:
        """What is absolute."""
        return Asked(
            {path for path in self.paths if path.startswith("/")},
            {path: names for path, names in self.listed.items() if path.startswith("/")},
            {path for path in self.contents if path.startswith("/")},
            {path for path in self.decisive if path.startswith("/")},
        )


@dataclass
class RecordedSources:
    """A view of recorded entries; a path of `stats` whose value is None is known to be absent.

    The contents of files are known by the SHA-256 in their stats. Relative paths are all known: one
    that is not recorded and not `deferred` does not exist. `names_in` holds the listed directories,
    `facts_of` and `texts` what is known of contents by SHA-256.
    """

    stats: Mapping[str, SourceStat | None]
    names_in: Mapping[str, Sequence[str]]
    facts_of: Mapping[str, Outcome]
    texts: Mapping[str, bytes]
    trees: Mapping[str, None] = field(default_factory=dict)  # directories known in full
    errors: Mapping[str, str] = field(default_factory=dict)  # path -> why it cannot be read
    deferred: Collection[str] = ()
    unknown: Unknown = field(default_factory=Unknown)
    asked: Asked = field(default_factory=Asked)

    def expect(self, path: str, *, tree: bool = False) -> bool:
        if tree and path.startswith("/") and path not in self.trees:
            self.unknown.trees.add(path)
        elif path not in self.stats and (path.startswith("/") or path in self.deferred):
            self.unknown.paths.add(path)
        else:
            return False
        return True

    def lstat(self, path: str) -> SourceStat | None:
        self.asked.paths.add(path)
        if path in self.stats:
            return self.stats[path]
        self.expect(path)
        return None

    def names(self, path: str) -> Sequence[str]:
        self._check_readable(path)
        found = self.names_in.get(path)
        if found is None:
            if path.startswith("/"):
                self.unknown.directories.add(path)
            return ()
        self.asked.listed[path] = found
        return found

    def weigh(self, path: str) -> None:
        """Note that the size of a file counts, of which no source is asked (`sources.model`)."""
        self.asked.decisive.add(path)

    def sha256(self, path: str) -> str:
        self._check_readable(path)
        self.asked.decisive.add(path)
        return self._content(path)

    def _content(self, path: str) -> str:
        """The SHA-256 of a regular file; "" where it is not known, which is noted, or none."""
        self.asked.contents.add(path)
        stat = self.lstat(path)
        if stat is None or stat.sha256:
            return stat.sha256 if stat is not None else ""
        # Also of what a listing of its directory told, without its content.
        if stat.kind == FILE and path.startswith("/") and path not in self.errors:
            self.unknown.paths.add(path)
        return ""

    def _check_readable(self, path: str) -> None:
        if path in self.errors:
            raise OcclumError("file", f"{path} cannot be read: {self.errors[path]}")

    def facts(self, path: str) -> ElfFacts | None:
        found = self._facts(path)
        return found if isinstance(found, ElfFacts) else None

    def malformed(self, path: str) -> str:
        found = self._facts(path)
        return found.reason if isinstance(found, Malformed) else ""

    def archive(self, path: str) -> Archive | None:
        found = self._facts(path)
        return found if isinstance(found, Archive) else None

    def script(self, path: str) -> Script | None:
        # Asked of few files, it needs no mark in their stats as ELF files have.
        found = self._outcome(path)
        return found if isinstance(found, Script) else None

    def _facts(self, path: str) -> Outcome:
        stat = self.lstat(path)
        if stat is None or stat.size < MIN_ELF_BYTES or stat.is_elf_or_zip is False:
            return None
        return self._outcome(path)

    def _outcome(self, path: str) -> Outcome:
        stat = self.lstat(path)
        if stat is None or stat.kind != FILE:
            return None
        sha256 = self._content(path)
        if not sha256:
            return None
        if sha256 not in self.facts_of:
            self.unknown.facts[sha256] = path
            return None
        return self.facts_of[sha256]

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        self._check_readable(path)
        self.asked.decisive.add(path)
        sha256 = self._content(path)
        if not sha256:
            return None
        stat = self.lstat(path)
        if stat is not None and stat.size > limit:  # before it is asked for
            raise too_large(path, limit, "file")
        if sha256 not in self.texts:
            self.unknown.texts[sha256] = path
            return None
        return self.texts[sha256]
