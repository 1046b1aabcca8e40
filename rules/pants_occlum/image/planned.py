"""A planned image: what is to be known of it, and where its contents come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Callable, TypeVar

from pants.engine.addresses import Address
from pants.engine.fs import FileDigest

from occlum_build.checks.libraries import library_path_of, uncovered
from occlum_build.checks.root import Root
from occlum_build.elf.facts import Outcome
from occlum_build.errors import WARNING, Problem
from occlum_build.image.entries import DIR, FILE, Entry
from occlum_build.image.graph import Graph, graph_of
from occlum_build.image.missing import ELSEWHERE, Searched
from occlum_build.image.plan import ImagePlan
from occlum_build.process.complete import HostFile
from occlum_build.sources.model import SourceStat
from pants_occlum.bom.knowledge import Knowledge, settle
from pants_occlum.dist.sync import HostCopies
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.host import SysrootBlob, SysrootIngest
from pants_occlum.sysroot.pins import HostContents, host_contents, missing_content, present_files
from pants_occlum.sysroot.sysroots import Sysroot

T = TypeVar("T")


@dataclass(frozen=True)
class PlannedImage:
    """The entries by path, the SHA-256 of each file's source, and where contents come from.

    `project` are contents of the project, already stored; all others are still in the sysroot.
    `findings` is what planning and the checks of the planned image have to tell. `stats` by source
    path and `facts` by SHA-256 are what is known of the files besides, `searched` what the search
    for libraries leaves to know. `packages` has package and version of the files and links that
    packages have, by source path. `graph` is all that is left of the closures, which are large.
    """

    sysroot: Sysroot

    entries: tuple[Entry, ...]
    sha256: Mapping[str, str]
    project: Mapping[str, FileDigest]
    findings: tuple[Problem, ...]
    stats: Mapping[str, SourceStat] = field(compare=False, repr=False)
    facts: Mapping[str, Outcome] = field(compare=False, repr=False)
    searched: Searched
    packages: Mapping[str, tuple[str, str]]
    graph: Graph

    def needs_library_path(self, env: Iterable[str]) -> list[Problem]:
        """Warnings of the libraries that LD_LIBRARY_PATH would have to lead to, and does not.

        `env` has NAME=VALUE of the environment that the programs get.
        """
        found = self.searched.elsewhere
        if not found:
            return []
        return uncovered(found, Root.of_paths(self.entries), library_path_of(env))

    def host_blobs(self, wanted: Collection[str] | None = None) -> tuple[SysrootBlob, ...]:
        """The contents that are in the sysroot, each with the last of the files that have it.

        With `wanted` those of these SHA-256 alone.
        """
        blobs = {}
        for entry in self.entries:
            if entry.kind == FILE and entry.source.startswith("/"):
                content = self.sha256[entry.source]
                if wanted is None or content in wanted:
                    blobs[content] = entry
        return tuple(
            SysrootBlob(entry.source, sha256, entry.size) for sha256, entry in blobs.items()
        )

    def host_files(self) -> tuple[HostFile, ...]:
        """The entries whose contents are in the sysroot alone."""
        return tuple(
            HostFile(entry.path, self.sha256[entry.source], entry.source)
            for entry in self.entries
            if entry.kind == FILE and self.sha256[entry.source] not in self.project
        )

    def host_contents(self, of: str) -> HostContents:
        """What checks the image's host files, takes those into the store, and shares them."""
        return HostContents(self.sysroot, self.host_blobs(), of, for_image=True)


def planned_image(
    planned: ImagePlan,
    sha256: Mapping[str, str],
    known: Knowledge,
    findings: Iterable[Problem],
) -> PlannedImage:
    """A plan, with what was learnt while it was made."""
    project: dict[str, FileDigest] = {}
    stats: dict[str, SourceStat] = {}
    for entry in planned.entries:
        if entry.kind != FILE:
            continue
        content, stat = sha256[entry.source], known.stats[entry.source]
        if not entry.source.startswith("/"):
            project[content] = known.digests[content]
        if stat is not None:
            stats[entry.source] = stat
    facts = {one: known.facts[one] for one in sha256.values() if one in known.facts}
    told = tuple(dict.fromkeys(findings))
    return PlannedImage(
        known.sysroot,
        planned.entries,
        sha256,
        project,
        told,
        stats,
        facts,
        planned.searched,
        _packages(planned, known),
        graph_of(planned),
    )


def _packages(planned: ImagePlan, known: Knowledge) -> dict[str, tuple[str, str]]:
    """Only of a root of packages: what pins tell of a host depends on the machine that wrote it."""
    if known.sysroot.packages is None or known.lock is None:
        return {}
    pins = known.lock.pins
    sources = [one.source for one in planned.entries if one.kind != DIR]
    found = (pins[source] for source in sources if source in pins)
    of_pins = {pin.path: (pin.package, pin.version) for pin in found if pin.package}
    return {**of_pins, **{one: known.packages[one] for one in sources if one in known.packages}}


def is_for_others(problem: Problem) -> bool:
    """Is it for those who set LD_LIBRARY_PATH, or do not, to tell?"""
    return problem.code == ELSEWHERE and problem.severity == WARNING


async def look_into(plan: PlannedImage, of: str, look: Callable[[Root], T]) -> T:
    """What a check finds in a planned image; it is run again for what it asked and nobody knew."""
    known = Knowledge(
        plan.sysroot,
        stats=dict(plan.stats),
        facts=dict(plan.facts),
        digests=dict(plan.project),
    )
    found, _ = await settle(
        known, of, lambda sources, _: look(Root(plan.entries, sources, plan.searched))
    )
    return found


async def check_host(plan: PlannedImage, of: str) -> None:
    """Compare the host's files with their pins, and share them, where that is asked for."""
    if plan.sysroot.share:
        await host_contents(plan.host_contents(of))
    elif plan.sysroot.lock is LockMode.require and plan.sysroot.packages is None:
        await present_files(plan.host_contents(of))


async def host_copies(plan: PlannedImage, of: str) -> HostCopies:
    """What tells a sync of dist which files can be copied from the host."""
    await check_host(plan, of)
    sysroot = plan.sysroot
    if sysroot.lock is not LockMode.require:
        return lambda wanted: SysrootIngest(sysroot.root, plan.host_blobs(wanted))
    present = await present_files(plan.host_contents(of))
    return lambda _: SysrootIngest(sysroot.root, present.blobs)


async def explain_missing(error: Exception, plan: PlannedImage | None, of: Address) -> Exception:
    """What to raise for an error of who wants an image's contents: they may be on no machine."""
    if plan is None:
        return error
    return await missing_content(error, plan.sysroot, plan.host_blobs(), str(of))
