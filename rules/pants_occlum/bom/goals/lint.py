"""`lint`: checks BOMs without building anything: their text, includes, variables and paths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.util_rules.partitions import PartitionerType
from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import AllTargets, FieldSet
from pants.engine.unions import UnionRule
from pants.option.option_types import SkipOption
from pants.option.subsystem import Subsystem
from pants.util.logging import LogLevel

from occlum_build.errors import Place, Problem, first_told
from pants_occlum.bom.on_disk import OnDiskRequest, boms_on_disk
from pants_occlum.bom.roots import BomRootRequest, bom_root
from pants_occlum.bom.target_types import BomSourceField, ImageBomsField
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import resolve_unparsed_address_inputs
from pants_occlum.process.loaded_sources import LOADED


class BomLint(Subsystem):
    options_scope = "occlum-bom-lint"
    name = "occlum-bom-lint"
    help = "Checks BOM files of Occlum, with those that they include, without building an image."

    skip = SkipOption("lint")


@dataclass(frozen=True)
class BomLintFieldSet(FieldSet):
    required_fields = (BomSourceField,)

    source: BomSourceField


class BomLintRequest(LintTargetsRequest):
    field_set_type = BomLintFieldSet
    # Pants ignores this too: to mypy the descriptor `skip` is no attribute of that type.
    tool_subsystem = BomLint  # type: ignore[assignment,unused-ignore]
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION


@dataclass(frozen=True)
class CheckedRoot:
    """What was found in a root BOM and in all that it includes."""

    address: Address
    path: str
    included: tuple[str, ...]
    errors: tuple[Problem, ...]


@dataclass(frozen=True)
class CheckedRoots:
    """All `occlum_bom` targets, each as a root of its own; `in_images` are named by an image."""

    roots: tuple[CheckedRoot, ...]
    in_images: tuple[Address, ...]

    def problems_of(self, address: Address, path: str) -> list[Problem]:
        """What is wrong with a BOM.

        One that others include, and no image names, is ruled by their variables, workspace and
        include directories, not by its own: it is seen through them.
        """
        parents = [root for root in self.roots if root.path != path and path in root.included]
        if parents and address not in self.in_images:
            found = [problem for parent in parents for problem in parent.errors]
            return [one for one in found if one.place is None or one.place.file == path]
        return [one for root in self.roots if root.address == address for one in root.errors]


@rule(desc="Check all BOMs", level=LogLevel.DEBUG)
async def check_roots(targets: AllTargets) -> CheckedRoots:
    roots = await concurrently(
        bom_root(BomRootRequest(target.address), **implicitly())
        for target in targets
        if target.has_field(BomSourceField)
    )
    loaded = await concurrently(boms_on_disk(OnDiskRequest(root)) for root in roots)
    named = await concurrently(
        resolve_unparsed_address_inputs(
            UnparsedAddressInputs(
                target[ImageBomsField].value or (),
                owning_address=target.address,
                description_of_origin=f"the `boms` of {target.address}",
                skip_invalid_addresses=True,
            ),
            **implicitly(),
        )
        for target in targets
        if target.has_field(ImageBomsField)
    )
    return CheckedRoots(
        tuple(
            CheckedRoot(
                root.address, str(root.bom), tuple(bom.path for bom in one.boms), one.errors
            )
            for root, one in zip(roots, loaded)
        ),
        tuple(sorted({address for addresses in named for address in addresses})),
    )


# Not memoised, as what an old plugin found is no result.
@_uncacheable_rule(desc="Lint BOMs", level=LogLevel.DEBUG)
async def lint_boms(
    request: BomLintRequest.Batch[BomLintFieldSet, Any], checked: CheckedRoots, run_id: RunId
) -> LintResult:
    LOADED.require_unchanged(run_id)
    problems = [
        problem
        for field_set in request.elements
        for problem in checked.problems_of(field_set.address, field_set.source.file_path)
    ]
    problems.sort(key=lambda problem: (problem.place or Place(""), problem.message))
    texts = list(dict.fromkeys(map(str, first_told(problems))))
    return LintResult(
        exit_code=1 if texts else 0,
        stdout="\n\n".join(texts),
        stderr="",
        linter_name=request.tool_name,
    )


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), *BomLintRequest.rules())
