"""Instances of every kind, made by the library and by the reference, and what is told of them."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings
from occlum_build.occlum.expected import expected_bytes, with_entries
from occlum_build.occlum.fresh import make_instance, plan_fresh
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.signing import KeyFile
from occlum_build.occlum.testing import TESTPROJECTS
from occlum_build.sefs.keys import read_key_file
from occlum_build.sefs.pf_crypto import IntegrityOnly
from occlum_build.sefs.pf_format import (
    ENCRYPTED_PART,
    ENCRYPTED_PART_END,
    ENCRYPTED_PART_OFFSET,
    PLAIN_PART,
)
from occlum_build.verify.rows import AGREES, DIFFERS, UNKNOWN
from occlum_build.verify.testing import (
    SIGN_KEY,
    built_instance,
    change_json,
    copied,
    differing,
    mrenclave_of,
    row,
    verified,
)

SIGNED = "build/lib/libocclum-libos.signed.so"
MRSIGNER = "388ded4ec342c6207be2586b836d7acbd02121438e1781c275002cd2f75a00c7"
SEFS = TESTPROJECTS / "vectors" / "sefs"


def test_an_instance(built: Path) -> None:
    found = verified(built)
    assert (found.kind, found.version, found.sgx_mode) == ("instance", "0.31.0", "HW")
    assert differing(found) == [] and found.agrees
    assert found.mrenclave == mrenclave_of(built)
    said = json.loads((built / "measurement.json").read_bytes())
    assert row(found, "measurement.json", "mrenclave").stated == said["mrenclave"]
    unknown = [one.what for one in found.rows if one.status == UNKNOWN]
    assert unknown == [
        "whether it is debugged",
        "whose key MRSIGNER is",
        "toolchain occlum-run",
        "libOS without its MAC, SHA-256",
        "PAL, SHA-256",
        "whether this enclave runs",
    ]


@pytest.mark.parametrize(
    ("mode", "edmm", "newline"),
    [("HW", True, True), ("HW", False, False), ("SIM", False, True), ("HYPER", False, True)],
)
def test_settings(tmp_path: Path, toolchain: Path, mode: str, edmm: bool, newline: bool) -> None:
    settings = Settings(mode, edmm, "20260102", newline)
    found = verified(built_instance(tmp_path / "i", toolchain, settings=settings))
    assert differing(found) == []
    assert found.sgx_mode == mode
    assert row(found, "measurement.json", "settings edmm").stated == json.dumps(edmm)
    bytes_ = row(found, "measurement.json", "settings builtin_config_bytes")
    assert bytes_.recomputed == ("48" if newline else "47")


def test_what_is_expected(built: Path) -> None:
    mrenclave = mrenclave_of(built)
    found = verified(built, mrenclave=mrenclave.upper(), mrsigner=MRSIGNER)
    assert found.agrees
    assert row(found, "--expect", "MRENCLAVE").status == AGREES
    assert row(found, "--expect-mrsigner", "MRSIGNER").status == AGREES
    other = verified(built, mrenclave="1" * 64, mrsigner="2" * 64)
    assert [one.about for one in differing(other)] == ["--expect", "--expect-mrsigner"]
    assert row(other, "--expect", "MRENCLAVE").recomputed == mrenclave
    for wrong in ("", "1" * 63, "g" * 64):
        with pytest.raises(OcclumError, match="wants 64 hexadecimal digits"):
            verified(built, mrenclave=wrong)


def test_an_image_of_another_build(built: Path, tmp_path: Path, toolchain: Path) -> None:
    """Whole by itself, and with its own MAC; only the measurement knows another one."""
    instance = copied(built, tmp_path / "app")
    other = copied(built, tmp_path / "other")
    (other / "image/bin/hello").write_text("#!/bin/sh\necho evil\n")
    build(BuildRequest(other, toolchain, Settings(), KeyFile(SIGN_KEY)))
    shutil.rmtree(instance / "build/mount")
    shutil.copytree(other / "build/mount", instance / "build/mount")
    found = verified(instance, mrenclave=mrenclave_of(instance))
    assert found.mrenclave == mrenclave_of(other)  # what this image would be measured as
    assert row(found, "--expect", "MRENCLAVE").status == DIFFERS
    about = [(one.about, one.what) for one in differing(found)]
    where = "$.app[1].mount[2].options.layers[0].options.MAC"
    assert ("build/.Occlum_sys.json.protected", where) in about
    assert ("manifest.json", "/bin/hello") in about
    assert ("measurement.json", "image_mac") in about


def test_a_configuration_that_was_changed_after_signing(built: Path, tmp_path: Path) -> None:
    instance = copied(built, tmp_path / "app")
    config = json.loads((instance / "Occlum.json").read_bytes())
    config["metadata"]["debuggable"] = False
    config["resource_limits"]["user_space_size"] = "8MB"
    (instance / "Occlum.json").write_text(json.dumps(config))
    found = verified(instance)
    assert not found.agrees and found.mrenclave != mrenclave_of(instance)
    about = [(one.about, one.what, one.stated, one.recomputed) for one in differing(found)]
    assert ("build/Enclave.xml", "DisableDebug", "0", "1") in about
    assert ("measurement.json", "config $.metadata.debuggable", "true", "false") in about
    assert (SIGNED, "MRENCLAVE", mrenclave_of(built), found.mrenclave) in about


def test_an_encrypted_image_without_and_with_its_key(encrypted: Path, image_key: Path) -> None:
    found = verified(encrypted)
    assert found.agrees
    content = row(found, "build/mount/__ROOT", "content")
    assert (content.status, "--image-key" in content.note) == (UNKNOWN, True)
    assert row(found, "manifest.json", "entries").status == UNKNOWN
    with read_key_file(image_key) as key:
        known = verified(encrypted, image_key=key)
    assert known.agrees
    assert row(known, "build/mount/__ROOT", "content").status == AGREES
    assert row(known, "measurement.json", "image key_fingerprint").status == AGREES
    assert row(known, "manifest.json", "entries").status == AGREES


def test_another_key(encrypted: Path, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("-".join(["11"] * 16))
    path.chmod(0o600)
    with read_key_file(path) as key:
        found = verified(encrypted, image_key=key)
    content = row(found, "build/mount/__ROOT", "content")
    assert (content.status, "the key is not its own" in content.note) == (DIFFERS, True)


def test_a_built_in_key_opens_the_image(tmp_path: Path, toolchain: Path, image_key: Path) -> None:
    instance = built_instance(
        tmp_path / "i", toolchain, image_key=image_key, buildin_image_key=True
    )
    found = verified(instance)
    assert differing(found) == []
    assert row(found, "build/mount/__ROOT", "content").status == AGREES
    assert "whoever has this" in row(found, "build/initfs", "image key").note
    text = json.dumps(found.to_json())
    assert image_key.read_text().strip() not in text


def test_an_image_of_the_reference(tmp_path: Path, toolchain: Path) -> None:
    """Secure file systems that Occlum's own tool wrote, integrity-only and encrypted."""
    for kind in ("int", "enc"):
        instance = tmp_path / kind
        make_instance(instance, plan_fresh(toolchain))
        (instance / "image").rename(tmp_path / f"{kind}.image")
        mount = instance / "build/mount"
        (mount / "__ROOT").mkdir(parents=True)
        with tarfile.open(SEFS / f"t1_small.{kind}.tar.xz") as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                stream = archive.extractfile(member)
                assert stream is not None
                name = member.name.rpartition("/")[2]
                (mount / "__ROOT" / name).write_bytes(stream.read())
        (mount / ".ROOT_MAC").write_bytes((SEFS / f"t1_small.{kind}.mac").read_bytes())
        key_file = tmp_path / "key"
        key_file.write_bytes((SEFS / "key.txt").read_bytes())
        key_file.chmod(0o600)
        given = key_file if kind == "enc" else None
        build(BuildRequest(instance, toolchain, Settings(), KeyFile(SIGN_KEY), image_key=given))
        key = read_key_file(key_file) if kind == "enc" else None
        found = verified(instance, image_key=key)
        assert differing(found) == []
        content = row(found, "build/mount/__ROOT", "content")
        assert content.status == AGREES and "every tag" in content.note


