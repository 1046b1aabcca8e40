"""The plan of an image: one node, a pure function of BOMs, sources and ELF facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import FileDigest
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.util.logging import LogLevel

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.bom.model import Bom
from occlum_build.bom.operations import Operations, bom_operations
from occlum_build.elf.loader_config import LoaderConfig, parse_loader_config
from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.image.builder import normal_mode
from occlum_build.image.entries import FILE, Entry
from occlum_build.image.plan import (
    BomSet,
    PlanOptions,
    complete_image,
    draft_image,
    missing_plugins,
    only_elf,
)
from occlum_build.sources import Sources, regular_file
from pants_occlum.bom_roots import BomRoot, BomRootRequest
from pants_occlum.knowledge import Knowledge, settle
from pants_occlum.ownership import PartlyOwned, PartlyOwnedRequest, explain
from pants_occlum.problems import invalid_image
from pants_occlum.project_sources import ProjectSources, ProjectSourcesRequest
from pants_occlum.subsystem import Conflicts, OcclumSubsystem
from pants_occlum.util_rules.sysroot import SysrootBlob


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
    """

    entries: tuple[Entry, ...]
    sha256: Mapping[str, str]
    project: Mapping[str, FileDigest]
    warnings: tuple[Problem, ...]

    def host_blobs(self) -> tuple[SysrootBlob, ...]:
        """The contents that are in the sysroot, each with the last of the files that have it."""
        blobs = {
            self.sha256[entry.source]: entry
            for entry in self.entries
            if entry.kind == FILE and entry.source.startswith("/")
        }
        return tuple(
            SysrootBlob(entry.source, sha256, entry.size) for sha256, entry in blobs.items()
        )


@rule(desc="Plan images", level=LogLevel.DEBUG)
async def plan(request: PlanRequest, occlum: OcclumSubsystem) -> PlannedImage:
    roots = await MultiGet(Get(BomRoot, BomRootRequest(address)) for address in request.boms)
    known = Knowledge(occlum.sysroot)
    project = await Get(ProjectSources, ProjectSourcesRequest(request.boms))
    known.add_project(project)
    options = PlanOptions(
        cpu_level=occlum.cpu_level.value,
        allow_missing=request.allow_missing,
        conflicts_are_errors=occlum.conflicts is Conflicts.error,
        mode=normal_mode,
    )
    of = str(request.address)
    sets, loading = await settle(
        known, of, lambda sources, report: [bom_set(root, sources, report) for root in roots]
    )
    draft, drafting = await settle(
        known, of, lambda sources, report: draft_image(sets, options, sources, report)
    )
    draft, _ = await settle(known, of, lambda sources, _: only_elf(draft, sources))
    planned, closing = await settle(
        known, of, lambda sources, report: complete_image(draft, options, sources, report)
    )
    sha256, hashing = await settle(
        known, of, lambda sources, report: _hash(planned.entries, sources, report)
    )
    reports = (loading, drafting, closing, hashing)
    errors = [problem for report in reports for problem in report.errors]
    errors += [
        Problem("directory", f"the name {name} is not UTF-8") for name in sorted(known.undecodable)
    ]
    if errors:
        raise invalid_image(request.address, await explain(errors))
    warnings = [problem for report in reports for problem in report.warnings]
    unowned = await Get(PartlyOwned, PartlyOwnedRequest(_operations(sets), project))
    warnings += unowned.warnings
    if occlum.dlopen_warnings:
        plugins, _ = await settle(known, of, lambda sources, _: missing_plugins(planned, sources))
        warnings += plugins
    return _result(planned.entries, sha256, known, warnings)


def bom_set(root: BomRoot, sources: Sources, report: Report) -> BomSet:
    """Load a root BOM and what it includes."""
    if isinstance(root.bom, Bom):
        boms: tuple[Bom, ...] = (root.bom,)
    else:
        boms = load_boms(root.bom, root.include_dirs, root.env, reader_of(sources), report)
    return BomSet(boms, root.workspace, root.env, _loader_config(root, sources, report))


def _operations(sets: Iterable[BomSet]) -> tuple[Operations, ...]:
    return tuple(
        bom_operations(bom, one.workspace, one.env, Report()) for one in sets for bom in one.boms
    )


def _loader_config(root: BomRoot, sources: Sources, report: Report) -> LoaderConfig | None:
    real = regular_file(sources, root.loader_config)
    if real is None:
        if not root.loader_config_may_be_absent:
            report.error(
                "file",
                f"there is no loader config {root.loader_config}",
                hint=f"correct `loader_config` of {root.address} or `[occlum].loader_config`; "
                "a file of the project must be owned by a dependency of the target",
                missing=(root.loader_config,),
            )
        return None
    with report:
        data = sources.read(real)
        if data is not None:
            return parse_loader_config(data.decode("utf-8", "replace"), root.loader_config)
    return None


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
    entries: tuple[Entry, ...],
    sha256: Mapping[str, str],
    known: Knowledge,
    warnings: Iterable[Problem],
) -> PlannedImage:
    project: dict[str, FileDigest] = {}
    for entry in entries:
        if entry.kind == FILE and not entry.source.startswith("/"):
            content = sha256[entry.source]
            project[content] = known.digests[content]
    return PlannedImage(entries, sha256, project, tuple(dict.fromkeys(warnings)))


def rules() -> Iterable[Rule]:
    return collect_rules()
