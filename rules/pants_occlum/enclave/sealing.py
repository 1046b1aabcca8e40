"""The secure file system of an image, made by a process or, where it is large, by several.

Each of those seals some files, so that two run at a time and an edit runs one of them again; the
last one makes directories, links and the inode table. They leave packs (occlum_build.process.packs)
or, of files that are sealed in dist (to_seal.py), MACs and digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from occlum_build.occlum.file_sealer import ImageFile
from occlum_build.occlum.seal import ROOT_MAC
from occlum_build.occlum.seal_files import FILE_MODE, Wanted
from occlum_build.occlum.seal_image import MACS, TAKEN, Request, parts_of, read_macs
from occlum_build.process.packs import INDEX, PACKS, read_index
from occlum_build.sefs.planned import numbered
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents, merge_digests
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.packed import Packed
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import damaged_store
from pants_occlum.enclave.kept import kept_name, kept_parts
from pants_occlum.enclave.keys import ENCRYPTED_CACHE, ENCRYPTED_DIR, ImageKey
from pants_occlum.enclave.steps import REQUEST, Parts, Step, parts_of_step, process_of, run_step
from pants_occlum.enclave.to_seal import Sources, ToSeal, stored_whole
from pants_occlum.image.nodes import Image, ImageRequest, make_image
from pants_occlum.image.planned import check_host
from pants_occlum.logs import logger_of
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.awaited_contents import awaited, try_process
from pants_occlum.sysroot.host import SYSROOT_CACHES, link_sysroot
from pants_occlum.sysroot.pins import host_contents
from pants_occlum.sysroot.sysroots import Sysroot

logger = logger_of(__name__)

_MANIFEST, _MODULE = "manifest.json", "occlum_build.occlum.seal_image"
_TAKEN = f"%s: a part of the secure file system was {TAKEN} %s"


@dataclass(frozen=True)
class SealRequest:
    """The secure file system of an image; with a key it is an encrypted one.

    has_packs: all of its files are wanted in packs, for processes that archive them.
    """

    image: Address
    key: ImageKey | None
    of: str = field(compare=False)
    has_packs: bool = False


@dataclass(frozen=True)
class SealedImage:
    """A secure file system: the text of its MAC, and the files of its flat directory.

    Those of a large one without a key are sealed where they are wanted, if nobody needs packs.
    """

    mac: FileDigest
    packed: Packed
    to_seal: ToSeal | None = None

    def tree(self, path: str) -> Iterator[TreeEntry]:
        """The entries of all files below a path."""
        yield from self.packed.tree(path, FILE_MODE)
        if self.to_seal is not None:
            yield from self.to_seal.tree(path)


@dataclass(frozen=True)
class SealPartRequest:
    """What one process seals; compared by the SHA-256 of it, `asked_sha256`.

    `inputs` are its further inputs.
    """

    asked_sha256: str
    inputs: Digest
    sources: Sources
    key: ImageKey | None
    asked: Request = field(compare=False, repr=False)


async def _step(request: SealPartRequest, name: str, awaits: Iterable[FileEntry]) -> Step:
    """`name` is that of what is kept; `awaits` are inputs that it needs for what is in sysroots."""
    asked, key = request.asked, request.key
    with quiet_gc():
        stored = request.sources.inputs(asked.files)
        files: list[FileContent | FileEntry] = [FileContent(REQUEST, asked.to_json())]
        files += (*stored, *awaits)
        uses_host = any(one.source for one in asked.files)
    arguments: tuple[str, ...] = ()
    caches = {**SYSROOT_CACHES} if uses_host else {}
    if key is not None:
        arguments = (key.path, key.fingerprint)
        if key.cache is not None:
            arguments += key.cache.arguments(name)
            caches[ENCRYPTED_CACHE] = ENCRYPTED_DIR
    return Step(
        module="seal_image",
        argv=(REQUEST,),
        input=await merge_digests(MergeDigests([request.inputs, await digest_of(files)])),
        description=f"Make the secure file system of {request.sources.of}",
        key=arguments,
        uses_key=key is not None,
        caches=FrozenDict(caches),
    )


@rule
async def seal_part(request: SealPartRequest, places: DistPlaces) -> Parts:
    sources = request.sources
    with quiet_gc():
        files = stored_whole(request.asked.files)
        contents = sources.host_contents(request.asked.files)
    asked = replace(request.asked, files=files)
    name, key = "", request.key
    if key is not None and key.cache is not None:
        sha256 = hashlib.sha256(asked.to_json()).hexdigest()
        name = await kept_name(key, _MODULE, sha256, request.inputs.fingerprint)
        parts = await kept_parts(key.cache, name, places)
        if parts is not None:
            logger.debug(_TAKEN, sources.of, "and Pants' store")
            return parts
    step = await _step(request, name, awaited(contents))
    result = await try_process(await process_of(step), contents)
    if result is not None:
        if TAKEN.encode() in result.stdout:
            logger.debug(_TAKEN, sources.of, "by a process")
        return await parts_of_step(step, result)
    found = (await host_contents(contents)).digests
    whole = replace(request, asked=asked, sources=sources.with_stored(found))
    return await run_step(await _step(whole, name, ()))


async def _texts(digests: Sequence[FileDigest], places: DistPlaces) -> list[bytes]:
    """The contents of files that processes made; OcclumError where the store has damaged one."""
    entries = [FileEntry(f"{number}.json", digest) for number, digest in enumerate(digests)]
    contents = await get_digest_contents(await create_digest(CreateDigest(entries)))
    found = {one.path: one.content for one in contents}
    texts = [found[entry.path] for entry in entries]
    damaged = [
        digest.fingerprint
        for digest, text in zip(digests, texts)
        if hashlib.sha256(text).hexdigest() != digest.fingerprint
    ]
    if damaged:
        raise damaged_store(places, damaged)
    return texts


async def _packed(parts: Sequence[Parts], places: DistPlaces) -> Packed:
    below = f"{PACKS}/"
    packs = {
        path[len(below) :]: digest
        for part in parts
        for path, digest in part.files.items()
        if path.startswith(below)
    }
    texts = await _texts([part.files[INDEX] for part in parts], places)
    with quiet_gc():
        files = sorted(one for text in texts for one in read_index(text))
        return Packed(tuple(sorted(packs.items())), tuple(files))


async def _to_seal(
    parts: Iterable[Sequence[ImageFile]],
    measured: Iterable[Parts],
    sources: Sources,
    places: DistPlaces,
) -> ToSeal:
    """The files of parts whose MACs processes found."""
    texts = await _texts([one.files[MACS] for one in measured], places)
    with quiet_gc():
        sealed = {mac.inode: mac.sha256 for text in texts for mac in read_macs(text)}
        wanted = (Wanted(file, sealed[file.inode]) for part in parts for file in part)
        return ToSeal(tuple(wanted), sources)


def _is_at_hand(sysroot: Sysroot, places: DistPlaces) -> bool:
    """Has this machine all contents, and not only a cache what was made of them?"""
    if sysroot.packages is not None:
        return not (places.executes_remotely or places.has_remote_cache)
    return not (places.executes_remotely or sysroot.lock is LockMode.require)


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
    sources = Sources(plan.sysroot, stored, request.of)
    with quiet_gc():
        parts = parts_of(_files(image, stored))
    # Without a key, what a part is depends on its files alone.
    salt = image.name if request.key is not None else ""
    manifest = FileContent(_MANIFEST, image.manifest.identity)
    sealed: tuple[Parts, ...] = ()
    last = Request(sum(parts, ()), salt, _MANIFEST)
    inputs: list[FileContent | FileEntry] = [manifest]
    is_packed = (
        request.has_packs or request.key is not None or not _is_at_hand(plan.sysroot, places)
    )
    if len(parts) > 1:
        some = [_part(request, sources, Request(one, salt, has_packs=is_packed)) for one in parts]
        sealed = await concurrently(seal_part(one, **implicitly()) for one in some)
        macs = [
            FileEntry(f"macs/{number}.json", one.files[MACS]) for number, one in enumerate(sealed)
        ]
        last = Request((), salt, _MANIFEST, tuple(one.path for one in macs))
        inputs += macs
    rest = _part(request, sources, last)
    rest = replace(rest, inputs=await digest_of(inputs))
    root = await seal_part(rest, **implicitly())
    if is_packed or not sealed:
        return SealedImage(root.files[ROOT_MAC], await _packed((*sealed, root), places))
    to_seal = await _to_seal(parts, sealed, sources, places)
    return SealedImage(root.files[ROOT_MAC], await _packed([root], places), to_seal)


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


def _part(request: SealRequest, sources: Sources, asked: Request) -> SealPartRequest:
    sha256 = hashlib.sha256(asked.to_json()).hexdigest()
    return SealPartRequest(sha256, EMPTY_DIGEST, sources, request.key, asked)


def rules() -> Iterable[Rule]:
    return collect_rules()