def test_records_that_lie(built: Path, tmp_path: Path) -> None:
    instance = copied(built, tmp_path / "app")
    record = instance / "measurement.json"
    whole = json.loads(record.read_bytes())
    for name, value in whole.items():
        if name in ("schema", "inputs"):
            continue
        other: object = {**value, "flags": "1"} if isinstance(value, dict) else f"{value}0"
        if isinstance(value, bool):
            other = not value
        change_json(record, **{name: other})
        assert [one.what for one in differing(verified(instance))] == [name]
        change_json(record, **whole)
    for section in ("config", "initfs", "toolchain", "settings", "image"):
        inputs = json.loads(json.dumps(whole["inputs"]))
        for name in inputs[section]:
            inputs[section][name] = "other"
        change_json(record, inputs=inputs)
        found = differing(verified(instance))
        assert {one.about for one in found} <= {"measurement.json", "manifest.json"} and found
    text = json.dumps(whole)
    record.write_text(text.replace('"mrenclave"', '"mrenclave": "00", "mrenclave"', 1))
    (twice,) = differing(verified(instance))
    assert "the key 'mrenclave' twice" in twice.note
    record.write_text("{")
    assert row(verified(instance), "measurement.json", "content").status == DIFFERS
    with pytest.raises(OcclumError, match="not JSON"):
        verified(instance, measurement=record)


