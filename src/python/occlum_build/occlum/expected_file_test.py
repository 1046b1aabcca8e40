"""The file with an expected measurement: what it tells by itself, and mistakes in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.expected import (
    check_measurement,
    differences,
    expected_bytes,
    read_expected,
    with_entries,
)

NAME = "app/app.measurement.json"
IMAGE = {
    "schema": 1,
    "entries": [
        {"path": "/", "type": "dir", "mode": "0755"},
        {"path": "/bin/app", "type": "file", "mode": "0755", "sha256": "aa", "size": 2},
        {"path": "/bin/sh", "type": "symlink", "mode": "0777", "target": "busybox"},
    ],
}


def made(image: Any = IMAGE, **changes: Any) -> dict[str, Any]:
    """A measurement with entries; `image_={...}` and so on are changes of a section of inputs."""
    inputs: dict[str, Any] = {
        "image": {"type": "integrity-only", "digest": "sha256:aa"},
        "initfs": {"/": "dir 0755", "/bin/init": "file 0755 aa"},
        "config": {"$.metadata.version_number": 0, "$.env.default[0]": "A=1"},
        "toolchain": {"version": "0.31.0", "libos": "sha256:aa", "pal": "sha256:bb"},
        "settings": {"sgx_mode": "HW", "edmm": False, "builtin_config_bytes": 48},
    }
    for name in [one for one in changes if one.endswith("_")]:
        inputs[name[:-1]] = {**inputs[name[:-1]], **changes.pop(name)}
    measured = {
        "schema": 1,
        **{"mrenclave": "11" * 32, "mrsigner": "22" * 32, "debuggable": True},
        **{"isv_prod_id": 0, "isv_svn": 0, "date": "19700101"},
        **{"image_mac": "aa", "initfs_mac": "bb", "attributes": {"flags": "04", "xfrm": "03"}},
        **changes,
        "inputs": inputs,
    }
    return with_entries(measured, image)


def failure(expected: dict[str, Any], found: dict[str, Any], write: str = "") -> list[str]:
    with pytest.raises(OcclumError) as error:
        check_measurement(expected, found, NAME, write)
    return str(error.value).splitlines()


def test_what_is_as_expected() -> None:
    check_measurement(made(), made(), NAME)
    written = expected_bytes(made(), None)
    assert read_expected(written, NAME) == made()


def test_every_kind_of_difference_is_told_by_the_file_alone() -> None:
    image = json.loads(json.dumps(IMAGE))
    image["entries"][0]["mode"] = "0700"
    image["entries"][1]["sha256"] = "bb"
    image["entries"][2] = {"path": "/bin/tool", "type": "file", "mode": "0644", "sha256": "cc"}
    other = made(
        image,
        mrenclave="33" * 32,
        mrsigner="44" * 32,
        isv_prod_id=7,
        isv_svn=1,
        debuggable=False,
        attributes={"flags": "06", "xfrm": "03"},
        image_mac="cc",
        image_={"digest": "sha256:bb"},
        initfs_={"/bin/init": "file 0755 bb"},
        config_={"$.metadata.version_number": 1},
        toolchain_={"libos": "sha256:cc", "pal": "sha256:dd"},
        settings_={"sgx_mode": "SIM"},
    )
    assert failure(made(), other, "./pants x") == [
        f"{NAME}: MRENCLAVE is {'33' * 32}, not {'11' * 32} as expected",
        "  hint: what differs from the file:",
        "    enclave attributes.flags: 04 -> 06",
        "    enclave debuggable: true -> false",
        "    enclave isv_prod_id: 0 -> 7",
        "    enclave isv_svn: 0 -> 1",
        f"    enclave mrsigner: {'22' * 32} -> {'44' * 32}",
        "    toolchain libos: sha256:aa -> sha256:cc",
        "    toolchain pal: sha256:bb -> sha256:dd",
        "    setting sgx_mode: HW -> SIM",
        "    config $.metadata.version_number: 0 -> 1",
        "    initfs /bin/init: file 0755 aa -> file 0755 bb",
        "    image digest: sha256:aa -> sha256:bb",
        "    image entry /: dir 0755 -> dir 0700",
        "    image entry /bin/app: file 0755 aa -> file 0755 bb",
        "    image entry /bin/sh: removed, was symlink 0777 busybox",
        "    image entry /bin/tool: added, file 0644 cc",
        "  where that is meant, write it anew: ./pants x",
    ]


def test_what_is_not_part_of_mrenclave_counts_too() -> None:
    lines = failure(made(), made(date="20260101"))
    assert lines[0] == f"{NAME}: MRENCLAVE is as expected, and other values are not: 1"
    assert lines[2:] == ["    enclave date: 19700101 -> 20260101"]


def test_any_signer() -> None:
    anyone = made(mrsigner=None)
    check_measurement(anyone, made(), NAME)
    assert differences(made(), anyone) == [f"enclave mrsigner: {'22' * 32} -> null"]
    assert json.loads(expected_bytes(made(), anyone))["mrsigner"] is None
    assert json.loads(expected_bytes(made(), made(mrsigner="44" * 32))) == made()


def test_macs_are_told_where_no_input_tells() -> None:
    assert differences(made(), made(image_mac="cc")) == ["enclave image_mac: aa -> cc"]
    assert failure(made(), made(mrenclave="33" * 32))[2:] == ["    no recorded input"]


def test_a_measurement_without_entries() -> None:
    plain = made(None)
    check_measurement(plain, made(), NAME)
    lines = failure(plain, made(mrenclave="33" * 32, image_={"digest": "sha256:bb"}))
    assert lines[2:] == [
        "    image digest: sha256:aa -> sha256:bb",
        "    image entries: not told, as the file does not have those that it expects",
    ]


def test_a_long_list_is_cut() -> None:
    many = {"entries": [{"path": f"/{n}", "type": "dir", "mode": "0755"} for n in range(99)]}
    assert failure(made(), made(many))[-1] == "    ... and 52 more"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{\n "a": 1,\n<<<<<<< HEAD\n', f"{NAME}:3:1: not JSON"),
        (b"\xff", f"{NAME}: not JSON"),
        (b"[]", f"{NAME}: the document is a list, not an object"),
        (b'{\n "inputs": {},\n "schema": 2\n}', f"{NAME}:3: its schema is 2, not 1\n  hint: a ne"),
        (expected_bytes(made(image_entries={"/": 1}, image=None), None), "image_entries./ is"),
        (expected_bytes(made(mrsigner=1), None), f"{NAME}: mrsigner is a whole number"),
    ],
)  # fmt: skip
def test_a_file_that_is_none(data: bytes, message: str) -> None:
    with pytest.raises(OcclumError) as error:
        read_expected(data, NAME, "./pants x")
    assert message in str(error.value)
    assert str(error.value).endswith("write it anew: ./pants x")
    assert len(error.value.problems) == 1


def test_one_entry_a_line() -> None:
    lines = expected_bytes(made(), None).decode().splitlines()
    assert '  "/bin/app": "file 0755 aa",' in lines
    assert '  "/bin/sh": "symlink 0777 busybox"' in lines
    assert [line for line in lines if line.startswith(' "')] == sorted(
        line for line in lines if line.startswith(' "')
    )
