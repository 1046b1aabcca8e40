"""The plan of an image: one node, a pure function of BOMs, sources and ELF facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Callable, TypeVar

from pants.engine.addresses import Address
from pants.engine.fs import FileDigest
from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.bom.operations import Operations, bom_operations
from occlum_build.checks.image import check_image
from occlum_build.checks.libraries import library_path_of, unreachable
from occlum_build.checks.root import Root
from occlum_build.elf.facts import Outcome
from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.image.builder import normal_mode
from occlum_build.image.entries import FILE, Entry
from occlum_build.image.missing import Searched
from occlum_build.image.plan import (
    BomSet,
    ImagePlan,
    PlanOptions,
    complete_image,
    draft_image,
    only_elf_or_zip,
)
from occlum_build.process.complete import HostFile
from occlum_build.sources.model import Sources, SourceStat
from occlum_build.sources.recorded import RecordedSources
from occlum_build.sysroot.looked import Looked, differences, looked_at
from pants_occlum.bom.knowledge import Knowledge, knowledge_of, settle
from pants_occlum.bom.loading import LoadRequest, load
from pants_occlum.bom.ownership import PartlyOwnedRequest, explain, partly_owned
from pants_occlum.bom.project_sources import DeferredSourcesRequest, defer_sources
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.dist.sync import HostCopies
from pants_occlum.problems import invalid_image
from pants_occlum.subsystem import Conflicts, LockMode, OcclumSubsystem
from pants_occlum.sysroot.host import SysrootBlob, SysrootIngest
from pants_occlum.sysroot.pins import (
    HostContents,
    host_contents,
    lock_of_sysroot,
    lock_problem,
    missing_content,
    present_files,
)
from pants_occlum.sysroot.sysroots import Sysroot, SysrootOf, check_lockable, find_sysroot

T = TypeVar("T")


@dataclass(frozen=True)
class PlanRequest:
    """The BOM targets of an image, in their order."""

    address: Address
    boms: tuple[Address, ...]
    allow_missing: tuple[str, ...]


@dataclass(frozen=True)
class PlannedImage:
    """The entries by path, the SHA-256 of each file's source, and where contents come from.

    `project` are contents of the project, already stored; all others are still in the sysroot.
    `findings` is what planning and the checks of the planned image have to tell. `stats` by source
    path and `facts` by SHA-256 are what is known of the files besides, `searched` what the search
    for libraries leaves to know.
    """

    sysroot: Sysroot

    entries: tuple[Entry, ...]
    sha256: Mapping[str, str]
    project: Mapping[str, FileDigest]
    findings: tuple[Problem, ...]
    stats: Mapping[str, SourceStat] = field(compare=False, repr=False)
    facts: Mapping[str, Outcome] = field(compare=False, repr=False)
    searched: Searched

    def needs_library_path(self, env: Iterable[str]) -> list[Problem]:
        """Warnings of the libraries that LD_LIBRARY_PATH would have to lead to, and does not.

        `env` has NAME=VALUE of the environment that the programs get.
        """
        sources = RecordedSources({}, {}, {}, {})  # of contents nothing is asked
        return unreachable(Root(self.entries, sources, self.searched), library_path_of(env))

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


@dataclass(frozen=True)
class LookedAtBy:
    """An image, whose pins are wanted: whatever is pinned, the host is looked at."""

    plan: PlanRequest


async def _plan(request: PlanRequest, known: Knowledge, occlum: OcclumSubsystem) -> PlannedImage:
    of = str(request.address)
    loaded = await load(LoadRequest(request.boms, known.sysroot, of))
    known.add_looked(loaded.stats, loaded.asked)
    known.undecodable.update(dict.fromkeys(loaded.undecodable))
    project = await defer_sources(DeferredSourcesRequest(request.boms, loaded.files))
    known.add_project(project)
    options = PlanOptions(
        cpu_level=occlum.cpu_level.value,
        allow_missing=request.allow_missing,
        conflicts_are_errors=occlum.conflicts is Conflicts.error,
        mode=normal_mode,
    )
    draft, drafting = await settle(
        known, of, lambda sources, report: draft_image(loaded.sets, options, sources, report)
    )
    draft, _ = await settle(known, of, lambda sources, _: only_elf_or_zip(draft, sources))
    planned, closing = await settle(
        known, of, lambda sources, report: complete_image(draft, options, sources, report)
    )
    sha256, hashing = await settle(
        known, of, lambda sources, report: _hash(planned.entries, sources, report)
    )
    found, _ = await settle(
        known,
        of,
        lambda sources, _: check_image(Root(planned.entries, sources, planned.searched)),
    )
    reports = (drafting, closing, hashing)
    errors = [*loaded.errors, *(problem for report in reports for problem in report.errors)]
    errors += [
        Problem("directory", f"the name {name} is not UTF-8") for name in sorted(known.undecodable)
    ]
    unpinned = await _unpinned(known, is_whole=not errors)
    if errors or unpinned:
        told = [_with_pins(problem, known.sysroot) for problem in await explain(errors)]
        raise invalid_image(request.address, [*told, *unpinned])
    warnings = [*loaded.warnings, *(problem for report in reports for problem in report.warnings)]
    warnings = [_with_pins(problem, known.sysroot) for problem in warnings]
    unowned = await partly_owned(
        PartlyOwnedRequest(_operations(loaded.sets), project.paths()), **implicitly()
    )
    findings = [*warnings, *unowned.warnings, *found]
    return _result(planned, sha256, known, findings)


async def _unpinned(known: Knowledge, *, is_whole: bool) -> list[Problem]:
    """What differs from the lock file, where that is to be verified."""
    if known.sysroot.lock is not LockMode.verify:
        return []
    lock = await lock_of_sysroot(known.sysroot)
    asked = known.asked
    if not is_whole:
        # Of a plan that failed, only a hint may have asked what a directory holds.
        listed = {path: names for path, names in asked.listed.items() if path in lock.names}
        asked = replace(asked, listed=listed)
    found = differences(looked_at(known.stats, asked), lock)
    return [await lock_problem(known.sysroot, lock, found)] if found else []


def _with_pins(problem: Problem, sysroot: Sysroot) -> Problem:
    """Tell of something that the host may have that only pins count."""
    is_of_host = problem.code == "libraries" or any(path[:1] == "/" for path in problem.missing)
    if sysroot.lock is not LockMode.require or not is_of_host:
        return problem
    hint = f"only what {sysroot.lockfile} pins counts; pin what is there: {sysroot.command}"
    return replace(problem, hint=hint)


@rule(desc="Plan images", level=LogLevel.DEBUG)
async def plan_image(request: PlanRequest, occlum: OcclumSubsystem) -> PlannedImage:
    sysroot = await find_sysroot(SysrootOf((request.address, *request.boms)), **implicitly())
    check_lockable(sysroot, request.address, occlum)
    try:
        known = await knowledge_of(sysroot)
        return await _plan(request, known, occlum)
    except OcclumError as error:
        raise invalid_image(request.address, error.problems) from None


@rule(desc="Plan images to pin what they look at", level=LogLevel.DEBUG)
async def look_for_pins(request: LookedAtBy, occlum: OcclumSubsystem) -> Looked:
    plan = request.plan
    sysroot = await find_sysroot(SysrootOf((plan.address, *plan.boms)), **implicitly())
    known = Knowledge(replace(sysroot, lock=LockMode.off))
    await _plan(plan, known, occlum)
    return looked_at(known.stats, known.asked)


async def check_host(plan: PlannedImage, of: str) -> None:
    """Compare the host's files with their pins, and share them, where that is asked for."""
    contents = plan.host_contents(of)
    if plan.sysroot.share:
        await host_contents(contents)
    elif plan.sysroot.lock is LockMode.require:
        await present_files(contents)


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


def _operations(sets: Iterable[BomSet]) -> tuple[Operations, ...]:
    return tuple(
        bom_operations(bom, one.workspace, one.env, Report()) for one in sets for bom in one.boms
    )


def _hash(entries: Sequence[Entry], sources: Sources, report: Report) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        if entry.kind == FILE:
            try:
                found[entry.source] = sources.sha256(entry.source)
            except OcclumError as error:
                with report.at(entry.origin.place):
                    raise error
    return found


def _result(
    planned: ImagePlan,
    sha256: Mapping[str, str],
    known: Knowledge,
    findings: Iterable[Problem],
) -> PlannedImage:
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
        known.sysroot, planned.entries, sha256, project, told, stats, facts, planned.searched
    )


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


def rules() -> Iterable[Rule]:
    return collect_rules()
