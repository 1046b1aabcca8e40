"""`tailor`: proposes an `occlum_bom` target for each BOM file that no target owns."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.tailor import (
    AllOwnedSources,
    PutativeTarget,
    PutativeTargets,
    PutativeTargetsRequest,
)
from pants.engine.rules import Rule
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from occlum_build.bom.parse import parse_bom
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import BOM_BYTES
from pants_occlum.bom.target_types import BomSourceField, OcclumBom
from pants_occlum.compat.by_name import collect_rules, rule
from pants_occlum.compat.pants_rules import path_globs_to_paths
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import OcclumSubsystem

# Most YAML files are no BOMs: they need not be parsed.
_MAY_BE_BOM = re.compile(rb"\b(?:targets|includes)\b")
_NOT_IN_NAMES = re.compile(r"[^\w.+-]")
# Tailor of Pants 2.17 writes names between quotes as they are.
_NOT_QUOTABLE = re.compile(r'["\\\n]')


@dataclass(frozen=True)
class PutativeBomTargetsRequest(PutativeTargetsRequest):
    pass


@rule(desc="Look for BOM files that no target owns", level=LogLevel.DEBUG)
async def find_putative_boms(
    request: PutativeBomTargetsRequest, owned: AllOwnedSources, occlum: OcclumSubsystem
) -> PutativeTargets:
    if not occlum.tailor:
        return PutativeTargets()
    patterns = (f"*{extension}" for extension in BomSourceField.expected_file_extensions)
    found = await path_globs_to_paths(request.path_globs(*patterns))
    unowned = [path for path in found.files if path not in owned]
    texts = await project_texts(unowned, BOM_BYTES)
    return PutativeTargets(
        _putative_bom(path)
        for path, content in sorted(texts.contents.items())
        if not _NOT_QUOTABLE.search(path) and is_bom(content)
    )


def is_bom(content: bytes) -> bool:
    """Is this a valid BOM that asks for anything?"""
    if not _MAY_BE_BOM.search(content):
        return False
    try:
        bom = parse_bom(content, "")
    except OcclumError:
        return False
    return bool(bom.targets or bom.includes)


def _putative_bom(path: str) -> PutativeTarget:
    directory, file_name = posixpath.split(path)
    return PutativeTarget.for_target_type(
        OcclumBom,
        path=directory,
        name=_NOT_IN_NAMES.sub("_", posixpath.splitext(file_name)[0]),
        triggering_sources=[file_name],
        kwargs={"source": file_name},
    )


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), UnionRule(PutativeTargetsRequest, PutativeBomTargetsRequest))
