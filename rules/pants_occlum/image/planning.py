"""The plan of an image: one node, a pure function of BOMs, sources and ELF facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import filterfalse

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.engine.target import WrappedTargetRequest
from pants.util.logging import LogLevel

from occlum_build.bom.operations import bom_operations
from occlum_build.checks.root import Root
from occlum_build.errors import ERROR, OcclumError, Problem, Report
from occlum_build.image.builder import normal_mode
from occlum_build.image.entries import FILE, Entry
from occlum_build.image.missing import VERSION
from occlum_build.image.plan import (
    PlanOptions,
    complete_image,
    draft_image,
    only_elf_or_zip,
)
from occlum_build.occlum.own_keys import key_in_image
from occlum_build.sources.model import Sources
from occlum_build.sources.recorded import Asked
from occlum_build.sysroot.looked import Looked, differences, looked_at
from pants_occlum.bom.knowledge import Knowledge, knowledge_of, settle
from pants_occlum.bom.loading import LoadedBoms, LoadRequest, load
from pants_occlum.bom.ownership import PartlyOwnedRequest, explain, partly_owned
from pants_occlum.bom.project_sources import (
    DeferredSourcesRequest,
    ProjectSources,
    defer_sources,
)
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.metadata import add_metadata, packages_of_image
from pants_occlum.image.planned import PlannedImage, is_for_others, planned_image
from pants_occlum.image.replanning import PlanInputs, remember, replan
from pants_occlum.problems import invalid_image
from pants_occlum.subsystem import Conflicts, LockMode, OcclumSubsystem
from pants_occlum.sysroot.own_keys import OwnKeys, own_keys
from pants_occlum.sysroot.pins import lock_of_sysroot, lock_problem
from pants_occlum.sysroot.sysroots import Sysroot, SysrootOf, check_lockable, find_sysroot
from pants_occlum.sysroot.walk import IS_KEY


@dataclass(frozen=True)
class PlanRequest:
    """The BOM targets of an image, in their order."""

    address: Address
    boms: tuple[Address, ...]
    allow_missing: tuple[str, ...]
    package_metadata: bool = False


@dataclass(frozen=True)
class LookedAtBy:
    """An image, whose pins are wanted: whatever is pinned, the host is looked at."""

    plan: PlanRequest


async def _tell_warnings(
    address: Address, warnings: Iterable[Problem], occlum: OcclumSubsystem
) -> None:
    """Tell what goes with the errors of a plan."""
    wrapped = await resolve_target(WrappedTargetRequest(address, "an image"), **implicitly())
    told = filterfalse(is_for_others, warnings)
    await tell(findings_of(wrapped.target, told, occlum), **implicitly())


async def _plan(
    request: PlanRequest, known: Knowledge, occlum: OcclumSubsystem, *, is_afresh: bool = False
) -> PlannedImage:
    """`is_afresh`: also where the last plan of the request would tell it."""
    if request.package_metadata:
        packages_of_image(request.address, known.sysroot)
    keys = await own_keys(**implicitly())
    of = str(request.address)
    loaded = await load(LoadRequest(request.boms, known.sysroot, of))
    project = await defer_sources(DeferredSourcesRequest(request.boms, loaded.files))
    chosen = (occlum.cpu_level.value, occlum.conflicts)
    inputs = PlanInputs(loaded, project, keys, chosen)
    if not is_afresh:
        replanned = await replan(request, of, inputs, known)
        if replanned is not None:
            unowned = await partly_owned(_owned(loaded, project), **implicitly())
            if unowned.warnings == replanned[1]:
                return replanned[0]
    known.add_looked(loaded.stats, loaded.asked)
    known.undecodable.update(dict.fromkeys(loaded.undecodable))
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
    adding = Report()
    if request.package_metadata:
        planned, adding = await add_metadata(planned, known, request.address)
    own = [one for one in planned.entries if _is_key(one.source, known, keys)]
    if own:
        raise OcclumError.of([_key_problem(one) for one in own])
    asked, known.asked = known.asked, Asked()
    sha256, hashing = await settle(
        known, of, lambda sources, report: _hash(planned.entries, sources, report)
    )
    hashed, known.asked = known.asked, asked
    reports = (drafting, closing, adding, hashing)
    errors = [*loaded.errors, *(problem for report in reports for problem in report.errors)]
    errors += [
        Problem("directory", f"the name {name} is not UTF-8") for name in sorted(known.undecodable)
    ]
    warnings = [*loaded.warnings, *(problem for report in reports for problem in report.warnings)]
    warnings = [_with_pins(problem, known.sysroot) for problem in warnings]
    found: list[Problem] = []
    if not errors:  # else what is missing would be told twice
        # Here, as the checks are many modules, and a start of Pants needs none.
        from occlum_build.checks.image import check_image

        found, _ = await settle(
            known,
            of,
            lambda sources, _: check_image(Root(planned.entries, sources, planned.searched)),
        )
    asked = Asked(contents={*known.asked.contents}, decisive={*known.asked.decisive})
    known.asked.update(hashed)
    unpinned = await _unpinned(known, is_whole=not errors)
    if errors or unpinned:
        await _tell_warnings(request.address, warnings, occlum)
        told = [_with_pins(problem, known.sysroot) for problem in await explain(errors)]
        if known.sysroot.packages is not None:
            told = _of_suites(told)
        raise invalid_image(request.address, [*told, *unpinned])
    unowned = await partly_owned(_owned(loaded, project), **implicitly())
    findings = [*warnings, *unowned.warnings, *found]
    if known.sysroot.packages is not None:
        findings = _of_suites(findings)
    image = planned_image(planned, sha256, known, findings)
    if not request.package_metadata:
        remember(request, inputs, known, asked, unowned.warnings, image)
    return image


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


def _of_suites(problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a root of packages: first that its suite is too new, which explains others."""
    return sorted(map(_too_new, problems), key=lambda one: one.code != VERSION)


