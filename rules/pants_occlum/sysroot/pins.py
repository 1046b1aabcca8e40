"""Host files and their pins: contents for images, and what is not as the lock file has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pants.engine.fs import CreateDigest, Digest, FileDigest, FileEntry
from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError, Problem
from occlum_build.files.bounds import LOCK_BYTES
from occlum_build.files.reading import too_large
from occlum_build.shown import Lines
from occlum_build.sources.model import SourceStat
from occlum_build.sources.os import OsSources
from occlum_build.sysroot.dpkg import Packages, packages_of
from occlum_build.sysroot.lock import Lock, read_lock
from occlum_build.sysroot.looked import CHANGED, GONE, Difference, describe
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.packages.contents import UnpackRequest, unpacked
from pants_occlum.packages.root import RootOf, merged_root
from pants_occlum.problems import invalid_image
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.host import (
    IngestedBlobs,
    SysrootBlob,
    SysrootIngest,
    batches,
    ingest,
    look_at_sysroot,
)
from pants_occlum.sysroot.looks import SysrootRequest
from pants_occlum.sysroot.sysroots import Sysroot

_INPUT, _OUTPUT = "in", "out"
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class LockRequest:
    """A lock file below the build root, and the command that writes it."""

    lockfile: str
    command: str


@rule(desc="Read a sysroot's lock file", level=LogLevel.DEBUG)
async def read_lock_file(request: LockRequest) -> Lock:
    found = await project_texts([request.lockfile], LOCK_BYTES)
    if found.too_large:
        raise too_large(request.lockfile, LOCK_BYTES, "sysroot-lock")
    if not found.contents:
        raise OcclumError(
            "sysroot-lock",
            f"there is no lock file {request.lockfile} that Pants sees",
            hint=f"write it: {request.command}",
        )
    return read_lock(found.contents[request.lockfile], request.lockfile)


async def lock_of_sysroot(sysroot: Sysroot) -> Lock:
    """The lock of a sysroot that has one. Raises OcclumError."""
    if sysroot.packages is not None:
        return (await merged_root(RootOf(sysroot.packages), **implicitly())).root.lock
    return await read_lock_file(LockRequest(sysroot.lockfile, sysroot.command))


@dataclass(frozen=True)
class PackagesRequest:
    """Real paths below a root whose owners are wanted."""

    root: str
    paths: tuple[str, ...]


@_uncacheable_rule(desc="Ask which packages own the host's files", level=LogLevel.DEBUG)
async def ask_packages(request: PackagesRequest) -> Packages:
    return packages_of(OsSources(request.root), request.paths)


async def lock_problem(sysroot: Sysroot, lock: Lock, found: Sequence[Difference]) -> Problem:
    """One problem of all differences, summed by package."""
    paths = tuple(one.path for one in found)
    packages = await ask_packages(PackagesRequest(sysroot.root, paths))
    return Problem(
        "sysroot-lock",
        Lines(
            f"the files in {sysroot.root} are not those that {sysroot.lockfile} pins:",
            *describe(found, lock, packages).lines,
        ),
        hint=f"install the versions that are pinned, or pin what is there: {sysroot.command}",
    )


async def _present(sysroot: Sysroot, blobs: Sequence[SysrootBlob]) -> tuple[SysrootBlob, ...]:
    """Those that the host has. Raises OcclumError, of all pins, where a file is another one."""
    lock = await lock_of_sysroot(sysroot)
    found = await _entries(sysroot, (one.path for one in blobs))
    if any(_is_changed(lock, path, stat) for path, stat in found.items()):
        everything = await _entries(sysroot, lock.pins)
        changed = [
            Difference(path, CHANGED)
            for path, stat in sorted(everything.items())
            if _is_changed(lock, path, stat)
        ]
        raise OcclumError.of([await lock_problem(sysroot, lock, changed)])
    return tuple(one for one in blobs if found[one.path] is not None)


async def _entries(sysroot: Sysroot, paths: Iterable[str]) -> Mapping[str, SourceStat | None]:
    asked = tuple(sorted(set(paths)))
    try:
        request = SysrootRequest(sysroot.root, hash_paths=asked)
        snapshot = await look_at_sysroot(request, **implicitly())
    except OcclumError as error:
        if error.code != "sysroot-missing":
            raise
        return dict.fromkeys(asked)
    return {path: snapshot.entries.get(path) for path in asked}


def _is_changed(lock: Lock, path: str, stat: SourceStat | None) -> bool:
    """Whether something else is where a file's content is pinned."""
    pin = lock.pins[path]
    return (
        stat is not None
        and pin.sha256 != ""
        and (stat.kind, stat.sha256, stat.mode) != (pin.type, pin.sha256, pin.mode)
    )


