"""Mirrors of a site: what `[occlum].archive_mirrors` and `[occlum].wheel_mirrors` may say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.rules import Rule

from occlum_build.errors import OcclumError, Place
from occlum_build.packages.urls import check_mirror
from occlum_build.shown import quoted
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_unparsed_address_inputs
from pants_occlum.logs import logger_of

logger = logger_of(__name__)
ARCHIVE_MIRRORS, WHEEL_MIRRORS = "[occlum].archive_mirrors", "[occlum].wheel_mirrors"
_HINT = '{"path/to:ubuntu": ["file:/srv/mirror/ubuntu"]}'


@dataclass(frozen=True)
class NamedArchive:
    """An address as an option has it."""

    address: str


@dataclass(frozen=True)
class FoundArchive:
    """The address as Pants writes it, "" where there is no such target."""

    spec: str


@rule
async def find_archive(request: NamedArchive) -> FoundArchive:
    asked = UnparsedAddressInputs(
        [request.address], owning_address=None, description_of_origin=ARCHIVE_MIRRORS
    )
    try:
        found = await resolve_unparsed_address_inputs(asked, **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever Pants raises: other projects may have it
        logger.warning("%s names no target of this project: %s", ARCHIVE_MIRRORS, error)
        return FoundArchive("")
    return FoundArchive(found[0].spec if found else "")


async def archive_mirrors(option: object, build_root: str) -> dict[str, tuple[str, ...]]:
    """The mirrors of archives by their addresses. Raises OcclumError that names the option."""
    mirrors = checked_archive_mirrors(option, build_root)
    found = await concurrently(find_archive(NamedArchive(one)) for one in mirrors)
    return {one.spec: mirrors[key] for key, one in zip(mirrors, found) if one.spec}


def checked_archive_mirrors(option: object, build_root: str) -> dict[str, tuple[str, ...]]:
    """The option's value, each mirror as the library takes it; raises as above."""
    if not isinstance(option, Mapping):
        raise _wrong(ARCHIVE_MIRRORS, "is no table of addresses")
    found = {}
    for address, mirrors in option.items():
        if not isinstance(address, str):
            raise _wrong(ARCHIVE_MIRRORS, f"{quoted(str(address))} is no address")
        if not isinstance(mirrors, (list, tuple)):
            raise _wrong(ARCHIVE_MIRRORS, f"{quoted(address)} must be a list of mirrors")
        found[address] = checked_mirrors(mirrors, build_root, ARCHIVE_MIRRORS)
    return found


def checked_mirrors(mirrors: Iterable[object], build_root: str, option: str) -> tuple[str, ...]:
    """Mirrors as the library takes them. Raises OcclumError that names the option."""
    found = []
    for one in mirrors:
        if not isinstance(one, str):
            raise _wrong(option, f"{quoted(str(one))} is no text")
        found.append(mirror_of_project(one, build_root))
        try:
            check_mirror(found[-1])
        except OcclumError as error:
            problem = error.problems[0]
            raise OcclumError(
                problem.code, problem.message, place=Place(option), hint=problem.hint
            ) from None
    return tuple(found)


def _wrong(option: str, message: str) -> OcclumError:
    return OcclumError("packages-mirror", message, place=Place(option), hint=_HINT)


def mirror_of_project(mirror: str, build_root: str) -> str:
    """A mirror as the library takes it: `//directory` is below the build root."""
    return f"file:{os.path.join(build_root, mirror[2:])}" if mirror.startswith("//") else mirror


def rules() -> Iterable[Rule]:
    return collect_rules()