def _too_new(problem: Problem) -> Problem:
    """Where packages are chosen for an enclave, a library that is too old for some is an error."""
    if problem.code != VERSION:
        return problem
    hint = (
        "take packages of a suite whose glibc is no newer than that of the loader config: Occlum's "
        "is 2.31 (Ubuntu 20.04, Debian 11) or 2.35 (Ubuntu 22.04)"
    )
    return replace(problem, severity=ERROR, hint=hint)


def _with_pins(problem: Problem, sysroot: Sysroot) -> Problem:
    """Tell of something that the host may have that only pins count."""
    is_of_host = problem.code == "libraries" or any(path[:1] == "/" for path in problem.missing)
    if sysroot.lock is not LockMode.require or not is_of_host:
        return problem
    hint = f"only what {sysroot.lockfile} pins counts; pin what is there: {sysroot.command}"
    if sysroot.packages is not None:
        what = f"add the package that has it to 'packages' of {sysroot.name}"
        hint = f"{what}, and write the lock anew: {sysroot.command}"
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
    await _plan(plan, known, occlum, is_afresh=True)
    return looked_at(known.stats, known.asked)


def _owned(loaded: LoadedBoms, project: ProjectSources) -> PartlyOwnedRequest:
    operations = tuple(
        bom_operations(bom, one.workspace, one.env, Report())
        for one in loaded.sets
        for bom in one.boms
    )
    return PartlyOwnedRequest(operations, project.paths())


def _is_key(source: str, known: Knowledge, keys: OwnKeys) -> bool:
    return source in keys.project_paths or known.errors.get(source) == IS_KEY


def _key_problem(entry: Entry) -> Problem:
    problem = key_in_image(entry.source, "key")
    message = f"{entry.source}: {problem.message}"
    return replace(problem, message=message, place=entry.origin.place)


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


def rules() -> Iterable[Rule]:
    return collect_rules()