@dataclass(frozen=True)
class PassOn:
    """Contents that a process makes its outputs, so that a remote cache has them."""

    blobs: tuple[FileDigest, ...]
    of: str = field(compare=False)


@dataclass(frozen=True)
class PassedOn:
    """A digest that holds the contents under their SHA-256."""

    digest: Digest


@rule(desc="Share host files", level=LogLevel.DEBUG)
async def pass_on(request: PassOn) -> PassedOn:
    entries = [FileEntry(f"{_INPUT}/{one.fingerprint}", one) for one in request.blobs]
    files = "1 file" if len(entries) == 1 else f"{len(entries)} files"
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.sysroot.pass_on",
            argv=(_INPUT, _OUTPUT),
            description=f"Share host files of {request.of} ({files})",
            input_digest=await create_digest(CreateDigest(entries)),
            output_directories=(_OUTPUT,),
            level=LogLevel.DEBUG,
        ),
    )
    result = await run_tool_or_raise(process)
    return PassedOn(result.output_digest)


async def _share(blobs: Iterable[SysrootBlob], of: str) -> None:
    for batch in batches({one.sha256: one for one in blobs}):
        digests = tuple(FileDigest(one.sha256, one.size) for one in batch)
        await pass_on(PassOn(digests, of))


async def missing_content(
    error: Exception, sysroot: Sysroot, blobs: Iterable[SysrootBlob], of: str
) -> Exception:
    """What to raise for an error: what is missing, if it says that a pinned content is."""
    by_sha256 = {one.sha256: one for one in blobs}
    missing = [by_sha256[found] for found in _SHA256.findall(str(error)) if found in by_sha256]
    if sysroot.lock is not LockMode.require or sysroot.packages is not None or not missing:
        return error
    lock = await lock_of_sysroot(sysroot)
    found = await _entries(sysroot, (one.path for one in by_sha256.values()))
    gone = [Difference(path, GONE) for path in sorted(found) if found[path] is None]
    packages = await ask_packages(PackagesRequest(sysroot.root, ()))
    problem = Problem(
        "content-missing",
        Lines(
            f"{sysroot.lockfile} pins files that are not in {sysroot.root}, and no cache has the "
            f"content of {missing[0].path}:",
            *describe(gone, lock, packages).lines,
        ),
        hint="install the versions that are pinned, or let a machine that has them fill the remote "
        f"cache with `[occlum].share_host_files`, or pin what is there: {sysroot.command}",
    )
    return invalid_image(of, [problem])


@dataclass(frozen=True)
class HostContents:
    """Contents of a sysroot that are wanted in the store.

    Where pins are required, what the host lacks is left to the caches. `of` tells the user what
    they belong to.
    """

    sysroot: Sysroot
    blobs: tuple[SysrootBlob, ...]
    of: str = field(compare=False)
    for_image: bool = False


@dataclass(frozen=True)
class PresentFiles:
    """Those of the wanted contents that the host has, as they are pinned."""

    blobs: tuple[SysrootBlob, ...]


@rule(desc="Compare host files with their pins", level=LogLevel.DEBUG)
async def present_files(request: HostContents) -> PresentFiles:
    sysroot = request.sysroot
    try:
        if sysroot.packages is not None:
            paths = tuple(sorted(one.path for one in request.blobs))
            asked = UnpackRequest(sysroot.packages, sysroot.root, paths)
            await unpacked(asked, **implicitly())
            return PresentFiles(request.blobs)
        return PresentFiles(await _present(request.sysroot, request.blobs))
    except OcclumError as error:
        raise invalid_image(request.of, error.problems) from None


@rule(desc="Get host files", level=LogLevel.DEBUG)
async def host_contents(request: HostContents) -> IngestedBlobs:
    sysroot, blobs = request.sysroot, request.blobs
    present = blobs
    if sysroot.lock is LockMode.require:
        present = (await present_files(request)).blobs
    ingested = await ingest(SysrootIngest(sysroot.root, present))
    digests = {one.sha256: FileDigest(one.sha256, one.size) for one in blobs}
    digests.update(ingested.digests)
    if sysroot.share and request.for_image:
        try:
            await _share(blobs, request.of)
        except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
            raise await missing_content(error, sysroot, blobs, request.of) from None
    return IngestedBlobs(digests)


def rules() -> Iterable[Rule]:
    return collect_rules()
