"""The BOMs of an image, loaded: a node of its own, as a comment changes them and not the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.bom.model import Bom
from occlum_build.elf.loader_config import LoaderConfig, parse_loader_config
from occlum_build.errors import Problem, Report
from occlum_build.image.plan import BomSet
from occlum_build.sources.model import Sources, SourceStat, regular_file, why_no_file
from occlum_build.sources.recorded import Asked
from pants_occlum.bom.knowledge import knowledge_of, settle
from pants_occlum.bom.project_sources import ProjectSourcesRequest, project_sources
from pants_occlum.bom.roots import BomRoot, BomRootRequest, bom_root
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.sysroot.sysroots import Sysroot


@dataclass(frozen=True)
class LoadRequest:
    """The BOM targets of an image, in their order; `of` tells the user what they belong to."""

    boms: tuple[Address, ...]
    sysroot: Sysroot
    of: str


@dataclass(frozen=True)
class LoadedBoms:
    """The BOMs of an image with all that they include, and the project's files that say so.

    `stats` and `asked` are what reading them looked at in the sysroot, `undecodable` the names
    there that are not UTF-8.
    """

    sets: tuple[BomSet, ...]
    files: tuple[str, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    stats: Mapping[str, SourceStat | None]
    asked: Asked
    undecodable: tuple[str, ...]


@rule(desc="Load BOMs", level=LogLevel.DEBUG)
async def load(request: LoadRequest) -> LoadedBoms:
    roots = await concurrently(
        bom_root(BomRootRequest(address), **implicitly()) for address in request.boms
    )
    known = await knowledge_of(request.sysroot)
    known.add_project(await project_sources(ProjectSourcesRequest(request.boms), **implicitly()))
    sets, report = await settle(
        known,
        request.of,
        lambda sources, report: tuple(bom_set(root, sources, report) for root in roots),
    )
    asked = known.asked.in_sysroot()
    files = sorted({bom.path for one in sets for bom in one.boms if bom.path in known.stats})
    return LoadedBoms(
        sets,
        tuple(path for path in files if not path.startswith("/")),
        tuple(report.errors),
        tuple(report.warnings),
        {path: known.stats[path] for path in asked.paths},
        asked,
        tuple(sorted(known.undecodable)),
    )


def bom_set(root: BomRoot, sources: Sources, report: Report) -> BomSet:
    """Load a root BOM and what it includes."""
    if isinstance(root.bom, Bom):
        boms: tuple[Bom, ...] = (root.bom,)
    else:
        boms = load_boms(root.bom, root.include_dirs, root.env, reader_of(sources), report)
    return BomSet(boms, root.workspace, root.env, _loader_config(root, sources, report))


def _loader_config(root: BomRoot, sources: Sources, report: Report) -> LoaderConfig | None:
    real = regular_file(sources, root.loader_config)
    if real is None:
        if not root.loader_config_may_be_absent:
            report.error(
                "file",
                why_no_file(sources, root.loader_config, "loader config", root.loader_config),
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


def rules() -> Iterable[Rule]:
    return collect_rules()
