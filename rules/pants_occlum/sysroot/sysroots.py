"""From targets to their sysroot: the directory that stands for `/`, and what pins its files."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from pants.base.build_root import BuildRoot
from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest
from pants.option.global_options import NamedCachesDirOption
from pants.util.docutil import bin_name

from occlum_build.files.bounds import LOCK_BYTES
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target, resolve_unparsed_address_inputs
from pants_occlum.invalid import invalid_target
from pants_occlum.packages.contents import ROOTS_CACHE
from pants_occlum.packages.requests import lockfile_of
from pants_occlum.packages.target_types import PackagesArchivesField
from pants_occlum.project_paths import project_path
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import LockMode, OcclumSubsystem
from pants_occlum.sysroot.target_types import SysrootField, SysrootLockfileField, SysrootRootField


@dataclass(frozen=True)
class Sysroot:
    """`root` is absolute, in normal form; `name` and `lockfile` are "" where there is no target.

    lockfile: a path below the build root. lock: never other than off without a lock file. share:
    whether contents become outputs of processes, for a remote cache. packages: the target of which
    packages `root` has the contents that were wanted so far, and the lock file all the rest.
    """

    root: str
    name: str = ""
    lockfile: str = ""
    lock: LockMode = LockMode.off
    share: bool = False
    packages: Address | None = None

    @property
    def named_by(self) -> str:
        """The field or the option that says where it is."""
        return f"'root' of {self.name}" if self.name else "[occlum].sysroot"

    @property
    def command(self) -> str:
        """What pins the sysroot's files as they are."""
        return f"{bin_name()} generate-lockfiles --resolve={self.name}"


@dataclass(frozen=True)
class SysrootOf:
    """An image with its BOMs, or a BOM: targets that have one sysroot among them."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class SysrootTarget:
    """What targets name, or `[occlum].sysroot`; None for a directory.

    An `occlum_sysroot` or `occlum_packages`.
    """

    target: Target | None


@rule(desc="Find the sysroot of targets")
async def sysroot_target(request: SysrootOf, occlum: OcclumSubsystem) -> SysrootTarget:
    wrapped = await concurrently(
        resolve_target(WrappedTargetRequest(address, "the sysroot of an image"), **implicitly())
        for address in request.addresses
    )
    fields = [one.target[SysrootField] for one in wrapped if one.target.has_field(SysrootField)]
    named = await concurrently(
        resolve_unparsed_address_inputs(field.to_unparsed_address_inputs(), **implicitly())
        for field in fields
    )
    users: dict[Address, Address] = {}
    for field, found in zip(fields, named):
        for address in found:
            users.setdefault(address, field.address)
    if len(users) > 1:
        (one, its_user), (another, other_user) = list(users.items())[:2]
        raise invalid_target(
            f"The 'sysroot' field in target {its_user} is {one}, but that of {other_user} is "
            f"{another}: an image and its BOMs have one sysroot."
        )
    origin = f"the 'sysroot' field in target {next(iter(users.values()), '')}"
    if not users:
        if _is_directory(occlum.sysroot):
            return SysrootTarget(None)
        origin = "[occlum].sysroot"
        inputs = UnparsedAddressInputs(
            (occlum.sysroot,), owning_address=None, description_of_origin=origin
        )
        users = dict.fromkeys(
            await resolve_unparsed_address_inputs(inputs, **implicitly()), Address("")
        )
    (address,) = users
    target = (await resolve_target(WrappedTargetRequest(address, origin), **implicitly())).target
    if not (target.has_field(SysrootRootField) or target.has_field(PackagesArchivesField)):
        raise invalid_target(
            f"{address} is a `{target.alias}`, but {origin} must be an `occlum_sysroot` or "
            "`occlum_packages`."
        )
    return SysrootTarget(target)


@rule
async def find_sysroot(
    request: SysrootOf,
    occlum: OcclumSubsystem,
    build_root: BuildRoot,
    named_caches_dir: NamedCachesDirOption,
) -> Sysroot:
    target = (await sysroot_target(request, **implicitly())).target
    if target is not None and target.has_field(PackagesArchivesField):
        lockfile = lockfile_of(target)
        found = await project_texts([lockfile], LOCK_BYTES)
        sha256 = hashlib.sha256(found.contents.get(lockfile, b"")).hexdigest()
        return Sysroot(
            root=str(named_caches_dir.val / ROOTS_CACHE / sha256),
            name=target.address.spec,
            lockfile=lockfile,
            lock=LockMode.require,
            share=False,
            packages=target.address,
        )
    if target is not None:
        return sysroot_of_target(target, occlum, build_root)
    return Sysroot(posixpath.normpath(occlum.sysroot), share=occlum.share_host_files)


def check_lockable(sysroot: Sysroot, address: Address, occlum: OcclumSubsystem) -> None:
    """Raise InvalidTargetException where pins are asked for and there is no lock file."""
    if occlum.lock is LockMode.off or sysroot.lockfile:
        return
    lacking = f"{sysroot.name} has no `lockfile`" if sysroot.name else "[occlum].sysroot has none"
    raise invalid_target(
        f"[occlum].lock is {occlum.lock.value}, which needs a lock file, but {lacking}. Let the "
        f"'sysroot' field in target {address}, or [occlum].sysroot, name an `occlum_sysroot` with "
        "a `lockfile`."
    )


def sysroot_of_target(target: Target, occlum: OcclumSubsystem, build_root: BuildRoot) -> Sysroot:
    """What an `occlum_sysroot` target says."""
    value = target[SysrootLockfileField].value
    lockfile = project_path(value, target.address.spec_path) if value else ""
    if value and (lockfile in ("", "..") or lockfile.startswith(("/", "../"))):
        raise invalid_target(
            f"The 'lockfile' field in target {target.address} must be a path below the build root, "
            f"not {value!r}."
        )
    root = os.path.join(build_root.path, target[SysrootRootField].value or "/")
    return Sysroot(
        root=posixpath.normpath(root),
        name=target.address.spec,
        lockfile=lockfile,
        lock=occlum.lock if lockfile else LockMode.off,
        share=occlum.share_host_files,
    )


def _is_directory(value: str) -> bool:
    return value.startswith("/") and not value.startswith("//")


def rules() -> Iterable[Rule]:
    return collect_rules()
