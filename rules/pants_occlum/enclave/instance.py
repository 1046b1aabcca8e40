"""The instance directory of an enclave, laid out as entries, and its archive."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pants.engine.addresses import Address
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestEntries,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    SymlinkEntry,
)
from pants.engine.rules import Rule

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.reading import read_file
from occlum_build.files.trees import clear, make_way
from occlum_build.occlum import configure
from occlum_build.occlum.initfs import IMAGE_KEY
from occlum_build.occlum.instance import TREE, InstanceEntry, plan_instance
from occlum_build.occlum.package import archived, package
from occlum_build.occlum.seal import MANIFEST, SECRET_MODE
from occlum_build.oci.layer import GZIP
from occlum_build.oci.parts import PART_BYTES
from occlum_build.process.complete import TABLE, table_json
from occlum_build.sources.model import DIR, FILE, SYMLINK
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    get_digest_contents,
    get_digest_entries,
    merge_digests,
)
from pants_occlum.dist.digest import digest_entries, file_of, store_files
from pants_occlum.dist.entries import TreeEntry, with_parents_of
from pants_occlum.dist.errors import dist_errors
from pants_occlum.dist.index import row_of
from pants_occlum.dist.packed import Packed, in_packs, packs_input
from pants_occlum.dist.path import real_path
from pants_occlum.dist.places import DistPlaces
from pants_occlum.enclave.nodes import EnclaveRequest, MeasuredEnclave, measured_enclave
from pants_occlum.enclave.signing import SignedEnclave, SignRequest, sign_enclave
from pants_occlum.enclave.steps import COMPILED, INITFS_TREE, PURE, SEALED_INITFS
from pants_occlum.enclave.to_seal import ToSeal
from pants_occlum.image.blobs import LayerBlobRequest, make_layer_blob
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise

INSTANCE = "occlum_instance"
ARCHIVE = f"{INSTANCE}.tar.gz"
_PARTS = {
    "sys_json": configure.SYS_JSON,
    "protected": configure.PROTECTED,
    "enclave_xml": configure.ENCLAVE_XML,
    "libos": configure.LIBOS,
    "unsigned": configure.UNSIGNED,
    "signing_data": configure.SIGNING_DATA,
    "config": configure.OCCLUM_JSON,
}


@dataclass(frozen=True)
class InstanceRequest:
    address: Address
    sgx_mode: str
    sign: bool


@dataclass(frozen=True)
class Instance:
    """A whole instance directory: `packed` and `to_seal` have the files of the secure file system.

    All others are in the store.
    """

    tree: tuple[TreeEntry, ...]
    packed: Packed
    to_seal: ToSeal | None


def _has_content(planned: InstanceEntry) -> bool:
    return planned.kind == FILE and not planned.part


def _file_parts(enclave: MeasuredEnclave, signed: SignedEnclave) -> dict[str, FileDigest]:
    parts = {part: enclave.configured.files[name] for part, name in _PARTS.items()}
    parts["pal"] = enclave.toolchain.files["pal"].digest
    parts["image_mac"] = enclave.image.mac
    parts["initfs_mac"] = enclave.initfs.files[".ROOT_MAC"]
    if signed.libos is not None:
        parts["signed"] = signed.libos
    return parts


async def _initfs_modes(enclave: MeasuredEnclave) -> dict[str, int]:
    """Path -> mode in the initfs, which a digest does not hold; a built-in key is its owner's."""
    manifest = FileEntry(MANIFEST, enclave.initfs.files[MANIFEST])
    contents = await get_digest_contents(await create_digest(CreateDigest([manifest])))
    entries = json.loads(contents[0].content)["entries"]
    return {entry["path"].lstrip("/"): int(entry["mode"], 8) for entry in entries}


def _subtree(
    path: str, inner: str, initfs: DigestEntries, modes: Mapping[str, int]
) -> Iterator[TreeEntry]:
    """The entries of a tree that the step of the initfs left: what is in it, or as it is sealed."""
    sealed_mode = SECRET_MODE if IMAGE_KEY in modes else 0o644
    for entry in initfs:
        if not entry.path.startswith(f"{inner}/"):
            continue
        name = entry.path[len(inner) + 1 :]
        below = f"{path}/{name}"
        if isinstance(entry, FileEntry):
            mode = modes[name] if inner == INITFS_TREE else sealed_mode
            yield file_of(below, mode, entry.file_digest)
        elif isinstance(entry, SymlinkEntry):
            yield TreeEntry(below, SYMLINK, 0o777, target=entry.target)
        else:
            yield TreeEntry(below, DIR, 0o755)


