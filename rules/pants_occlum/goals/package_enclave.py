"""`package` for `occlum_enclave`: the instance, its archive and its measurement."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Optional

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestEntries,
    Directory,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    SymlinkEntry,
)
from pants.engine.process import Process, ProcessCacheScope, ProcessResult
from pants.engine.rules import Get, Rule, _uncacheable_rule, collect_rules, rule
from pants.engine.unions import UnionRule

from occlum_build.occlum import configure
from occlum_build.occlum.initfs import ENCRYPTED
from occlum_build.occlum.instance import TREE, plan_instance
from occlum_build.occlum.measurement import (
    ImageIdentity,
    check_expected,
    from_bytes,
    inputs_of,
    record,
    security_warnings,
    to_bytes,
)
from occlum_build.sources import DIR, FILE, SYMLINK
from pants_occlum import enclave_types as fields
from pants_occlum.enclave import COMPILED, PURE, EnclaveRequest, MeasuredEnclave
from pants_occlum.enclave_signing import SignedEnclave, SignRequest
from pants_occlum.occlum_builder import Compared, CompareRequest
from pants_occlum.problems import enclave_errors
from pants_occlum.util_rules.dist_sync import DistPlaces, sync_tree
from pants_occlum.util_rules.dist_tree import TreeEntry
from pants_occlum.util_rules.tool_process import ToolProcessRequest

logger = logging.getLogger(__name__)

INSTANCE, MEASUREMENT = "occlum_instance", "measurement.json"
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
class EnclaveFieldSet(PackageFieldSet):
    required_fields = (fields.EnclaveImageField,)

    image: fields.EnclaveImageField
    sgx_mode: fields.SgxModeField
    edmm: fields.EdmmField
    with_newline: fields.BuiltinConfigNewlineField
    sign: fields.SignField
    expected_mrenclave: fields.ExpectedMrenclaveField
    builder: fields.BuilderField
    output_path: fields.EnclaveOutputPathField


@dataclass(frozen=True)
class InstanceRequest:
    address: Address
    sgx_mode: str
    sign: bool


@dataclass(frozen=True)
class Instance:
    """A whole instance directory: as entries for dist, and as a digest."""

    tree: tuple[TreeEntry, ...]
    digest: Digest


@rule(desc="Lay out an instance")
async def lay_out_instance(request: InstanceRequest) -> Instance:
    enclave = await Get(MeasuredEnclave, EnclaveRequest(request.address))
    signed = await Get(SignedEnclave, SignRequest(request.address, request.sign))
    parts = _file_parts(enclave, signed)
    trees = {
        "image": await Get(DigestEntries, Digest, enclave.image.digest),
        "initfs": await Get(DigestEntries, Digest, enclave.initfs.digest),
    }
    planned = plan_instance(
        enclave.version, request.sgx_mode, enclave.image_type, signed=signed.libos is not None
    )
    contents = [FileContent(one.path, one.content) for one in planned if _has_content(one)]
    own = await Get(DigestEntries, Digest, await Get(Digest, CreateDigest(contents)))
    own_digests = {one.path: one.file_digest for one in own if isinstance(one, FileEntry)}
    tree: list[TreeEntry] = []
    for one in planned:
        if one.kind == FILE:
            digest = parts[one.part] if one.part else own_digests[one.path]
            tree.append(_file(one.path, one.mode, digest))
        elif one.kind == TREE:
            tree += _subtree(one.path, one.part, trees)
        else:
            tree.append(TreeEntry(one.path, one.kind, one.mode, target=one.target))
    entries = tuple(sorted(tree))
    return Instance(entries, await Get(Digest, CreateDigest(_digest_entries(entries))))


def _has_content(planned: object) -> bool:
    return planned.kind == FILE and not planned.part


def _file(path: str, mode: int, digest: FileDigest) -> TreeEntry:
    return TreeEntry(path, FILE, mode, digest.fingerprint, digest.serialized_bytes_length)


def _file_parts(enclave: MeasuredEnclave, signed: SignedEnclave) -> dict[str, FileDigest]:
    parts = {part: enclave.configured.files[name] for part, name in _PARTS.items()}
    parts["pal"] = enclave.toolchain.files["pal"].digest
    parts["image_mac"] = enclave.image.files[".ROOT_MAC"]
    parts["initfs_mac"] = enclave.initfs.files[".ROOT_MAC"]
    if signed.libos is not None:
        parts["signed"] = signed.libos
    return parts


def _subtree(path: str, part: str, trees: Mapping[str, DigestEntries]) -> Iterator[TreeEntry]:
    """The entries of a tree that a step left: `image` and `initfs` are sealed, `initfs_tree` not."""
    name, inner = ("initfs", "out/tree") if part == "initfs_tree" else (part, "out/__ROOT")
    yield TreeEntry(path, DIR, 0o755)
    for entry in trees[name]:
        if not entry.path.startswith(f"{inner}/"):
            continue
        below = f"{path}/{entry.path[len(inner) + 1 :]}"
        if isinstance(entry, FileEntry):
            yield _file(below, 0o755 if entry.is_executable else 0o644, entry.file_digest)
        elif isinstance(entry, SymlinkEntry):
            yield TreeEntry(below, SYMLINK, 0o777, target=entry.target)
        else:
            yield TreeEntry(below, DIR, 0o755)


def _digest_entries(
    tree: Iterable[TreeEntry],
) -> Iterator[FileEntry | SymlinkEntry | Directory]:
    for entry in tree:
        if entry.kind == FILE:
            digest = FileDigest(entry.sha256, entry.size)
            yield FileEntry(entry.path, digest, bool(entry.mode & 0o100))
        elif entry.kind == SYMLINK:
            yield SymlinkEntry(entry.path, entry.target)
        else:
            yield Directory(entry.path)


@dataclass(frozen=True)
class ArchiveRequest:
    """The archive of a signed instance, whose directory in it is called `top`."""

    instance: Digest
    top: str
    is_shared: bool
    of: str


@dataclass(frozen=True)
class InstanceArchive:
    digest: Digest


@rule(desc="Archive an instance")
async def archive_instance(request: ArchiveRequest) -> InstanceArchive:
    name = f"{request.top}.tar.gz"
    process = await Get(
        Process,
        ToolProcessRequest(
            module="occlum_build.occlum.package",
            argv=(INSTANCE, name, request.top),
            description=f"Archive the instance of {request.of}",
            input_digest=await Get(Digest, AddPrefix(request.instance, INSTANCE)),
            requirements=PURE,
            compiled_requirements=COMPILED,
            output_files=(name,),
            cache_scope=ProcessCacheScope.SUCCESSFUL
            if request.is_shared
            else ProcessCacheScope.PER_RESTART_SUCCESSFUL,
        ),
    )
    result = await Get(ProcessResult, Process, process)
    return InstanceArchive(result.output_digest)


@dataclass(frozen=True)
class MeasurementRequest:
    address: Address
    sgx_mode: str
    edmm: bool
    with_newline: bool
    sign: bool


@dataclass(frozen=True)
class MeasurementRecord:
    """The content of measurement.json, and what is weak or ignored in the configuration."""

    content: bytes
    warnings: tuple[str, ...]


@rule(desc="Record a measurement")
async def record_measurement(request: MeasurementRequest) -> MeasurementRecord:
    enclave = await Get(MeasuredEnclave, EnclaveRequest(request.address))
    signed = await Get(SignedEnclave, SignRequest(request.address, request.sign))
    wanted = {
        "image-mac": enclave.image.files[".ROOT_MAC"],
        "initfs-mac": enclave.initfs.files[".ROOT_MAC"],
        "initfs-manifest": enclave.initfs.files["manifest.json"],
        "config-keys": enclave.configured.files[configure.CONFIG_KEYS],
        "warnings": enclave.configured.files[configure.WARNINGS],
    }
    digest = await Get(Digest, CreateDigest(FileEntry(*item) for item in sorted(wanted.items())))
    contents = await Get(DigestContents, Digest, digest)
    read = {file.path: file.content for file in contents}
    image_mac, initfs_mac = read["image-mac"].decode(), read["initfs-mac"].decode()
    inputs = inputs_of(
        ImageIdentity(enclave.image_type, image_mac, enclave.root.name, enclave.key_fingerprint),
        json.loads(read["initfs-manifest"]),
        json.loads(read["config-keys"]),
        {
            role: enclave.toolchain.files[role].digest.fingerprint
            for role in ("libos", "pal", "occlum-run")
        },
        enclave.version,
        configure.Settings(
            request.sgx_mode, edmm=request.edmm, with_newline=request.with_newline, strict=True
        ),
    )
    measured = record(inputs, signed.sigstruct, image_mac, initfs_mac)
    warnings = [*json.loads(read["warnings"]), *map(str, security_warnings(measured))]
    if signed.by_test_key and not measured["debuggable"]:
        warnings.append(
            "a release enclave is signed with the toolchain's test key, which everybody has\n"
            "  hint: name a key of your own with [occlum].sign_key_file or [occlum].signer"
        )
    return MeasurementRecord(to_bytes(measured), tuple(warnings))


# Not memoised, so that an instance that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def package_enclave(field_set: EnclaveFieldSet, places: DistPlaces) -> BuiltPackage:
    sgx_mode, sign = field_set.sgx_mode.value or "HW", field_set.sign.value
    output = field_set.output_path.value_or_default(file_ending=None)
    with enclave_errors(field_set.address):
        enclave = await Get(MeasuredEnclave, EnclaveRequest(field_set.address))
        measured = await Get(
            MeasurementRecord,
            MeasurementRequest(
                field_set.address,
                sgx_mode,
                field_set.edmm.value,
                field_set.with_newline.value,
                sign,
            ),
        )
        _check(field_set, measured, enclave, os.path.join(places.dist_dir, output))
        if field_set.builder.value == "occlum":
            await Get(Compared, CompareRequest(field_set.address))
    instance = await Get(Instance, InstanceRequest(field_set.address, sgx_mode, sign))
    small = {
        MEASUREMENT: measured.content,
        "manifest.json": enclave.root.manifest,
        "image.digest": f"sha256:{enclave.root.name}\n".encode(),
    }
    digests = [
        await Get(Digest, CreateDigest(FileContent(*item) for item in sorted(small.items())))
    ]
    names = sorted(small)
    if sign:
        archive = await Get(
            InstanceArchive,
            ArchiveRequest(
                instance.digest,
                INSTANCE,
                enclave.image_type != ENCRYPTED,
                str(field_set.address),
            ),
        )
        digests.append(archive.digest)
        names.append(f"{INSTANCE}.tar.gz")
    await sync_tree(places, f"{output}/{INSTANCE}", instance.tree)
    merged = await Get(Digest, MergeDigests(digests))
    return BuiltPackage(
        await Get(Digest, AddPrefix(merged, output)),
        tuple(BuiltPackageArtifact(f"{output}/{name}") for name in names),
    )


def _check(
    field_set: EnclaveFieldSet, found: MeasurementRecord, enclave: MeasuredEnclave, output: str
) -> None:
    """Warn, tell the measurement, and compare it with the expected one."""
    measured = json.loads(found.content)
    for text in found.warnings:
        logger.warning("%s: %s", field_set.address, text)
    logger.info("%s: MRENCLAVE %s", field_set.address, measured["mrenclave"])
    expected = field_set.expected_mrenclave.value
    if expected is None:
        return
    last = _last(os.path.join(output, MEASUREMENT))
    old_image = _last(os.path.join(output, "manifest.json"))
    check_expected(
        expected,
        measured,
        from_bytes(last) if last is not None else None,
        json.loads(old_image) if old_image is not None else None,
        json.loads(enclave.root.manifest),
    )


def _last(path: str) -> Optional[bytes]:
    """What an earlier run left; only for telling what has changed since."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def rules() -> Iterable[Rule]:
    return [*collect_rules(), UnionRule(PackageFieldSet, EnclaveFieldSet)]
