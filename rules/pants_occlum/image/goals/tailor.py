"""`tailor`: proposes an `occlum_image` beside the `occlum_bom` of a BOM that no target owns.

Only then: whoever has a target for a BOM has decided what its image is.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pants.core.goals.tailor import (
    PutativeTarget,
    PutativeTargets,
    PutativeTargetsRequest,
    TailorSubsystem,
)
from pants.engine.rules import Rule
from pants.engine.target import AllUnexpandedTargets
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from occlum_build.bom.parse import parse_if_bom
from occlum_build.files.bounds import BOM_BYTES
from pants_occlum.bom.goals.tailor import includes_of, kept, unowned_boms, unowned_boms_of
from pants_occlum.bom.names import bom_of
from pants_occlum.bom.target_types import BomSourceField
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.image.target_types import OcclumImage
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import OcclumSubsystem

_IMAGE = "image"


@dataclass(frozen=True)
class PutativeImageTargetsRequest(PutativeTargetsRequest):
    pass


@rule(desc="Propose images for BOM files", level=LogLevel.DEBUG)
async def find_putative_images(
    request: PutativeImageTargetsRequest,
    targets: AllUnexpandedTargets,
    occlum: OcclumSubsystem,
    tailor: TailorSubsystem,
) -> PutativeTargets:
    if not occlum.tailor:
        return PutativeTargets()
    found = await unowned_boms(unowned_boms_of(request), **implicitly())
    if not found.paths:
        return PutativeTargets()
    owned = [one[BomSourceField].file_path for one in targets if one.has_field(BomSourceField)]
    texts = await project_texts(owned, BOM_BYTES)
    parsed = {path: parse_if_bom(text) for path, text in texts.contents.items()}
    of_owned = includes_of({path: bom for path, bom in parsed.items() if bom})
    included = _included((*found.includes, *of_owned), {*found.paths, *owned})
    taken = {(one.address.spec_path, one.address.target_name) for one in targets}
    proposed = Counter(map(bom_of, found.paths))
    # A target of another name than the one that is proposed here is another target.
    free = [
        path
        for path in found.paths
        if path not in included
        and (bom := bom_of(path)) not in taken
        and proposed[bom] == 1
        and f"{bom[0] or '//'}:{bom[1]}" not in tailor.ignore_adding_targets
    ]
    alone = Counter(map(posixpath.dirname, free))
    return PutativeTargets(
        _putative_image(path, alone[posixpath.dirname(path)] == 1, {*taken, *proposed})
        for path in free
    )


def _included(includes: Iterable[tuple[str, str]], known: Collection[str]) -> set[str]:
    """The BOMs that others include, of those that are known.

    One that is not beside the BOM that includes it is in an include directory, which may be any.
    """
    beside, names = set(), set()
    for path, include in includes:
        candidate = posixpath.normpath(posixpath.join(posixpath.dirname(path), include))
        if candidate in known:
            beside.add(candidate)
        else:
            names.add(posixpath.basename(include))
    return beside | {path for path in known if posixpath.basename(path) in names}


def _putative_image(
    path: str, is_alone: bool, taken: Collection[tuple[str, str]]
) -> PutativeTarget:
    directory, bom = bom_of(path)
    is_plain = is_alone and (directory, _IMAGE) not in taken
    name = _IMAGE if is_plain else f"{bom}_{_IMAGE}"
    return PutativeTarget.for_target_type(
        OcclumImage,
        path=directory,
        name=name,
        triggering_sources=(),
        kwargs={**kept(name, directory, taken), "boms": (f":{bom}",)},
    )


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), UnionRule(PutativeTargetsRequest, PutativeImageTargetsRequest))