@rule(desc="Lay out an instance")
async def lay_out_instance(request: InstanceRequest) -> Instance:
    enclave = await measured_enclave(EnclaveRequest(request.address))
    signed = await sign_enclave(SignRequest(request.address, request.sign), **implicitly())
    parts = _file_parts(enclave, signed)
    image = enclave.image
    initfs = await get_digest_entries(enclave.initfs.digest)
    modes = await _initfs_modes(enclave)
    planned = plan_instance(
        enclave.version, request.sgx_mode, enclave.image_type, signed=signed.libos is not None
    )
    own = await store_files({one.path: one.content for one in planned if _has_content(one)})
    tree: list[TreeEntry] = []
    with quiet_gc():
        for one in planned:
            if one.kind == FILE:
                digest = parts[one.part] if one.part else own[one.path]
                tree.append(file_of(one.path, one.mode, digest))
            elif one.kind == TREE:
                tree.append(TreeEntry(one.path, DIR, 0o755))
                if one.part == "image":
                    tree += image.tree(one.path)
                else:
                    inner = INITFS_TREE if one.part == "initfs_tree" else SEALED_INITFS
                    tree += _subtree(one.path, inner, initfs, modes)
            else:
                tree.append(TreeEntry(one.path, one.kind, one.mode, target=one.target))
        return Instance(tuple(sorted(tree)), image.packed, image.to_seal)


@dataclass(frozen=True)
class ArchiveInput:
    """All that is archived of an instance, as the input of the process that does it."""

    digest: Digest


@rule
async def archive_input(request: InstanceRequest) -> ArchiveInput:
    instance = await lay_out_instance(request)
    with quiet_gc():
        files = in_packs(instance.tree, instance.packed.slices())
        paths = {one.path for one in files}
        stored = digest_entries(entry for entry in instance.tree if entry.path not in paths)
        table = table_json([], files)
    inputs = [
        await add_prefix(AddPrefix(await create_digest(CreateDigest(stored)), INSTANCE)),
        await digest_of([FileContent(TABLE, table)]),
        await packs_input(instance.packed, files),
    ]
    return ArchiveInput(await merge_digests(MergeDigests(inputs)))


@dataclass(frozen=True)
class ArchiveRequest:
    """The archive of a signed instance, in which its directory is called INSTANCE."""

    input: Digest  # an ArchiveInput
    instance: Instance = field(compare=False)
    sgx_mode: str
    of: str


@dataclass(frozen=True)
class InstanceArchive:
    digest: Digest


async def _archive_of_parts(request: ArchiveRequest, by_path: Mapping[str, TreeEntry]) -> Digest:
    """The archive of a large instance. It has what the process below archives."""
    kinds = {path: entry.kind for path, entry in by_path.items()}
    entries = (by_path[path] for path in archived(kinds, request.sgx_mode))
    blob = await make_layer_blob(
        LayerBlobRequest(
            tuple(
                entry._replace(path=f"{INSTANCE}/{entry.path}", mode=_archived_mode(entry))
                for entry in entries
            ),
            GZIP,
            True,
            None,
            request.instance.packed,
            name=request.of,
            what="the archive of an instance",
        ),
        **implicitly(),
    )
    return await create_digest(CreateDigest([FileEntry(ARCHIVE, blob.file)]))


def _archived_mode(entry: TreeEntry) -> int:
    """As `package` has them."""
    if entry.kind == SYMLINK:
        return 0o777
    return 0o755 if entry.kind == DIR or entry.mode & 0o100 else 0o644


@rule(desc="Archive an instance")
async def archive_instance(request: ArchiveRequest) -> InstanceArchive:
    by_path = with_parents_of(request.instance.tree)
    if sum(entry.size for entry in by_path.values()) > PART_BYTES and not any(
        entry.mode == SECRET_MODE for entry in by_path.values()
    ):
        return InstanceArchive(await _archive_of_parts(request, by_path))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.occlum.package",
            argv=(INSTANCE, ARCHIVE, INSTANCE, TABLE),
            description=f"Archive the instance of {request.of}",
            input_digest=request.input,
            requirements=PURE,
            compiled_requirements=COMPILED,
            output_files=(ARCHIVE,),
        ),
    )
    result = await run_tool_or_raise(process)
    return InstanceArchive(result.output_digest)


def archive_in_dist(places: DistPlaces, output: str, input_digest: Digest) -> None:
    """Archive the instance that was just synced to dist/<output>, unless that was done before.

    `input_digest` is its ArchiveInput.
    For an encrypted one: a process would leave the archive in caches that are shared, or run again
    in each session without pantsd. Raises what `package` raises, and OcclumError `dist`.
    """
    archive = Path(real_path(places.dist_dir, f"{output}/{ARCHIVE}"))
    state = hashlib.sha256(str(archive).encode()).hexdigest()
    record = os.path.join(places.state_dir, f"{state}.archive")
    with suppress(OcclumError, OSError):
        if read_file(record, STATE_BYTES) == _row(archive, input_digest):
            return
    with dist_errors(str(archive)):
        make_way(str(archive))
    package(archive.parent / INSTANCE, archive, INSTANCE)
    with suppress(OSError):  # then the next run archives it again
        clear(record)
        with open(record, "xb") as file:
            file.write(_row(archive, input_digest))


def _row(archive: Path, input_digest: Digest) -> bytes:
    """What tells that a file is the archive of an instance, as it was written."""
    row = row_of(os.lstat(archive), input_digest.fingerprint)
    return f"{' '.join(map(str, row))}\n".encode()


def rules() -> Iterable[Rule]:
    return collect_rules()
