"""Looks up what a planner asked of its sources and was not told, round by round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Callable, TypeVar

from pants.engine.fs import CreateDigest, Digest, DigestContents, FileDigest, FileEntry
from pants.engine.rules import Get, Rule, collect_rules

from occlum_build.elf.facts import ElfFacts, Malformed
from occlum_build.errors import Report
from occlum_build.recorded_sources import RecordedSources, Unknown
from occlum_build.sources import DIR, FILE, SourceStat
from pants_occlum.facts import FactsRequest, KnownFacts
from pants_occlum.project_sources import ProjectSources
from pants_occlum.util_rules.quiet_gc import quiet_gc
from pants_occlum.util_rules.sysroot import (
    IngestedBlobs,
    SysrootBlob,
    SysrootIngest,
    SysrootRequest,
    SysrootSnapshot,
)

MAX_ROUNDS = 1000  # each round goes one library deeper

T = TypeVar("T")


@dataclass
class Knowledge:
    """What is known of the project's and the sysroot's files so far."""

    sysroot: str
    stats: dict[str, SourceStat | None] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    facts: dict[str, ElfFacts | Malformed | None] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    undecodable: dict[str, None] = field(default_factory=dict)
    digests: dict[str, FileDigest] = field(default_factory=dict)  # of project files, by SHA-256

    def sources(self) -> RecordedSources:
        """A view of what is known now, whose `unknown` fills as it is asked."""
        return RecordedSources(
            self.stats,
            self.names,
            self.facts,
            self.texts,
            self.trees,
            self.errors,
            Unknown(),
        )

    def add_project(self, project: ProjectSources) -> None:
        children: dict[str, set[str]] = {"": set()}
        for path, file in project.files.items():
            mode = 0o755 if file.is_executable else 0o644
            sha256, size = file.digest.fingerprint, file.digest.serialized_bytes_length
            self.stats[path] = SourceStat(FILE, mode, size, sha256=sha256)
            self.digests[sha256] = file.digest
            while path:
                parent, _, name = path.rpartition("/")
                children.setdefault(parent, set()).add(name)
                path = parent
        for directory, names in children.items():
            self.names[directory] = tuple(sorted(names))
            if directory:
                self.stats[directory] = SourceStat(DIR, 0o755)

    def add_sysroot(self, request: SysrootRequest, snapshot: SysrootSnapshot) -> None:
        # What only a listing tells must not make a known content unknown again.
        before = {path: self.stats[path] for path in snapshot.entries.keys() & self.stats.keys()}
        self.stats.update(snapshot.entries)
        self.stats.update({path: stat for path, stat in before.items() if stat and stat.sha256})
        self.names.update(snapshot.names)
        self.errors.update(snapshot.errors)
        self.trees.update(dict.fromkeys(request.trees))
        self.undecodable.update(dict.fromkeys(snapshot.undecodable))
        for path in request.hash_paths:
            self.stats.setdefault(path, None)


async def settle(
    known: Knowledge, of: str, attempt: Callable[[RecordedSources, Report], T]
) -> tuple[T, Report]:
    """Repeat an attempt, learning what it asked for, until it was told everything."""
    for _ in range(MAX_ROUNDS):
        sources, report = known.sources(), Report()
        with quiet_gc():
            result = attempt(sources, report)
        if not sources.unknown:
            return result, report
        await learn(known, sources.unknown, of)
    raise RuntimeError(f"still unknown after {MAX_ROUNDS} rounds: {sources.unknown}")


async def learn(known: Knowledge, unknown: Unknown, of: str) -> None:
    """Look up everything that was asked; the sysroot first, as all else stands in it."""
    if unknown.paths or unknown.trees or unknown.directories:
        request = SysrootRequest(
            root=known.sysroot,
            hash_paths=tuple(sorted(unknown.paths)),
            trees=tuple(sorted(unknown.trees)),
            directories=tuple(sorted(unknown.directories)),
        )
        snapshot = await Get(SysrootSnapshot, SysrootRequest, request)
        with quiet_gc():
            known.add_sysroot(request, snapshot)
        return
    if unknown.facts:
        blobs = await stored(known, unknown.facts)
        found = await Get(KnownFacts, FactsRequest(blobs, of))
        known.facts.update(found.by_sha256)
    if unknown.texts:
        blobs = await stored(known, unknown.texts)
        digest = await Get(Digest, CreateDigest(FileEntry(one.fingerprint, one) for one in blobs))
        contents = await Get(DigestContents, Digest, digest)
        known.texts.update({file.path: file.content for file in contents})


async def stored(known: Knowledge, paths: Mapping[str, str]) -> tuple[FileDigest, ...]:
    """The digests of contents, those of the sysroot taken into the store.

    `paths` has the contents by their SHA-256, each with a path that has it.
    """
    host = tuple(
        SysrootBlob(path, sha256, found.size)
        for sha256, path in sorted(paths.items())
        if sha256 not in known.digests and (found := known.stats[path]) is not None
    )
    if host:
        ingested = await Get(IngestedBlobs, SysrootIngest(known.sysroot, host))
        known.digests.update(ingested.digests)
    return tuple(known.digests[sha256] for sha256 in sorted(paths))


def rules() -> Iterable[Rule]:
    return collect_rules()
