"""Images that would be made of themselves: told with the targets, as Pants' own error has rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.rules import Rule
from pants.engine.target import (
    Dependencies,
    SpecialCasedDependencies,
    Target,
    WrappedTargetRequest,
)
from pants.util.logging import LogLevel

from occlum_build.shown import shown_chain
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target, resolve_unparsed_address_inputs
from pants_occlum.invalid import invalid_target

# Fields, and targets, of other backends by which a package is made of those of what they name.
_BUILD = frozenset({"execution_dependencies", "packages"})
_BUILD_DEPENDENCIES = frozenset({"docker_image"})
# Of the root file system that it boots an enclave has settings alone, and nothing that is built.
_NOT_BUILT = frozenset({"boot"})


@dataclass(frozen=True)
class AcyclicRequest:
    """BOMs, and what is built for them."""

    boms: tuple[Address, ...]
    built: tuple[Address, ...]


@dataclass(frozen=True)
class Acyclic:
    pass


@rule(desc="Look for cycles of packages", level=LogLevel.DEBUG)
async def require_acyclic(request: AcyclicRequest) -> Acyclic:
    """InvalidTargetException where what is built for a BOM is made of that BOM."""
    boms = {one.maybe_convert_to_target_generator() for one in request.boms}
    came_from: dict[Address, Address | None] = dict.fromkeys(request.built)
    level = list(request.built)
    while level:
        wrapped = await concurrently(
            resolve_target(WrappedTargetRequest(one, "a package"), **implicitly()) for one in level
        )
        named = await concurrently(
            resolve_unparsed_address_inputs(_built_for(one.target), **implicitly())
            for one in wrapped
        )
        new: list[Address] = []
        for address, addresses in zip(level, named):
            for one in addresses:
                if one.maybe_convert_to_target_generator() in boms:
                    raise _made_of_itself(one, address, came_from)
                if one not in came_from:
                    came_from[one] = address
                    new.append(one)
        level = new
    return Acyclic()


def _built_for(target: Target) -> UnparsedAddressInputs:
    """What a package of a target surely has built, by the fields that say so."""
    is_ours = type(target).__module__.startswith("pants_occlum.")
    names: list[str] = []
    for field in target.field_values.values():
        if isinstance(field, SpecialCasedDependencies):
            if field.alias in _BUILD or (is_ours and field.alias not in _NOT_BUILT):
                names += field.to_unparsed_address_inputs().values  # `init` may be a path
        elif isinstance(field, Dependencies) and (is_ours or target.alias in _BUILD_DEPENDENCIES):
            names += [one for one in field.value or () if not one.startswith("!")]
    return UnparsedAddressInputs(
        names, owning_address=target.address, description_of_origin=f"the target {target.address}"
    )


def _made_of_itself(
    bom: Address, last: Address, came_from: dict[Address, Address | None]
) -> Exception:
    chain = [bom, last]
    while (earlier := came_from[chain[-1]]) is not None:
        chain.append(earlier)
    names = [str(one) for one in (bom, *reversed(chain))]
    return invalid_target(
        f"{bom} would have in it what is made of it: {shown_chain(names)}. Take {names[1]} out of "
        f"its 'packages' or 'dependencies'."
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
