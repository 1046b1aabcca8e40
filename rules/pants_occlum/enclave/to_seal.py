"""Files of a secure file system without a key that are in no store, and are sealed in dist itself.

To seal 1 GB once more takes less than to store it: Pants reads each output of a process twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pants.engine.fs import FileContent, FileDigest, FileEntry
from pants.engine.process import Process, ProcessCacheScope
from pants.util.frozendict import FrozenDict

from occlum_build.errors import OcclumError
from occlum_build.occlum.file_sealer import CONTENTS, ImageFile
from occlum_build.occlum.seal_files import FILE_MODE, Wanted, request_json
from occlum_build.shown import Lines, output_of
from occlum_build.sources.model import FILE
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.errors import NO_SPACE
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool
from pants_occlum.sysroot.awaited_contents import awaited, try_process
from pants_occlum.sysroot.host import SYSROOT_CACHES, SysrootBlob
from pants_occlum.sysroot.pins import HostContents, host_contents
from pants_occlum.sysroot.sysroots import Sysroot

REQUEST = "request.json"
# What AES-GCM is done with.
_PURE, _COMPILED = ("pycparser",), ("cryptography", "cffi")


@dataclass(frozen=True)
class Sources:
    """Where contents are: `stored`, by SHA-256, those of files without a source.

    The others are in the sysroot. `of` tells the user what they belong to.
    """

    sysroot: Sysroot
    stored: Mapping[str, FileDigest] = field(compare=False, repr=False)
    of: str = field(compare=False)

    def inputs(self, files: Iterable[ImageFile]) -> tuple[FileEntry, ...]:
        """The inputs of a process that seals files, of those that are stored."""
        contents = {one.sha256 for one in files if not one.source}
        return tuple(FileEntry(f"{CONTENTS}/{one}", self.stored[one]) for one in sorted(contents))

    def host_contents(self, files: Iterable[ImageFile]) -> HostContents:
        """The contents that such a process takes from the sysroot."""
        blobs = {
            one.sha256: SysrootBlob(one.source, one.sha256, one.size) for one in files if one.source
        }
        return HostContents(self.sysroot, tuple(blobs.values()), self.of)

    def with_stored(self, contents: Mapping[str, FileDigest]) -> Sources:
        """The same, when more contents are stored."""
        return replace(self, stored={**self.stored, **contents})


def stored_whole(files: Iterable[ImageFile]) -> tuple[ImageFile, ...]:
    """The files, when all of their contents are stored."""
    return tuple(one._replace(source="") for one in files)


@dataclass(frozen=True)
class ToSeal:
    """Files to be sealed, and where their contents are."""

    files: tuple[Wanted, ...] = field(repr=False)
    sources: Sources

    @cached_property
    def contents(self) -> frozenset[str]:
        """What they are when they are sealed, by SHA-256: no two are the same."""
        return frozenset(one.sealed_sha256 for one in self.files)

    def tree(self, path: str) -> Iterator[TreeEntry]:
        """Their entries below a path."""
        return (
            TreeEntry(
                f"{path}/{one.file.name}",
                FILE,
                FILE_MODE,
                one.sealed_sha256,
                one.file.sealed_size,
            )
            for one in self.files
        )


async def seal_in(to_seal: ToSeal, directory: str, entries: Iterable[TreeEntry], of: str) -> None:
    """Seal some of the files in a directory of this machine, by a process that is in no cache.

    `of` tells the user what is written: several enclaves may have one file system.
    Raises OcclumError `dist` where it cannot be written, and for a file of the host that has
    changed since it was looked at.
    """
    sources = to_seal.sources
    asked = {entry.sha256 for entry in entries}
    wanted = [one for one in to_seal.files if one.sealed_sha256 in asked]
    files = [one.file for one in wanted]
    size = sum(one.sealed_size for one in files)
    description = f"Write files of {of} ({size >> 20:,} MB)"
    with quiet_gc():
        contents = sources.host_contents(files)
        inputs = _inputs(wanted, sources)
    inputs += awaited(contents)
    process = await _process(inputs, directory, description, uses_host=bool(contents.blobs))
    result = await try_process(process, contents)
    if result is None:
        found = (await host_contents(contents)).digests
        with quiet_gc():
            whole = zip(wanted, stored_whole(files))
            inputs = _inputs(
                [one._replace(file=file) for one, file in whole], sources.with_stored(found)
            )
        result = await run_tool(await _process(inputs, directory, description, uses_host=False))
    if result.exit_code:
        text = output_of(result.stderr)
        message = Lines(f"files of {of} cannot be sealed:", *text.lines)
        # What the process says itself is nearer to the cause.
        hint = "" if any("hint: " in line for line in text.lines) else NO_SPACE
        raise OcclumError("dist", message, hint=hint)


def _inputs(wanted: Sequence[Wanted], sources: Sources) -> list[FileContent | FileEntry]:
    request = FileContent(REQUEST, request_json(wanted))
    return [request, *sources.inputs(one.file for one in wanted)]


async def _process(
    inputs: Iterable[FileContent | FileEntry], directory: str, description: str, *, uses_host: bool
) -> Process:
    return await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.occlum.seal_files",
            argv=(REQUEST, directory),
            description=description,
            input_digest=await digest_of(inputs),
            requirements=_PURE,
            compiled_requirements=_COMPILED,
            append_only_caches=SYSROOT_CACHES if uses_host else FrozenDict({}),
            cache_scope=ProcessCacheScope.PER_SESSION,
        )
    )
