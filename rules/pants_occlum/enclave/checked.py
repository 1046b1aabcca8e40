"""An enclave with its measurement, checked with its image; what is found is told once a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileEntry
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest

from occlum_build.checks.enclave import check_enclave, entry_points_of
from occlum_build.errors import Problem
from occlum_build.occlum import configure
from occlum_build.occlum.measurement import (
    ImageIdentity,
    debug_note,
    has_own_init,
    inputs_of,
    record,
    security_warnings,
    to_bytes,
)
from occlum_build.sefs.modes import lost_modes
from occlum_build.sgx.config import check, parse_json
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents, resolve_target
from pants_occlum.enclave import target_types as fields
from pants_occlum.enclave.nodes import EnclaveRequest, MeasuredEnclave, measured_enclave
from pants_occlum.enclave.signing import SignedEnclave, SignRequest, sign_enclave
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.planned import look_into
from pants_occlum.problems import enclave_errors
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class CheckedEnclaveRequest:
    address: Address


@dataclass(frozen=True)
class CheckedEnclave:
    """`measurement`: the content of measurement.json; `entry_points`: those of Occlum.json.

    `told` is what was found of it and is not allowed.
    """

    measurement: bytes
    entry_points: tuple[str, ...]
    told: tuple[Problem, ...] = ()


@rule(desc="Check an enclave")
async def check_enclave_of(
    request: CheckedEnclaveRequest, occlum: OcclumSubsystem
) -> CheckedEnclave:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "an enclave"), **implicitly()
    )
    target = wrapped.target
    enclave = await measured_enclave(EnclaveRequest(request.address))
    sign = SignRequest(request.address, target[fields.SignField].value)
    signed = await sign_enclave(sign, **implicitly())
    wanted = {
        "image-mac": enclave.image.mac,
        "initfs-mac": enclave.initfs.files[".ROOT_MAC"],
        "initfs-manifest": enclave.initfs.files["manifest.json"],
        "config": enclave.configured.files[configure.OCCLUM_JSON],
        "config-keys": enclave.configured.files[configure.CONFIG_KEYS],
        "warnings": enclave.configured.files[configure.WARNINGS],
    }
    digest = await create_digest(CreateDigest(FileEntry(*item) for item in sorted(wanted.items())))
    contents = await get_digest_contents(digest)
    read = {file.path: file.content for file in contents}
    inputs = _inputs(target, enclave, read)
    measured = record(
        inputs, signed.sigstruct, read["image-mac"].decode(), read["initfs-mac"].decode()
    )
    init = enclave.toolchain.files.get("init")
    own_init = init.digest.fingerprint if init is not None else ""
    document = parse_json(read["config"], configure.OCCLUM_JSON)
    config = check(document, edmm=_settings(target).is_for_edmm).config
    problems = [Problem.from_json(one) for one in json.loads(read["warnings"])]
    problems += lost_modes((one.path, one.kind, one.mode) for one in enclave.root.tree)
    if target[fields.EnclaveBootField].value is None:  # else it is not the image that is mounted
        found = await look_into(
            enclave.root.plan,
            str(request.address),
            lambda root: check_enclave(
                root,
                document,
                config,
                mounts_image=has_own_init(inputs, own_init),
                of_image=enclave.root.plan.findings,
            ),
        )
        problems += [_without_place(one) for one in found]
    test_mrsigner = _test_mrsigner(signed)
    problems += security_warnings(measured, own_init=own_init, test_mrsigner=test_mrsigner)
    problems += debug_note(measured, test_mrsigner)
    findings = findings_of(target, problems, occlum)
    await tell(findings, **implicitly())
    with enclave_errors(request.address):
        findings.raise_errors()
    return CheckedEnclave(to_bytes(measured), tuple(entry_points_of(config)), findings.told)


def _inputs(
    target: Target, enclave: MeasuredEnclave, read: Mapping[str, bytes]
) -> dict[str, object]:
    roles = ("libos", "pal", "occlum-run")
    return inputs_of(
        ImageIdentity(
            enclave.image_type,
            read["image-mac"].decode(),
            enclave.root.name,
            enclave.key_fingerprint,
        ),
        json.loads(read["initfs-manifest"]),
        json.loads(read["config-keys"]),
        {role: enclave.toolchain.files[role].digest.fingerprint for role in roles},
        enclave.version,
        _settings(target),
    )


def _settings(target: Target) -> configure.Settings:
    return configure.Settings(
        target[fields.SgxModeField].value or "HW",
        edmm=target[fields.EdmmField].value,
        with_newline=target[fields.BuiltinConfigNewlineField].value,
    )


def _test_mrsigner(signed: SignedEnclave) -> str:
    return signed.sigstruct.mrsigner.hex() if signed.by_test_key else ""


def _without_place(problem: Problem) -> Problem:
    """The merged Occlum.json is a file that nobody wrote: its JSON paths tell more than lines."""
    place = problem.place
    is_merged = place is not None and place.file == configure.OCCLUM_JSON
    return replace(problem, place=None) if is_merged else problem


def rules() -> Iterable[Rule]:
    return collect_rules()
