from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import NOTE, OcclumError
from occlum_build.occlum import measurement
from occlum_build.occlum.earlier import Earlier, from_bytes, read_earlier
from occlum_build.occlum.signing import PUBLIC_TEST_MRSIGNER


def record(**changes: Any) -> dict[str, Any]:
    """A record; `image={...}` and so on replace a section of the inputs."""
    inputs: dict[str, Any] = {
        "image": {"type": "encrypted", "digest": "sha256:aa"},
        "initfs": {"/": "dir 0755", "/bin/init": "file 0755 aa"},
        "config": {"$.a": 1, "$.b": "x"},
        "toolchain": {"version": "0.31.0", "libos": "sha256:aa"},
        "settings": {"sgx_mode": "HW", "edmm": False, "builtin_config_bytes": 48},
    }
    inputs.update((name, changes.pop(name)) for name in list(changes) if name in inputs)
    values = {"mrenclave": "11" * 32, "mrsigner": "22" * 32, "debuggable": False}
    return {"schema": 1, **values, **changes, "inputs": inputs}


def manifest(**content: str) -> dict[str, Any]:
    entries = [
        {"path": f"/{name}", "type": "file", "mode": "0644", "sha256": sha256}
        for name, sha256 in content.items()
    ]
    return {"schema": 1, "entries": entries}


def test_explain_names_every_kind_of_input() -> None:
    new = record(
        config={"$.a": True, "$.c": ["long" * 40]},
        toolchain={"version": "0.31.0", "libos": "sha256:bb"},
        settings={"sgx_mode": "HW", "edmm": True, "builtin_config_bytes": 48},
        initfs={"/": "dir 0755"},
        image={"type": "encrypted", "digest": "sha256:bb"},
    )
    lines = measurement.explain(record(), new, manifest(a="1", b="1"), manifest(b="2", c="1"))
    assert lines == [
        "toolchain libos: sha256:aa -> sha256:bb",
        "setting edmm: false -> true",
        "config $.a: 1 -> true",
        "config $.b: removed, was x",
        f'config $.c: added, ["{("long" * 40)[:75]}...',
        "initfs /bin/init: removed, was file 0755 aa",
        "image digest: sha256:aa -> sha256:bb",
        "image entry /a: removed, was file 0644 1",
        "image entry /b: file 0644 1 -> file 0644 2",
        "image entry /c: added, file 0644 1",
    ]


def test_explain_is_cut_and_says_so() -> None:
    many = manifest(**{f"f{index:03}": "1" for index in range(60)})
    lines = measurement.explain(record(), record(), manifest(), many)
    assert len(lines) == 51 and lines[-1] == "... and 10 more"
    assert measurement.explain(record(), record()) == ["no recorded input differs"]


def test_check_expected() -> None:
    measurement.check_expected("11" * 32, record(), pytest.fail)
    with pytest.raises(OcclumError, match=r"no earlier measurement\.json"):
        measurement.check_expected("33" * 32, record())
    other = Earlier(record(mrenclave="44" * 32, config={}))
    with pytest.raises(OcclumError, match=r"which has another one:\n +config \$\.a: added"):
        measurement.check_expected("33" * 32, record(), lambda: other)


