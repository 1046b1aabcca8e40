"""Contents of sysroots for processes, which a cache may have where nobody has brought them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Sequence

from pants.engine.fs import (
    CreateDigest,
    Digest,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
)
from pants.engine.process import FallibleProcessResult, Process

from occlum_build.process.step import EXIT_CONTENT_MISSING
from pants_occlum.compat.by_name import concurrently, implicitly
from pants_occlum.compat.pants_rules import (
    create_digest,
    get_digest_contents,
    merge_digests,
)
from pants_occlum.packages.awaited import is_missing
from pants_occlum.process.tool_result import run_tool as execute_process
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.doubt import HostDoubt, look_again
from pants_occlum.sysroot.host import SysrootBlob
from pants_occlum.sysroot.pins import (
    HostContents,
    PassOn,
    host_contents,
    pass_on,
    present_files,
)
from pants_occlum.sysroot.sysroots import Sysroot

_TOKEN = ".contents"


def awaited(contents: HostContents) -> tuple[FileEntry, ...]:
    """Of packages, an input for a process that takes these contents from the sysroot.

    It is in no store before `bring` has brought them: what a cache has is not unpacked.
    """
    if contents.sysroot.packages is None or not contents.blobs:
        return ()
    text = _token(contents)
    digest = FileDigest(hashlib.sha256(text).hexdigest(), len(text))
    return (FileEntry(_TOKEN, digest),)


def _token(contents: HostContents) -> bytes:
    return "".join(sorted(f"{one.sha256}  {one.path}\n" for one in contents.blobs)).encode(
        "utf-8", "surrogateescape"
    )


async def bring(error: Exception, contents: HostContents) -> None:
    """After a process lacked what it awaits; raises the error where it is another one."""
    if not is_missing(error, (one.file_digest.fingerprint for one in awaited(contents))):
        raise error
    await present_files(contents)
    await create_digest(CreateDigest([FileContent(_TOKEN, _token(contents))]))


async def try_process(
    process: Process, contents: HostContents | None
) -> FallibleProcessResult | None:
    """What a process comes to that takes contents from the sysroot, which are brought if need be.

    None where one was another content than was known: it is to be an input then. Raises OcclumError
    where that makes what was planned wrong.
    """
    try:
        result = await execute_process(process)
    except Exception as error:  # whatever Pants raises, if it names a content
        if contents is None:
            raise
        await bring(error, contents)
        result = await execute_process(process)
    if contents is None or result.exit_code != EXIT_CONTENT_MISSING:
        return result
    await look_again(HostDoubt(contents.sysroot.root, contents.blobs), **implicitly())
    return None


async def texts(blobs: Iterable[FileDigest]) -> dict[str, bytes]:
    """Contents that are in the store, by their SHA-256."""
    digest = await create_digest(CreateDigest(FileEntry(one.fingerprint, one) for one in blobs))
    contents = await get_digest_contents(digest)
    return {file.path: file.content for file in contents}


async def host_texts(sysroot: Sysroot, blobs: Sequence[SysrootBlob], of: str) -> dict[str, bytes]:
    """Contents of host files, by their SHA-256.

    Where they are pinned they come from processes, and so from a cache for who lacks the files.
    Those of packages are downloaded only where no cache has them.
    """
    if sysroot.lock is LockMode.off:
        await host_contents(HostContents(sysroot, tuple(blobs), of))
        return await texts(FileDigest(one.sha256, one.size) for one in blobs)
    contents = await get_digest_contents(await cached_contents(sysroot, blobs, of))
    return {posixpath.basename(file.path): file.content for file in contents}


async def cached_contents(sysroot: Sysroot, blobs: Sequence[SysrootBlob], of: str) -> Digest:
    """Pinned contents as outputs of processes, under their SHA-256."""
    digests = [FileDigest(one.sha256, one.size) for one in blobs]
    if sysroot.packages is not None:
        try:
            return await _passed_on(digests, of)
        except Exception as error:  # whatever Pants raises, if it names a content
            if not is_missing(error, (one.sha256 for one in blobs)):
                raise
    await host_contents(HostContents(sysroot, tuple(blobs), of))
    return await _passed_on(digests, of)


async def _passed_on(blobs: Iterable[FileDigest], of: str) -> Digest:
    passed = await concurrently(pass_on(PassOn((one,), of)) for one in blobs)
    return await merge_digests(MergeDigests(one.digest for one in passed))
