"""`package` for `occlum_enclave`: the instance, its archive and its measurement."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact
from pants.engine.fs import AddPrefix, CreateDigest, FileContent, MergeDigests
from pants.engine.rules import Rule
from pants.engine.target import FieldSet

from occlum_build.occlum.earlier import MEASUREMENT, read_earlier
from occlum_build.occlum.initfs import ENCRYPTED
from occlum_build.occlum.measurement import check_expected
from occlum_build.shown import listed
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    merge_digests,
)
from pants_occlum.dist.maker import Maker
from pants_occlum.dist.memory import glance_at
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.dist.packaged import Packaged
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import StoredRequest, check_stored
from pants_occlum.dist.sync import sync_tree
from pants_occlum.enclave import target_types as fields
from pants_occlum.enclave.checked import (
    CheckedEnclaveRequest,
    check_enclave_of,
)
from pants_occlum.enclave.expected import expected_of
from pants_occlum.enclave.instance import (
    ARCHIVE,
    INSTANCE,
    ArchiveRequest,
    Instance,
    InstanceRequest,
    archive_in_dist,
    archive_input,
    archive_instance,
    lay_out_instance,
)
from pants_occlum.enclave.nodes import EnclaveRequest, MeasuredEnclave, measured_enclave
from pants_occlum.enclave.occlum_builder import CompareRequest, compare_builds
from pants_occlum.enclave.to_seal import seal_in
from pants_occlum.image.report import REPORT, write_report
from pants_occlum.image.target_types import ReportField
from pants_occlum.image.written import sync_manifest
from pants_occlum.logs import logger_of
from pants_occlum.problems import enclave_errors
from pants_occlum.sysroot.glance import Glance

logger = logger_of(__name__)


@dataclass(frozen=True)
class EnclaveFieldSet(FieldSet):
    required_fields = (fields.EnclaveImageField,)

    image: fields.EnclaveImageField
    sgx_mode: fields.SgxModeField
    sign: fields.SignField
    expected_mrenclave: fields.ExpectedMrenclaveField
    expected_measurement: fields.ExpectedMeasurementField
    builder: fields.BuilderField
    report: ReportField
    output_path: DistPathField


async def _sync_instance(
    places: DistPlaces, name: str, instance: Instance, glance: Glance | None, of: str
) -> None:
    to_seal, maker = instance.to_seal, None
    if to_seal is not None:
        maker = Maker(
            to_seal.contents, lambda directory, entries: seal_in(to_seal, directory, entries, of)
        )
    await sync_tree(places, name, instance.tree, packed=instance.packed, glance=glance, maker=maker)


async def _package(
    field_set: EnclaveFieldSet, places: DistPlaces, glance: Glance | None
) -> Packaged:
    sgx_mode, sign = field_set.sgx_mode.value or "HW", field_set.sign.value
    output = field_set.output_path.in_dist(places)
    with enclave_errors(field_set.address):
        expected = await expected_of(field_set.expected_mrenclave, field_set.expected_measurement)
        enclave = await measured_enclave(EnclaveRequest(field_set.address))
        measured = await check_enclave_of(CheckedEnclaveRequest(field_set.address), **implicitly())
        record = json.loads(measured.measurement)
        _check(field_set, record, enclave, os.path.join(places.dist_dir, output))
        expected.check(measured, enclave)
        # Not before the checks, whose errors tell it.
        logger.info("%s: MRENCLAVE %s", field_set.address, record["mrenclave"])
        if field_set.builder.value == "occlum":
            await compare_builds(CompareRequest(field_set.address), **implicitly())
    asked = InstanceRequest(field_set.address, sgx_mode, sign)
    instance = await lay_out_instance(asked)
    small = {
        MEASUREMENT: measured.measurement,
        "image.digest": f"sha256:{enclave.root.name}\n".encode(),
    }
    digests = [
        await create_digest(CreateDigest(FileContent(*item) for item in sorted(small.items())))
    ]
    names = sorted(small)
    if field_set.report.value:
        told = (*enclave.root.told, *measured.told)
        digests.append(await write_report(field_set.address, enclave.root, told, record))
        names.append(REPORT)
    of = str(field_set.address)
    await _sync_instance(places, f"{output}/{INSTANCE}", instance, glance, of)
    manifest = sync_manifest(places, output, enclave.root)
    if sign and enclave.image_type == ENCRYPTED:
        archived = await archive_input(asked)
        with enclave_errors(field_set.address):
            archive_in_dist(places, output, archived.digest)
    elif sign:
        archived = await archive_input(asked)
        archive = await archive_instance(
            ArchiveRequest(archived.digest, instance, sgx_mode, str(field_set.address))
        )
        digests.append(archive.digest)
        names.append(ARCHIVE)
    merged = await merge_digests(MergeDigests(digests))
    stored = await check_stored(StoredRequest(merged), **implicitly())
    return Packaged(
        BuiltPackage(
            await add_prefix(AddPrefix(stored.digest, output)),
            (
                *(BuiltPackageArtifact(f"{output}/{name}") for name in names),
                *places.wrote(f"{output}/{INSTANCE}", manifest),
            ),
        ),
        gives=listed(names),
        lacks=_lacks(sign, enclave.image_type == ENCRYPTED),
    )


def _lacks(sign: bool, is_encrypted: bool) -> str:
    """What to do where the archive of the instance is not in the digest."""
    if not sign:
        return f"{ARCHIVE} is made of signed enclaves: leave out `sign=False`"
    if is_encrypted:
        return f"what is encrypted is in no cache, and so in dist/ alone: take {ARCHIVE} there"
    return ""


def _check(
    field_set: EnclaveFieldSet, measured: dict[str, Any], enclave: MeasuredEnclave, output: str
) -> None:
    """Compare MRENCLAVE with the expected one."""
    expected = field_set.expected_mrenclave.value
    if expected is None:
        return
    check_expected(
        expected,
        measured,
        # What an earlier run left, and anybody may have changed.
        lambda: read_earlier(Path(output)),
        json.loads(enclave.root.manifest.full),
    )


# Not memoised, so that an instance that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def package_enclave(field_set: EnclaveFieldSet, places: DistPlaces) -> Packaged:
    instance = f"{field_set.output_path.in_dist(places)}/{INSTANCE}"
    with glance_at(places, instance) as glance:  # while the host is looked at
        return await _package(field_set, places, glance)


def rules() -> Iterable[Rule]:
    return collect_rules()
