"""Looks up what a planner asked of its sources and was not told, round by round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Callable, TypeVar

from pants.engine.fs import FileDigest
from pants.engine.rules import Rule

from occlum_build.elf.facts import Outcome
from occlum_build.errors import Report, TooMuch
from occlum_build.sources.model import DIR, FILE, SourceStat, resolve
from occlum_build.sources.recorded import Asked, RecordedSources, Unknown
from occlum_build.sysroot.lock import Lock
from pants_occlum.bom.facts import FactsRequest, elf_facts
from pants_occlum.bom.project_sources import (
    ProjectFile,
    ProjectFileRequest,
    ProjectSources,
    project_file,
)
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly
from pants_occlum.packages.root import RootOf, merged_root
from pants_occlum.problems import told_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.awaited_contents import cached_contents, host_texts, texts
from pants_occlum.sysroot.host import SysrootBlob, look_at_sysroot
from pants_occlum.sysroot.looks import SysrootRequest, SysrootSnapshot
from pants_occlum.sysroot.pins import (
    HostContents,
    host_contents,
    lock_of_sysroot,
    missing_content,
)
from pants_occlum.sysroot.sysroots import Sysroot

MAX_ROUNDS = 1000  # each round goes one library deeper

T = TypeVar("T")


@dataclass
class Knowledge:
    """What is known of the project's and the sysroot's files so far.

    With a lock the sysroot is what that pins, and nothing else: the host is not asked.
    """

    sysroot: Sysroot
    lock: Lock | None = None
    stats: dict[str, SourceStat | None] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    facts: dict[str, Outcome] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    undecodable: dict[str, None] = field(default_factory=dict)
    digests: dict[str, FileDigest] = field(default_factory=dict)  # of project files, by SHA-256
    deferred: dict[str, ProjectFileRequest] = field(default_factory=dict)
    packages: dict[str, tuple[str, str]] = field(default_factory=dict)  # beside those of pins
    asked: Asked = field(default_factory=Asked)  # by attempts that were told everything
    looks: list[tuple[SysrootRequest, SysrootSnapshot]] = field(default_factory=list)
    undeferred: set[str] = field(default_factory=set)  # files that were deferred, and asked for

    def __post_init__(self) -> None:
        if self.lock is None:
            return
        self.names.update(self.lock.names)
        for path, pin in self.lock.pins.items():
            self.stats[path] = pin.stat()
            if pin.type == FILE and not pin.sha256:
                self.errors[path] = f"its content is not pinned in {self.sysroot.lockfile}"

    def sources(self) -> RecordedSources:
        """A view of what is known now, whose `unknown` fills as it is asked."""
        return RecordedSources(
            self.stats,
            self.names,
            self.facts,
            self.texts,
            self.trees,
            self.errors,
            self.deferred,
        )

    def add_project(self, project: ProjectSources) -> None:
        children: dict[str, set[str]] = {"": set()}
        for path, file in project.files.items():
            self.add_file(path, file)
        self.deferred.update((one.path, one) for one in project.deferred)
        for path in project.paths():
            while path:
                parent, _, name = path.rpartition("/")
                children.setdefault(parent, set()).add(name)
                path = parent
        for directory, names in children.items():
            self.names[directory] = tuple(sorted(names))
            if directory:
                self.stats[directory] = SourceStat(DIR, 0o755)

    def add_file(self, path: str, file: ProjectFile) -> None:
        self.stats[path] = stat_of(file)
        self.digests[file.digest.fingerprint] = file.digest

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

    def add_looked(self, stats: Mapping[str, SourceStat | None], asked: Asked) -> None:
        """What somebody else asked of the same sysroot, and was told."""
        self.stats.update(stats)
        self.asked.update(asked)

    def add_pinned(self, unknown: Unknown) -> None:
        """Answer from the pins, which are all recorded: what is not among them does not exist."""
        sources = self.sources()
        for path in unknown.paths:
            itself = resolve(sources, path, follow_last=False)
            self.stats[path] = self.stats[itself] if itself is not None else None
        self.trees.update(dict.fromkeys(unknown.trees))
        for path in unknown.directories:
            self.names[path] = ()
            self.errors[path] = f"the names in it are not pinned in {self.sysroot.lockfile}"


def stat_of(file: ProjectFile) -> SourceStat:
    """What the planner is told of a file of the project."""
    mode = 0o755 if file.is_executable else 0o644
    sha256, size = file.digest.fingerprint, file.digest.serialized_bytes_length
    return SourceStat(FILE, mode, size, sha256=sha256, is_elf_or_zip=file.is_elf_or_zip)


async def settle(
    known: Knowledge, of: str, attempt: Callable[[RecordedSources, Report], T]
) -> tuple[T, Report]:
    """Repeat an attempt, learning what it asked for, until it was told everything."""
    for _ in range(MAX_ROUNDS):
        sources, report = known.sources(), Report()
        with quiet_gc():
            result = attempt(sources, report)
        if not sources.unknown:
            known.asked.update(sources.asked)
            return result, report
        await learn(known, sources.unknown, of)
    raise TooMuch(
        "directory",
        f"more than {MAX_ROUNDS:,} links or libraries in a row, of which each leads to the next",
        hint="are they made to have no end?",
    )


async def knowledge_of(sysroot: Sysroot) -> Knowledge:
    """Nothing of a sysroot yet, or all that its lock file pins where that is required."""
    is_closed = sysroot.lock is LockMode.require
    known = Knowledge(sysroot, await lock_of_sysroot(sysroot) if is_closed else None)
    if sysroot.packages is not None:
        root = (await merged_root(RootOf(sysroot.packages), **implicitly())).root
        known.facts.update(root.facts)
    return known


async def learn(known: Knowledge, unknown: Unknown, of: str) -> None:
    """Look up everything that was asked; first what stands in the project and the sysroot."""
    deferred = [known.deferred[path] for path in sorted(unknown.paths) if path in known.deferred]
    if deferred:
        files = await concurrently(project_file(one) for one in deferred)
        for one, file in zip(deferred, files):
            known.add_file(one.path, file)
            known.undeferred.add(one.path)
        return
    if unknown.paths or unknown.trees or unknown.directories:
        if known.lock is not None:
            known.add_pinned(unknown)
            return
        request = SysrootRequest(
            root=known.sysroot.root,
            hash_paths=tuple(sorted(unknown.paths)),
            trees=tuple(sorted(unknown.trees)),
            directories=tuple(sorted(unknown.directories)),
        )
        with told_of(known.sysroot.named_by):
            snapshot = await look_at_sysroot(request, **implicitly())
        known.looks.append((request, snapshot))
        with quiet_gc():
            known.add_sysroot(request, snapshot)
        return
    try:
        await _learn_contents(known, unknown, of)
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        host = _host_blobs(known, {**unknown.facts, **unknown.texts})
        raise await missing_content(error, known.sysroot, host, of) from None


async def _learn_contents(known: Knowledge, unknown: Unknown, of: str) -> None:
    if unknown.facts:
        blobs = await stored(known, unknown.facts, of)
        found = await elf_facts(FactsRequest(blobs, of))
        known.facts.update(found.by_sha256)
    if unknown.texts:
        host = {one: path for one, path in unknown.texts.items() if path.startswith("/")}
        own = {one: path for one, path in unknown.texts.items() if one not in host}
        known.texts.update(await texts(await stored(known, own, of)))
        known.texts.update(await host_texts(known.sysroot, _host_blobs(known, host), of))


async def stored(known: Knowledge, paths: Mapping[str, str], of: str) -> tuple[FileDigest, ...]:
    """The digests of contents, those of the sysroot taken into the store.

    `paths` has the contents by their SHA-256, each with a path that has it.
    """
    unstored = {sha256: path for sha256, path in paths.items() if sha256 not in known.digests}
    host = _host_blobs(known, unstored)
    if host and known.sysroot.packages is not None:
        await cached_contents(known.sysroot, host, of)
        known.digests.update((one.sha256, FileDigest(one.sha256, one.size)) for one in host)
    elif host:
        ingested = await host_contents(HostContents(known.sysroot, host, of))
        known.digests.update(ingested.digests)
    return tuple(known.digests[sha256] for sha256 in sorted(paths))


def _host_blobs(known: Knowledge, paths: Mapping[str, str]) -> tuple[SysrootBlob, ...]:
    return tuple(
        SysrootBlob(path, sha256, found.size)
        for sha256, path in sorted(paths.items())
        if path.startswith("/") and (found := known.stats[path]) is not None
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
