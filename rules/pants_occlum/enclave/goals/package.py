"""`package` for `occlum_enclave`: the instance, its archive and its measurement."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, CreateDigest, FileContent, FileEntry, MergeDigests
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.unions import UnionRule

from occlum_build.errors import Problem
from occlum_build.occlum import configure
from occlum_build.occlum.initfs import ENCRYPTED
from occlum_build.occlum.measurement import (
    ImageIdentity,
    check_expected,
    from_bytes,
    inputs_of,
    record,
    security_warnings,
    to_bytes,
)
from occlum_build.occlum.signing import PUBLIC_TEST_MRSIGNER
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    get_digest_contents,
    merge_digests,
)
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.sync import sync_file, sync_tree
from pants_occlum.enclave import target_types as fields
from pants_occlum.enclave.instance import (
    INSTANCE,
    ArchiveRequest,
    InstanceRequest,
    archive_in_dist,
    archive_instance,
    lay_out_instance,
)
from pants_occlum.enclave.nodes import EnclaveRequest, MeasuredEnclave, measured_enclave
from pants_occlum.enclave.occlum_builder import CompareRequest, compare_builds
from pants_occlum.enclave.signing import SignRequest, sign_enclave
from pants_occlum.problems import enclave_errors
from pants_occlum.process.loaded_sources import LOADED

logger = logging.getLogger(__name__)

MEASUREMENT = "measurement.json"


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
    output_path: DistPathField


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
    enclave = await measured_enclave(EnclaveRequest(request.address))
    signed = await sign_enclave(SignRequest(request.address, request.sign), **implicitly())
    wanted = {
        "image-mac": enclave.image.mac,
        "initfs-mac": enclave.initfs.files[".ROOT_MAC"],
        "initfs-manifest": enclave.initfs.files["manifest.json"],
        "config-keys": enclave.configured.files[configure.CONFIG_KEYS],
        "warnings": enclave.configured.files[configure.WARNINGS],
    }
    digest = await create_digest(CreateDigest(FileEntry(*item) for item in sorted(wanted.items())))
    contents = await get_digest_contents(digest)
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
    warnings = [
        *(str(Problem.from_json(one)) for one in json.loads(read["warnings"])),
        *map(str, security_warnings(measured)),
    ]
    if (
        signed.by_test_key
        and not measured["debuggable"]
        and measured["mrsigner"] != PUBLIC_TEST_MRSIGNER
    ):
        warnings.append(
            "a release enclave is signed with the toolchain's test key, which everybody has\n"
            "  hint: name a key of your own with [occlum].sign_key_file or [occlum].signer"
        )
    return MeasurementRecord(to_bytes(measured), tuple(warnings))


# Not memoised, so that an instance that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def package_enclave(
    field_set: EnclaveFieldSet, places: DistPlaces, run_id: RunId
) -> BuiltPackage:
    LOADED.require_unchanged(run_id)
    sgx_mode, sign = field_set.sgx_mode.value or "HW", field_set.sign.value
    output = field_set.output_path.in_dist(places)
    with enclave_errors(field_set.address):
        enclave = await measured_enclave(EnclaveRequest(field_set.address))
        measured = await record_measurement(
            MeasurementRequest(
                field_set.address,
                sgx_mode,
                field_set.edmm.value,
                field_set.with_newline.value,
                sign,
            )
        )
        _check(field_set, measured, enclave, os.path.join(places.dist_dir, output))
        if field_set.builder.value == "occlum":
            await compare_builds(CompareRequest(field_set.address), **implicitly())
    instance = await lay_out_instance(InstanceRequest(field_set.address, sgx_mode, sign))
    small = {
        MEASUREMENT: measured.content,
        "image.digest": f"sha256:{enclave.root.name}\n".encode(),
    }
    digests = [
        await create_digest(CreateDigest(FileContent(*item) for item in sorted(small.items())))
    ]
    names = sorted(small)
    await sync_tree(places, f"{output}/{INSTANCE}", instance.tree, packed=instance.packed)
    manifest = f"{output}/manifest.json"
    sync_file(places, manifest, enclave.root.manifest.full)
    if sign and enclave.image_type == ENCRYPTED:
        with enclave_errors(field_set.address):
            archive_in_dist(places, output, instance)
    elif sign:
        archive = await archive_instance(
            ArchiveRequest(instance.input, INSTANCE, str(field_set.address))
        )
        digests.append(archive.digest)
        names.append(f"{INSTANCE}.tar.gz")
    merged = await merge_digests(MergeDigests(digests))
    return BuiltPackage(
        await add_prefix(AddPrefix(merged, output)),
        (
            *(BuiltPackageArtifact(f"{output}/{name}") for name in names),
            BuiltPackageArtifact(None, (f"Wrote {places.shown(manifest)}",)),
        ),
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
        json.loads(enclave.root.manifest.full),
    )


def _last(path: str) -> bytes | None:
    """What an earlier run left; only for telling what has changed since."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), UnionRule(PackageFieldSet, EnclaveFieldSet))
