"""`tailor`: proposes an `occlum_bom` target for each BOM file that no target owns."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pants.core.goals.tailor import (
    AllOwnedSources,
    PutativeTarget,
    PutativeTargets,
    PutativeTargetsRequest,
)
from pants.engine.fs import PathGlobs
from pants.engine.rules import Rule
from pants.engine.target import AllUnexpandedTargets
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from occlum_build.bom.model import Bom
from occlum_build.bom.parse import parse_if_bom
from occlum_build.files.bounds import BOM_BYTES
from pants_occlum.bom.names import bom_of
from pants_occlum.bom.target_types import BomSourceField, OcclumBom
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import path_globs_to_paths
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import OcclumSubsystem

# Tailor of Pants 2.17 writes names between quotes as they are.
_NOT_QUOTABLE = re.compile(r'["\\\n]')


@dataclass(frozen=True)
class PutativeBomTargetsRequest(PutativeTargetsRequest):
    pass


@dataclass(frozen=True)
class UnownedBomsRequest:
    """Which files are looked at."""

    globs: PathGlobs


@dataclass(frozen=True)
class UnownedBoms:
    """BOM files that no target owns, sorted, and what each of them includes, as it is written."""

    paths: tuple[str, ...] = ()
    includes: tuple[tuple[str, str], ...] = ()


@rule(desc="Look for BOM files that no target owns", level=LogLevel.DEBUG)
async def unowned_boms(request: UnownedBomsRequest, owned: AllOwnedSources) -> UnownedBoms:
    found = await path_globs_to_paths(request.globs)
    unowned = [path for path in found.files if path not in owned]
    texts = await project_texts(unowned, BOM_BYTES)
    parsed = {path: parse_if_bom(text) for path, text in sorted(texts.contents.items())}
    boms = {path: bom for path, bom in parsed.items() if bom and not _NOT_QUOTABLE.search(path)}
    return UnownedBoms(tuple(boms), tuple(includes_of(boms)))


def unowned_boms_of(request: PutativeTargetsRequest) -> UnownedBomsRequest:
    patterns = (f"*{extension}" for extension in BomSourceField.expected_file_extensions)
    return UnownedBomsRequest(request.path_globs(*patterns))


@rule(desc="Propose targets for BOM files", level=LogLevel.DEBUG)
async def find_putative_boms(
    request: PutativeBomTargetsRequest, targets: AllUnexpandedTargets, occlum: OcclumSubsystem
) -> PutativeTargets:
    if not occlum.tailor:
        return PutativeTargets()
    found = await unowned_boms(unowned_boms_of(request), **implicitly())
    numbers = Counter(map(bom_of, found.paths))
    taken = {(one.address.spec_path, one.address.target_name) for one in targets}
    taken.update(bom for bom, number in numbers.items() if number > 1)
    return PutativeTargets(_putative_bom(path, taken) for path in found.paths)


def is_bom(content: bytes) -> bool:
    """Is this a valid BOM that asks for anything?"""
    return parse_if_bom(content) is not None


def includes_of(boms: Mapping[str, Bom]) -> Iterator[tuple[str, str]]:
    """The path of each BOM with what it includes, as it is written."""
    return ((path, include.value) for path, bom in boms.items() for include in bom.includes)


def kept(name: str, directory: str, taken: Collection[tuple[str, str]]) -> dict[str, str]:
    """The field for a name that is free: without one Pants calls all at the root `root`."""
    return {} if directory or (directory, name) in taken else {"name": name}


def _putative_bom(path: str, taken: Collection[tuple[str, str]]) -> PutativeTarget:
    directory, name = bom_of(path)
    file_name = posixpath.basename(path)
    return PutativeTarget.for_target_type(
        OcclumBom,
        path=directory,
        name=name,
        triggering_sources=[file_name],
        kwargs={**kept(name, directory, taken), "source": file_name},
    )


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), UnionRule(PutativeTargetsRequest, PutativeBomTargetsRequest))