def test_an_expected_measurement_tells_the_entries(built: Path, tmp_path: Path) -> None:
    record, manifest = (
        json.loads((built / name).read_bytes()) for name in ("measurement.json", "manifest.json")
    )
    made = with_entries(record, manifest)
    file = tmp_path / "app.measurement.json"
    for any_signer in (made, {**made, "mrsigner": None}):
        file.write_bytes(expected_bytes(any_signer, None))
        found = verified(built, measurement=file)
        assert found.agrees
        assert row(found, "measurement.json", "image entries").status == AGREES
    made["image_entries"]["/bin/hello"] = "file 0644 00"
    del made["image_entries"]["/bin/link"]
    file.write_bytes(expected_bytes(made, None))
    rows = differing(verified(built, measurement=file))
    assert [one.what for one in rows] == ["image /bin/hello", "image /bin/link"]


def test_what_is_no_instance(tmp_path: Path, built: Path, toolchain: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (empty, tmp_path / "gone", Path("/dev/null"), Path("/etc/passwd"), toolchain):
        with pytest.raises(OcclumError):
            verified(path)
    old = copied(built, tmp_path / "old")
    pal = old / "build/lib/libocclum-pal.so.0.31.0"
    pal.rename(pal.with_name("libocclum-pal.so.0.30.1"))
    with pytest.raises(OcclumError, match=r"an instance of Occlum 0\.30\.1"):
        verified(old)


def test_what_an_enclave_wrote(built: Path, tmp_path: Path) -> None:
    instance = copied(built, tmp_path / "app")
    (instance / "run/mount/__ROOT/metadata").write_bytes(b"x")
    (instance / "build/lib/evil.so").write_bytes(b"x")
    found = verified(instance)
    assert found.agrees
    unknown = [(one.about, one.what) for one in found.rows if one.status == UNKNOWN]
    assert ("run", "1 files") in unknown and ("build/lib/evil.so", "file") in unknown


def test_an_unsigned_instance(built: Path, tmp_path: Path, toolchain: Path) -> None:
    instance = copied(built, tmp_path / "app")
    build(BuildRequest(instance, toolchain, Settings(), None))
    found = verified(instance, mrenclave=mrenclave_of(built))
    assert {SIGNED, "--expect"} <= {one.about for one in differing(found)}
    assert found.mrenclave == ""


def test_a_configuration_under_another_mac(built: Path, tmp_path: Path) -> None:
    """The right content under right tags, in a file that is not the one of a build."""
    instance = copied(built, tmp_path / "app")
    path = instance / "build/.Occlum_sys.json.protected"
    node = bytearray(path.read_bytes())
    part = slice(ENCRYPTED_PART_OFFSET, ENCRYPTED_PART_END)
    fields = ENCRYPTED_PART.unpack(bytes(node[part]))
    node[part] = ENCRYPTED_PART.pack(**{**fields, "mc_value": 1})
    plain = PLAIN_PART.unpack(bytes(node[: PLAIN_PART.size]))
    plain["meta_data_gmac"] = IntegrityOnly().seal_metadata(bytes(node[part])).mac
    node[: PLAIN_PART.size] = PLAIN_PART.pack(**plain)
    path.write_bytes(node)
    assert [(one.about, one.what) for one in differing(verified(instance))] == [
        ("build/.Occlum_sys.json.protected", "MAC")
    ]


def test_a_signature_by_nobody(built: Path, tmp_path: Path) -> None:
    instance = copied(built, tmp_path / "app")
    signed, at = bytearray((instance / SIGNED).read_bytes()), -1
    while (at := bytes(signed).find(bytes.fromhex("06000000e100000000000100"), at + 1)) >= 0:
        signed[at + 516] ^= 1  # of each copy
    (instance / SIGNED).write_bytes(signed)
    found = verified(instance)
    assert [one.what for one in differing(found)] == ["signature"]
    assert found.mrenclave == mrenclave_of(built)
