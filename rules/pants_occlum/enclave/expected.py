"""What an enclave is expected to come to: the file that its `expected_measurement` names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pants.engine.addresses import Address

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.reading import too_large
from occlum_build.occlum.expected import check_measurement, read_expected, with_entries
from pants_occlum.enclave.checked import CheckedEnclave
from pants_occlum.enclave.nodes import MeasuredEnclave
from pants_occlum.enclave.target_types import ExpectedMeasurementField, ExpectedMrenclaveField
from pants_occlum.invalid import invalid_target
from pants_occlum.project_texts import project_texts

GOAL = "occlum-expect"


@dataclass(frozen=True)
class Expected:
    """The content of the file at a path, None where the field names none."""

    address: Address
    path: str
    record: Mapping[str, Any] | None

    def check(self, found: CheckedEnclave, enclave: MeasuredEnclave) -> None:
        """OcclumError `expected`, with all that differs, unless it is as the file says."""
        if self.record is not None:
            command = f"pants {GOAL} {self.address}"
            check_measurement(self.record, made_of(found, enclave), self.path, command)


def made_of(found: CheckedEnclave, enclave: MeasuredEnclave) -> dict[str, Any]:
    """What an enclave came to, as the file has it."""
    return with_entries(json.loads(found.measurement), json.loads(enclave.root.manifest.full))


async def expected_of(
    mrenclave: ExpectedMrenclaveField, measurement: ExpectedMeasurementField
) -> Expected:
    """What two fields expect. OcclumError for a file that is missing, or is no measurement."""
    address, path = measurement.address, expected_path(measurement)
    if path is None:
        return Expected(address, "", None)
    refuse_both(mrenclave, measurement)
    command = f"pants {GOAL} {address}"
    found = await project_texts([path], MANIFEST_BYTES)
    if found.too_large:
        raise too_large(path, MANIFEST_BYTES, "measurement")
    if path not in found.contents:
        raise OcclumError(
            "measurement",
            f"there is no such file, which the '{measurement.alias}' field names",
            place=Place(path),
            hint=f"write it: {command}",
        )
    return Expected(address, path, read_expected(found.contents[path], path, command))


def expected_path(measurement: ExpectedMeasurementField) -> str | None:
    """The path of the file below the build root, None where the field names none."""
    path = measurement.file_path
    return None if path is None else os.path.normpath(path)


def refuse_both(mrenclave: ExpectedMrenclaveField, measurement: ExpectedMeasurementField) -> None:
    """An error of Pants where both fields are given: two truths would have to agree."""
    if mrenclave.value is not None and measurement.value is not None:
        raise invalid_target(
            f"{measurement.address} has `{mrenclave.alias}` and `{measurement.alias}`: leave the "
            "first one out, as the file of the second one has the MRENCLAVE."
        )
