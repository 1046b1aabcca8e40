"""The lock file of a root of packages, as it stands in the project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.util.docutil import bin_name
from pants.util.logging import LogLevel

from occlum_build.files.bounds import LOCK_BYTES
from occlum_build.files.reading import too_large
from occlum_build.packages.lock import CODE, PackagesLock, read_lock
from occlum_build.packages.lock_changes import check_request, no_lock
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.packages.requests import PackagesOf, asked_packages
from pants_occlum.project_texts import project_texts


@dataclass(frozen=True)
class LockOf:
    """An `occlum_packages` target whose lock is wanted, as one of what the target asks for now."""

    address: Address


def lock_command(name: str) -> str:
    """What writes the lock file of a target anew."""
    return f"{bin_name()} generate-lockfiles --resolve={name}"


@rule(desc="Read a lock file of packages", level=LogLevel.DEBUG)
async def packages_lock(request: LockOf) -> PackagesLock:
    asked = await asked_packages(PackagesOf(request.address), **implicitly())
    command = lock_command(asked.request.name)
    found = await project_texts([asked.lockfile], LOCK_BYTES)
    if found.too_large:
        raise too_large(asked.lockfile, LOCK_BYTES, CODE)
    if not found.contents:
        raise no_lock(asked.lockfile, command=command)
    lock = read_lock(found.contents[asked.lockfile], asked.lockfile)
    check_request(lock, asked.request, asked.lockfile, command=command)
    return lock


def rules() -> Iterable[Rule]:
    return collect_rules()
