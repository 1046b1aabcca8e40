"""The secure file system of an image, made by a process or, where it is large, by several.

Each of those seals some files, so that two run at a time and an edit runs one of them again; the
last one makes directories, links and the inode table. All leave packs (occlum_build.process.packs).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pants.engine.addresses import Address
from pants.engine.fs import (
    EMPTY_DIGEST,
    CreateDigest,
    Digest,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
)
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.frozendict import FrozenDict

from occlum_build.image.entries import FILE
from occlum_build.occlum.seal import ROOT_MAC
from occlum_build.occlum.seal_image import CONTENTS, MACS, TAKEN, ImageFile, Request, parts_of
from occlum_build.process.packs import INDEX, PACKS, read_index
from occlum_build.sefs.planned import numbered
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents, merge_digests
from pants_occlum.dist.packed import Packed
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import damaged_store
from pants_occlum.enclave.kept import kept_name, kept_parts
from pants_occlum.enclave.keys import ENCRYPTED_CACHE, ENCRYPTED_DIR, ImageKey
from pants_occlum.enclave.steps import REQUEST, Parts, Step, parts_of_step, process_of, run_step
from pants_occlum.image.nodes import Image, ImageRequest, make_image
from pants_occlum.image.planned import check_host
from pants_occlum.logs import logger_of
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.sysroot.awaited_contents import awaited, try_process
from pants_occlum.sysroot.host import SYSROOT_CACHES, SysrootBlob, link_sysroot
from pants_occlum.sysroot.pins import HostContents, host_contents
from pants_occlum.sysroot.sysroots import Sysroot

logger = logger_of(__name__)

_MANIFEST, _MODULE = "manifest.json", "occlum_build.occlum.seal_image"
_TAKEN = f"%s: a part of the secure file system was {TAKEN} %s"


@dataclass(frozen=True)
class SealRequest:
    """The secure file system of an image; with a key it is an encrypted one."""

    image: Address
    key: ImageKey | None
    of: str = field(compare=False)


@dataclass(frozen=True)
class SealedImage:
    """A secure file system: the text of its MAC, and the files of its flat directory."""

    mac: FileDigest
    packed: Packed


@dataclass(frozen=True)
class SealPartRequest:
    """What one process seals; compared by the SHA-256 of it, `asked_sha256`.

    `inputs` are its further inputs. Of the files those without a source are in `stored`, by
    SHA-256, and the others in the sysroot.
    """

    asked_sha256: str
    inputs: Digest
    sysroot: Sysroot
    key: ImageKey | None
    asked: Request = field(compare=False, repr=False)
    stored: Mapping[str, FileDigest] = field(compare=False, repr=False)
    of: str = field(compare=False)

    def host_contents(self) -> HostContents:
        """The contents that the process takes from the sysroot."""
        blobs = {
            one.sha256: SysrootBlob(one.source, one.sha256, one.size)
            for one in self.asked.files
            if one.source
        }
        return HostContents(self.sysroot, tuple(blobs.values()), self.of)


async def _step(request: SealPartRequest, name: str, awaits: Iterable[FileEntry]) -> Step:
    """`name` is that of what is kept; `awaits` are inputs that it needs for what is in sysroots."""
    asked, key = request.asked, request.key
    with quiet_gc():
        contents = {one.sha256 for one in asked.files if not one.source}
        files: tuple[FileContent | FileEntry, ...] = (
            FileContent(REQUEST, asked.to_json()),
            *(FileEntry(f"{CONTENTS}/{one}", request.stored[one]) for one in sorted(contents)),
            *awaits,
        )
    arguments: tuple[str, ...] = ()
    caches = {**SYSROOT_CACHES} if len(contents) < len(asked.files) else {}
    if key is not None:
        arguments = (key.path, key.fingerprint)
        if key.cache is not None:
            arguments += key.cache.arguments(name)
            caches[ENCRYPTED_CACHE] = ENCRYPTED_DIR
    return Step(
        module="seal_image",
        argv=(REQUEST,),
        input=await merge_digests(MergeDigests([request.inputs, await digest_of(files)])),
        description=f"Make the secure file system of {request.of}",
        key=arguments,
        uses_key=key is not None,
        caches=FrozenDict(caches),
    )


@rule
async def seal_part(request: SealPartRequest, places: DistPlaces) -> Parts:
    with quiet_gc():
        files = tuple(one._replace(source="") for one in request.asked.files)
        contents = request.host_contents()
    asked = replace(request.asked, files=files)
    name, key = "", request.key
    if key is not None and key.cache is not None:
        sha256 = hashlib.sha256(asked.to_json()).hexdigest()
        name = await kept_name(key, _MODULE, sha256, request.inputs.fingerprint)
        parts = await kept_parts(key.cache, name, places)
        if parts is not None:
            logger.debug(_TAKEN, request.of, "and Pants' store")
            return parts
    step = await _step(request, name, awaited(contents))
    result = await try_process(await process_of(step), contents)
    if result is not None:
        if TAKEN.encode() in result.stdout:
            logger.debug(_TAKEN, request.of, "by a process")
        return await parts_of_step(step, result)
    found = (await host_contents(contents)).digests
    whole = replace(request, asked=asked, stored={**request.stored, **found})
    return await run_step(await _step(whole, name, ()))


async def _packed(parts: Iterable[Parts], places: DistPlaces) -> Packed:
    packs: dict[str, FileDigest] = {}
    indexes = []
    below = f"{PACKS}/"
    for number, part in enumerate(parts):
        indexes.append(FileEntry(f"{number}.json", part.files[INDEX]))
        packs.update(
            (path[len(below) :], digest)
            for path, digest in part.files.items()
            if path.startswith(below)
        )
    contents = await get_digest_contents(await create_digest(CreateDigest(indexes)))
    wanted = {entry.path: entry.file_digest.fingerprint for entry in indexes}
    damaged = [
        wanted[one.path]
        for one in contents
        if hashlib.sha256(one.content).hexdigest() != wanted[one.path]
    ]
    if damaged:
        raise damaged_store(places, damaged)
    with quiet_gc():
        files = sorted(one for content in contents for one in read_index(content.content))
        return Packed(tuple(sorted(packs.items())), tuple(files))


@rule
async def seal_image(
    request: SealRequest, places: DistPlaces, named_caches_dir: NamedCachesDirOption
) -> SealedImage:
    image = await make_image(ImageRequest(request.image), **implicitly())
    plan, of = image.plan, str(request.image)
    stored = plan.project
    if places.executes_remotely:
        stored = {**stored, **(await host_contents(plan.host_contents(of))).digests}
    else:
        await check_host(plan, of)
        link_sysroot(named_caches_dir, plan.sysroot.root)
    with quiet_gc():
        parts = parts_of(_files(image, stored))
    # Without a key, what a part is depends on its files alone.
    salt = image.name if request.key is not None else ""
    manifest = FileContent(_MANIFEST, image.manifest.identity)
    sealed: tuple[Parts, ...] = ()
    last = Request(sum(parts, ()), salt, _MANIFEST)
    inputs: list[FileContent | FileEntry] = [manifest]
    if len(parts) > 1:
        some = [_part(request, plan.sysroot, Request(one, salt), stored) for one in parts]
        sealed = await concurrently(seal_part(one, **implicitly()) for one in some)
        macs = [
            FileEntry(f"macs/{number}.json", one.files[MACS]) for number, one in enumerate(sealed)
        ]
        last = Request((), salt, _MANIFEST, tuple(one.path for one in macs))
        inputs += macs
    rest = _part(request, plan.sysroot, last, stored)
    rest = replace(rest, inputs=await digest_of(inputs))
    root = await seal_part(rest, **implicitly())
    return SealedImage(root.files[ROOT_MAC], await _packed((*sealed, root), places))


def _files(image: Image, stored: Mapping[str, FileDigest]) -> list[ImageFile]:
    """The regular files by inode number; those that are stored have no source."""
    numbers = numbered(entry.path for entry in image.plan.entries if entry.path)
    files = []
    for entry in image.plan.entries:
        if entry.kind == FILE:
            sha256 = image.plan.sha256[entry.source]
            source = "" if sha256 in stored else entry.source
            files.append(ImageFile(numbers[entry.path], entry.size, sha256, source))
    return sorted(files)


def _part(
    request: SealRequest, sysroot: Sysroot, asked: Request, stored: Mapping[str, FileDigest]
) -> SealPartRequest:
    return SealPartRequest(
        hashlib.sha256(asked.to_json()).hexdigest(),
        EMPTY_DIGEST,
        sysroot,
        request.key,
        asked,
        stored,
        request.of,
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