def test_bytes_and_back() -> None:
    assert from_bytes(measurement.to_bytes(record())) == record()
    for broken in (b"{", b"[]", b"{}", b'{"schema": 2, "inputs": {}}', b'{"schema": 1}', b"\xff"):
        with pytest.raises(OcclumError, match=r"^measurement\.json"):
            from_bytes(broken)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mrenclave": None}, "mrenclave is null, not a string"),
        ({"inputs": []}, "inputs is a list, not an object"),
        ({"inputs": {"initfs": {}}}, "inputs has no 'image'"),
        ({"inputs": {"image": [], "initfs": {}}}, "inputs.image is a list, not an object"),
        ({"inputs": {"image": {"type": "x"}, "initfs": None}}, "inputs.initfs is null"),
        (
            {"inputs": {"image": {"type": "x"}, "initfs": {}, "toolchain": None}},
            "inputs.toolchain is null, not an object",
        ),
    ],
)
def test_a_record_of_another_shape(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(OcclumError) as raised:
        from_bytes(json.dumps({**record(), **changed}).encode())
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (None, "entries is null, not a list"),
        ([1], "entries[0] is a whole number, not an object"),
        ([{"type": "dir", "mode": "0755"}], "entries[0] has no 'path'"),
        ([{"path": "/", "type": "file", "mode": "0755", "sha256": 1}], "entries[0].sha256 is a"),
    ],
)
def test_what_cannot_be_compared_with_is_told_and_is_no_error(
    tmp_path: Path, entries: object, message: str
) -> None:
    (tmp_path / "measurement.json").write_text("[" * 100_000)
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": entries}))
    with pytest.raises(OcclumError) as raised:
        measurement.check_expected(
            "33" * 32, record(), lambda: read_earlier(tmp_path), manifest(a="1")
        )
    problem = raised.value.problems[0]
    assert problem.code == "mrenclave"
    head, first, second = problem.hint.split("\n    ")
    assert head == "there is no earlier measurement.json to compare with"
    assert first.startswith("not compared with: measurement.json:1: nested more than 64 levels")
    assert second.startswith(f"not compared with: manifest.json: {message}")


def test_what_is_earlier_is_read_within_bounds_and_without_waiting(tmp_path: Path) -> None:
    assert read_earlier(tmp_path) == Earlier()
    os.mkfifo(tmp_path / "measurement.json")
    with open(tmp_path / "manifest.json", "wb") as file:
        file.truncate(6 << 30)
    first, second = read_earlier(tmp_path).unreadable
    assert first == "measurement.json cannot be read: it is not a regular file"
    assert second.startswith("manifest.json cannot be read: it has more than the ")
    assert len(read_earlier(tmp_path, with_manifest=False).unreadable) == 1


def test_warnings() -> None:
    def codes(measured: dict[str, Any]) -> list[str]:
        return [warning.code for warning in measurement.security_warnings(measured)]

    open_image = {"type": "integrity-only", "digest": "sha256:aa"}
    assert codes(record()) == []
    assert codes(record(mrsigner=PUBLIC_TEST_MRSIGNER)) == ["sign-key"]
    assert codes(record(image=open_image)) == ["image-type"]
    debug = record(debuggable=True, mrsigner=PUBLIC_TEST_MRSIGNER, image=open_image)
    assert codes(debug) == []
    assert codes(record(initfs={"/etc/image_key": "file 0600"})) == ["image-key"]


def test_note_of_a_debug_enclave() -> None:
    assert measurement.debug_note(record(mrsigner=PUBLIC_TEST_MRSIGNER)) == []
    (own,) = measurement.debug_note(record(debuggable=True))
    assert (own.code, own.severity) == ("debug", NOTE)
    assert own.message == "this is a debug enclave: its memory can be read from outside"
    for mrsigner in (PUBLIC_TEST_MRSIGNER, "77" * 32):
        (found,) = measurement.debug_note(record(debuggable=True, mrsigner=mrsigner), "77" * 32)
        assert found.message == (
            f"{own.message}, and it is signed with a test key that everybody has"
        )


def test_warnings_that_depend_on_the_toolchain() -> None:
    def codes(measured: dict[str, Any]) -> list[str]:
        found = measurement.security_warnings(measured, own_init="ab", test_mrsigner="77" * 32)
        return [warning.code for warning in found]

    assert codes(record(mrsigner="77" * 32)) == ["sign-key"]
    assert codes(record(mrsigner=None)) == []
    own = {"/bin/init": "file 0755 ab"}
    assert codes(record(initfs=own)) == ["image-key-missing"]
    assert codes(record(initfs={**own, "/etc/image_key": "file 0600"})) == ["image-key"]
    assert codes(record(initfs=own, image={"type": "integrity-only"})) == ["image-type"]
    assert codes(record(initfs={"/bin/init": "file 0755 cd"})) == []
