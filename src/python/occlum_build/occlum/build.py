"""`occlum build` of an instance directory: all steps, and the new build in place of the old one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.checks.allowed import sort_out
from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.files.bounds import ENCLAVE_BYTES, MANIFEST_BYTES, STATE_BYTES
from occlum_build.files.change import Change
from occlum_build.files.reading import content_of, read_file
from occlum_build.image.manifest import canonical_json
from occlum_build.occlum import instance as layout
from occlum_build.occlum import measurement
from occlum_build.occlum.configure import Configured, configure
from occlum_build.occlum.earlier import MEASUREMENT, read_earlier
from occlum_build.occlum.expected import (
    check_measurement,
    expected_bytes,
    read_expected,
    with_entries,
)
from occlum_build.occlum.inputs import BuildRequest, Inputs, read_inputs, read_key
from occlum_build.occlum.prebuilt import copy_prebuilt
from occlum_build.occlum.seal import MANIFEST, ROOT, ROOT_MAC, hide, seal
from occlum_build.occlum.signing import finish_signing, open_signer, public_test_mrsigner
from occlum_build.sefs.keys import UserKey
from occlum_build.sgx.measurement import read_sigstruct

_MODE = 0o644
_UPDATE = "--update-expected"
# What is made in the stage, and where it will be.
_PLACES = {
    "initfs_tree": "initfs",
    "image": "build/mount",
    "initfs": "build/initfs",
    "fresh": ".",
}


@dataclass(frozen=True)
class Built:
    """The content of measurement.json; `unchanged`: all was there already."""

    measurement: Mapping[str, Any]
    unchanged: bool
    warnings: tuple[Problem, ...]


def build(request: BuildRequest) -> Built:
    """Build an instance; the old build stays as it is unless everything succeeds.

    Raises OcclumError: `instance`, `toolchain`, `usage`, `mrenclave`, and those of the steps.
    """
    with layout.writing(request.instance), Change() as change:
        layout.read_status(request.instance)
        if request.buildin_image_key and request.image_key is None:
            raise OcclumError("usage", "--buildin-image-key needs --image-key")
        key = read_key(request)
        try:
            with layout.as_problem(request.instance):
                return _Build(request, change, key).run()
        finally:
            if key is not None:
                key.wipe()


class _Build:
    """One build; its stage has the parts that `build/` is made of."""

    def __init__(self, request: BuildRequest, change: Change, key: UserKey | None) -> None:
        self._request = request
        self._key = key
        self._settings = request.settings
        self._instance = request.instance
        self._change = change
        self._stage = change.stage_in(request.instance)
        for part, place in _PLACES.items():
            change.names.add(self._part(part), self._instance / place)
        self._last = read_earlier(request.instance, with_manifest=False).record
        self._expected: tuple[bytes, Mapping[str, Any] | None] = (b"", None)
        self._found: list[Problem] = []

    def run(self) -> Built:
        # First, so that a wrong key or file is told before long work.
        self._expected = self._read_expected()
        signer = open_signer(self._request.signer) if self._request.signer else None
        signer_id = signer.mrsigner if signer is not None else None
        inputs = read_inputs(self._request, self._key, self._part("initfs_tree"))
        self._found += inputs.found
        if self._last is not None and self._is_up_to_date(self._last, inputs, signer_id):
            self._check_expected(self._last, inputs)
            built = self._finished(self._last, inputs, unchanged=True)
            if self._request.buildin_image_key:
                hide(self._instance / "build/initfs" / ROOT)
            self._reset_run()
            self._change.commit()
            return built
        self._seal(inputs)
        configured = self._configure(inputs)
        signed = None
        if signer is not None:
            signed = finish_signing(configured.libos, configured.unsigned, signer)
        sigstruct = configured.unsigned.sigstruct if signed is None else read_sigstruct(signed)
        macs = [self._mac(name) for name in ("image", "initfs")]
        measured = measurement.record(inputs.described, sigstruct, *macs)
        self._check_expected(measured, inputs)
        self._assemble(inputs, configured, signed)
        built = self._finished(measured, inputs, unchanged=False)
        self._install(measured, inputs, is_signed=signed is not None)
        return built

    def _part(self, name: str) -> Path:
        return self._stage / name

    def _mac(self, name: str) -> str:
        return read_file(self._part(name) / ROOT_MAC, STATE_BYTES).decode("ascii")

    def _built_mac(self, name: str) -> str:
        path = self._instance / "build" / name / ROOT_MAC
        return read_file(path, STATE_BYTES).decode("ascii", "replace")

    def _is_up_to_date(
        self, last: Mapping[str, Any], inputs: Inputs, signer_id: str | None
    ) -> bool:
        """Is the build that is there made of the same, and is what can be checked quickly whole?"""
        signed = self._instance / "build" / layout.SIGNED_LIBOS
        if self._request.force or signer_id is None or not signed.is_file():
            return False
        if layout.read_status(self._instance) != layout.BUILT:
            return False
        if last["inputs"] != json.loads(json.dumps(inputs.described)):
            return False
        try:
            measured = measurement.record(
                inputs.described,
                read_sigstruct(read_file(signed, ENCLAVE_BYTES)),
                *(self._built_mac(name) for name in ("mount", "initfs")),
            )
        except OcclumError:
            return False
        wanted = (self._settings.date, signer_id)
        return measured == last and (measured["date"], measured["mrsigner"]) == wanted

    def _seal(self, inputs: Inputs) -> None:
        image, initfs = self._part("image"), self._part("initfs")
        image.mkdir()
        initfs.mkdir()
        if inputs.image_manifest is None:
            copy_prebuilt(self._instance / "build/mount", image)
        else:
            manifest = self._part(MANIFEST)
            manifest.write_bytes(canonical_json(inputs.image_manifest))
            source = self._instance / "image"
            sealed = seal(
                source,
                image,
                user_key=self._key,
                manifest=manifest,
                planned=inputs.image_files,
            )
            self._found += sealed.warnings
        seal(self._part("initfs_tree"), initfs, is_secret=self._request.buildin_image_key)

    def _configure(self, inputs: Inputs) -> Configured:
        libos = inputs.toolchain.read("libos")
        macs = self._mac("image"), self._mac("initfs")
        with content_of(inputs.toolchain.files["libos"], "enclave-elf", "builtin-config"):
            configured = configure(inputs.config, libos, *macs, self._settings)
        self._found += configured.warnings
        return configured

    def _read_expected(self) -> tuple[bytes, Mapping[str, Any] | None]:
        """The file that is expected of the build, None where there is none or it is made anew."""
        path, is_updated, data = (
            self._request.expected_measurement,
            self._request.update_expected,
            b"",
        )
        if path is None:
            return b"", None
        try:
            if not os.path.lexists(path):
                hint = f"write it: {_UPDATE}"
                raise OcclumError(
                    "measurement", "there is no such file", place=Place(str(path)), hint=hint
                )
            data = read_file(path, MANIFEST_BYTES, code="measurement")
            return data, read_expected(data, str(path), _UPDATE)
        except OcclumError:
            if is_updated:  # it may be a conflict of a merge
                return data, None
            raise

    def _check_expected(self, measured: Mapping[str, Any], inputs: Inputs) -> None:
        path = self._request.expected_measurement
        if path is not None:
            made, (data, expected) = with_entries(measured, inputs.image_manifest), self._expected
            content = expected_bytes(made, expected)
            if not self._request.update_expected and expected is not None:
                check_measurement(expected, made, str(path), _UPDATE)
            elif content != data:
                self._change.write(path, content)
        if not self._request.expected_mrenclave:
            return
        has_image = inputs.image_manifest is not None
        measurement.check_expected(
            self._request.expected_mrenclave,
            measured,
            lambda: read_earlier(self._instance, with_manifest=has_image),
            inputs.image_manifest,
        )

    def _assemble(self, inputs: Inputs, configured: Configured, signed: bytes | None) -> None:
        planned = layout.plan_build(
            inputs.toolchain.version,
            self._settings.sgx_mode,
            inputs.image.type,
            signed=signed is not None,
        )
        files = configured.files()
        parts: dict[str, Path | bytes] = {
            "libos": configured.libos,
            "pal": inputs.toolchain.read("pal"),
            "enclave_xml": configured.enclave_xml,
            "sys_json": configured.sys_json,
            "protected": configured.protected,
            "unsigned": files["unsigned.json"],
            "signing_data": files["signing-data"],
            "signed": signed or b"",
        }
        for name in ("image", "initfs"):
            parts[name] = self._part(name) / ROOT
            parts[f"{name}_mac"] = self._part(name) / ROOT_MAC
        layout.assemble(planned, parts, self._change.part(self._instance / "build"))

    def _install(self, measured: Mapping[str, Any], inputs: Inputs, *, is_signed: bool) -> None:
        """Replace the old build, and all that tells of it, as one change."""
        self._reset_run()
        status = layout.BUILT if is_signed else layout.INITIALIZED
        files = {
            MEASUREMENT: measurement.to_bytes(measured),
            layout.SGX_MODE: f"{self._settings.sgx_mode}\n".encode(),
            layout.STATUS: f"{status}\n".encode(),
        }
        if inputs.image_manifest is not None:
            files[MANIFEST] = canonical_json(inputs.image_manifest)
        for name, content in files.items():
            self._change.write(self._instance / name, content, _MODE)
        self._change.commit()

    def _reset_run(self) -> None:
        """As `occlum build` always does, empty what enclaves have written at run time."""
        fresh = self._part("fresh")
        fresh.mkdir()
        layout.fresh_run_directory(fresh)
        (fresh / "run").rename(self._change.part(self._instance / "run"))

    def _finished(self, measured: Mapping[str, Any], inputs: Inputs, *, unchanged: bool) -> Built:
        weak = measurement.security_warnings(
            measured,
            own_init=inputs.own_init,
            test_mrsigner=public_test_mrsigner(self._request.toolchain),
        )
        _, told = sort_out([*self._found, *weak], self._request.allowed)
        return Built(measured, unchanged, tuple(told))
