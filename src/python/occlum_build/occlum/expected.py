"""The measurement that an enclave is to have: a file that is kept with the source.

It is a `measurement.json` with the image's entries in it, so that what differs can be told by the
file alone. docs/enclave.md, section "Checking it in CI", describes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.occlum.earlier import from_bytes
from occlum_build.occlum.measurement import (
    changed_inputs,
    changes_between,
    describe_entries,
    first_of,
    to_bytes,
)
from occlum_build.shown import Lines

ENTRIES = "image_entries"
CODE = "expected"
# What is told otherwise, or comes of an input and is told only where none of these differs.
_ELSEWHERE = ("schema", "inputs", ENTRIES, "mrenclave")
_DERIVED = ("image_mac", "initfs_mac")
_SIGNER = "mrsigner"


def with_entries(measured: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """A measurement with the entries of its image; of one that was built before, without."""
    if manifest is None:
        return dict(measured)
    return {**measured, ENTRIES: describe_entries(manifest)}


def read_expected(data: bytes, name: str, write: str = "") -> dict[str, Any]:
    """The content of the file; OcclumError `measurement` for what is none. `write`: makes it."""
    try:
        return from_bytes(data, name)
    except OcclumError as error:
        told = [
            replace(
                one, hint="; ".join(filter(None, (one.hint, write and f"write it anew: {write}")))
            )
            for one in error.problems
        ]
        raise OcclumError.of(told) from None


def expected_bytes(made: Mapping[str, Any], old: Mapping[str, Any] | None) -> bytes:
    """The bytes of the file for what was made of `with_entries`; any signer stays any signer."""
    if old is not None and old[_SIGNER] is None:
        return to_bytes({**made, _SIGNER: None})
    return to_bytes(made)


def differences(expected: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """What differs, one a line; `mrsigner` null is expected of any signer."""
    before, after = _of_enclave(expected), _of_enclave(made)
    if expected[_SIGNER] is None:
        after[_SIGNER] = None
    lines = [str(one) for one in changes_between("enclave", before, after)]
    lines += map(str, changed_inputs(expected, made))
    if ENTRIES in expected and ENTRIES in made:
        entries = changes_between("image entry", expected[ENTRIES], made[ENTRIES])
        lines += map(str, entries)
    if not lines:
        macs = ({name: one.get(name) for name in _DERIVED} for one in (expected, made))
        lines = [str(one) for one in changes_between("enclave", *macs)]
    return lines


def check_measurement(
    expected: Mapping[str, Any], made: Mapping[str, Any], name: str, write: str = ""
) -> None:
    """OcclumError `expected`, with all that differs, unless what was made is as the file says.

    `made` is of `with_entries`; `name` is the file and `write` what makes it anew, in errors.
    """
    lines = differences(expected, made)
    found, due = made["mrenclave"], expected["mrenclave"]
    if found != due:
        message = f"MRENCLAVE is {found}, not {due} as expected"
    elif lines:
        message = f"MRENCLAVE is as expected, and other values are not: {len(lines):,}"
    else:
        return
    if ENTRIES not in expected and ENTRIES in made:
        lines.append("image entries: not told, as the file does not have those that it expects")
    hint = Lines(
        "what differs from the file:",
        *(f"    {line}" for line in first_of(lines) or ["no recorded input"]),
        *([f"  where that is meant, write it anew: {write}"] if write else []),
    )
    raise OcclumError(CODE, message, place=Place(name), hint=hint)


def _of_enclave(record: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of what a measurement says beside its inputs."""
    names = {name for name in record if name not in (*_ELSEWHERE, *_DERIVED)}
    return {name: value for one in names for name, value in _leaves(one, record[one])}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"{name}.{key}", one) for key, one in value.items())
    else:
        yield name, value
