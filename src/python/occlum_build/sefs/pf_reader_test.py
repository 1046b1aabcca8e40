from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_crypto import IntegrityOnly, Opener, opener_for
from occlum_build.sefs.pf_format import ENCRYPTED_PART, FILE_ID, PLAIN_PART
from occlum_build.sefs.pf_reader import PfReader

# Bytes of node 0 that the format does not authenticate: minor version, cpu_svn and isv_svn,
# attribute mask, padding; without encryption the key id, which nothing is derived from, as well.
UNAUTHENTICATED = {
    "enc": (range(9, 10), range(42, 60), range(61, 77), range(3487, 4096)),
    "int": (range(9, 10), range(10, 42), range(42, 60), range(61, 77), range(3487, 4096)),
}


def check(path: Path, opener: Opener) -> OcclumError | None:
    try:
        with PfReader(path, opener) as reader:
            reader.check_all()
    except OcclumError as error:
        return error
    return None


def code_of(path: Path, opener: Opener) -> str:
    error = check(path, opener)
    return error.code if error else ""


@pytest.mark.parametrize("mode", ["int", "enc"])
def test_every_flipped_byte_is_found_and_its_node_named(
    vectors: Path, tmp_path: Path, user_key: UserKey, mode: str
) -> None:
    path = tmp_path / "f_3073"
    shutil.copyfile(vectors / "pf" / mode / "f_3073", path)
    content, opener = path.read_bytes(), opener_for(user_key if mode == "enc" else None)
    descriptor = os.open(path, os.O_RDWR)
    for offset, byte in enumerate(content):
        os.pwrite(descriptor, bytes([byte ^ 1]), offset)
        error = check(path, opener)
        os.pwrite(descriptor, bytes([byte]), offset)
        if any(offset in ignored for ignored in UNAUTHENTICATED[mode]):
            assert error is None, offset
        else:
            assert error is not None, offset
            assert f"node {offset // 4096}" in str(error), offset
            assert str(path) in str(error)
    os.close(descriptor)
    assert check(path, opener) is None


def test_damage_in_a_later_group_names_data_node_and_physical_node(
    vectors: Path, tmp_path: Path
) -> None:
    path = tmp_path / "f_396289"
    content = bytearray((vectors / "pf" / "int" / path.name).read_bytes())
    content[99 * 4096] ^= 1
    path.write_bytes(content)
    error = check(path, opener_for(None))
    assert error is not None
    assert "node 99 (data node 96) does not match its tag" in str(error)


def test_wrong_mode_and_wrong_key(vectors: Path, user_key: UserKey) -> None:
    pf = vectors / "pf"
    assert code_of(pf / "enc" / "f_1", opener_for(None)) == "pf-mode"
    assert code_of(pf / "int" / "f_1", opener_for(user_key)) == "pf-mode"
    error = check(pf / "enc" / "f_1", opener_for(UserKey(bytes(16))))
    assert error is not None
    assert error.code == "pf-tag"
    assert "key" in error.problems[0].hint


def test_renamed_file(vectors: Path, tmp_path: Path, user_key: UserKey) -> None:
    for mode in ("int", "enc"):
        path = tmp_path / f"other_{mode}"
        shutil.copyfile(vectors / "pf" / mode / "f_1", path)
        error = check(path, opener_for(user_key if mode == "enc" else None))
        assert error is not None
        assert error.code == "pf-name"
        assert "'f_1'" in str(error)


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 8192, 12287, 12289, 16384])
def test_wrong_length(vectors: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "f_3073"
    shutil.copyfile(vectors / "pf" / "int" / path.name, path)
    os.truncate(path, length)
    assert code_of(path, opener_for(None)) == "pf-length"


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [(0, 0, "pf-header"), (8, 2, "pf-header"), (93, 1, "pf-header"), (60, 0, "pf-mode")],
)
def test_header_fields(vectors: Path, tmp_path: Path, offset: int, value: int, code: str) -> None:
    path = tmp_path / "f_1"
    content = bytearray((vectors / "pf" / "int" / "f_1").read_bytes())
    content[offset] = value
    path.write_bytes(content)
    assert code_of(path, opener_for(None)) == code


@pytest.mark.parametrize("size", [-1, -(1 << 63), 3073, (1 << 63) - 1])
def test_absurd_sizes_under_a_right_tag(tmp_path: Path, size: int) -> None:
    part = ENCRYPTED_PART.pack(
        clean_filename=b"f",
        size=size,
        mc_uuid=b"",
        mc_value=0,
        mht_key=b"",
        mht_gmac=b"",
        data=b"",
    )
    plain = dict.fromkeys(PLAIN_PART.names, 0)
    fields = {
        **plain,
        "file_id": FILE_ID,
        "major_version": 1,
        "meta_data_key_id": b"",
        "cpu_svn": b"",
        "attribute_mask": b"",
        "use_user_kdk_key": 1,
        "integrity_only": 1,
        "meta_data_gmac": IntegrityOnly().seal_metadata(part).mac,
    }
    path = tmp_path / "f"
    path.write_bytes((PLAIN_PART.pack(**fields) + part).ljust(4096, b"\0"))
    assert code_of(path, opener_for(None)) == "pf-length"


def test_missing_file_and_fifo(tmp_path: Path) -> None:
    assert code_of(tmp_path / "none", opener_for(None)) == "sefs-io"
    os.mkfifo(tmp_path / "fifo")
    assert code_of(tmp_path / "fifo", opener_for(None)) == "pf-length"
