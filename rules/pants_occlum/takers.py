"""Who takes what `package` makes of a target: archives, Docker images, commands, tests.

Pants gives them the files of the package's digest. What is large, or must be in no cache, is not
among these: `package` brings it into dist/ itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pants.engine.addresses import Address, Addresses, UnparsedAddressInputs
from pants.engine.fs import PathGlobs
from pants.engine.internals.build_files import BuildFileOptions
from pants.engine.internals.graph import OwnersRequest
from pants.engine.rules import Rule
from pants.engine.target import Dependencies, SpecialCasedDependencies, Target
from pants.util.frozendict import FrozenDict

from occlum_build.errors import WARNING, Problem
from occlum_build.files.bounds import BOM_BYTES
from occlum_build.shown import some
from pants_occlum.bom.target_types import PackagesField
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    find_owners,
    path_globs_to_paths,
    resolve_targets,
    resolve_unparsed_address_inputs,
)
from pants_occlum.project_paths import literal
from pants_occlum.project_texts import project_texts

_OURS = "pants_occlum."
# Whose `dependencies` are packaged: an import of a type would make its backend one of ours.
_TAKING_DEPENDENCIES = ("docker_image",)


@dataclass(frozen=True)
class _Taking:
    """A field of a target whose values may be addresses of packages."""

    address: Address
    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class BuildFileTexts:
    """The texts of all BUILD files, by their paths."""

    texts: FrozenDict[str, bytes]


@dataclass(frozen=True)
class TakingRequest:
    """A name that packages may be given, without what stands before the colon or slash.

    One, as images of many directories have the same: what is found is found once.
    """

    name: str


@dataclass(frozen=True)
class AllTaking:
    fields: tuple[_Taking, ...]


@rule(desc="Read BUILD files")
async def build_file_texts(build_files: BuildFileOptions) -> BuildFileTexts:
    found = await path_globs_to_paths(PathGlobs(f"**/{one}" for one in build_files.patterns))
    texts = await project_texts(found.files, BOM_BYTES)
    return BuildFileTexts(FrozenDict(texts.contents))


# Not of all targets: Pants parses BUILD files anew in each run, and all those of a large project
# take longer than an image that is in memory.
@rule(desc="Find who takes packages")
async def all_taking(request: TakingRequest, build_files: BuildFileTexts) -> AllTaking:
    name = request.name.encode()
    naming = [path for path, text in sorted(build_files.texts.items()) if name in text]
    if not naming:
        return AllTaking(())
    owners = await find_owners(
        OwnersRequest(
            tuple(map(literal, naming)), match_if_owning_build_file_included_in_sources=True
        ),
        **implicitly(),
    )
    targets = await resolve_targets(**implicitly(Addresses(sorted(owners))))
    likely = (one for target in targets for one in taking(target))
    return AllTaking(tuple(one for one in likely if _may_name(one, request.name)))


def taking(target: Target) -> Iterator[_Taking]:
    """The fields of a target that may name packages."""
    for kind, field in target.field_values.items():
        is_ours = kind.__module__.startswith(_OURS)
        if isinstance(field, SpecialCasedDependencies):
            takes = not is_ours or isinstance(field, PackagesField)
        else:
            takes = isinstance(field, Dependencies) and target.alias in _TAKING_DEPENDENCIES
        values = field.value if takes else None
        if values:
            yield _Taking(target.address, field.alias, tuple(map(str, values)))


async def untaken_problems(address: Address, given: str, hint: str) -> tuple[Problem, ...]:
    """A warning where somebody takes the package of a target, which gives nothing but `given`."""
    try:
        names = {address.target_name, address.spec_path.rpartition("/")[2]} - {""}
        per_name = await concurrently(
            all_taking(TakingRequest(name), **implicitly()) for name in sorted(names)
        )
        likely = list(
            dict.fromkeys(
                one
                for found in per_name
                for one in found.fields
                if address.spec_path in _directories(one)
            )
        )
        named = await concurrently(
            resolve_unparsed_address_inputs(
                UnparsedAddressInputs(
                    [value for value in one.values if not value.startswith("!")],
                    owning_address=one.address,
                    description_of_origin=f"the `{one.field}` of {one.address}",
                    skip_invalid_addresses=True,
                ),
                **implicitly(),
            )
            for one in likely
        )
    except Exception:  # noqa: BLE001 - whatever is wrong in a BUILD file that is none of ours
        return ()
    takers = [
        f"`{one.field}` of {one.address}"
        for one, addresses in zip(likely, named)
        if address in addresses
    ]
    if not takers:
        return ()
    message = f"{some(takers)} takes what this is packaged as, which is {given}"
    return (Problem("package-part", message, hint=hint, severity=WARNING),)


def _directories(taking: _Taking) -> Iterator[str]:
    """Those of the addresses, as they are written."""
    for value in taking.values:
        path, colon, _ = value.rpartition(":")
        written = path if colon else value
        yield written.lstrip("/") if written else taking.address.spec_path


def _may_name(taking: _Taking, name: str) -> bool:
    return any(value.rpartition(":")[2].rpartition("/")[2] == name for value in taking.values)


def rules() -> Iterable[Rule]:
    return collect_rules()
