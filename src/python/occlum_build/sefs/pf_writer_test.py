from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs import pf_writer
from occlum_build.sefs.hostio import READ_FLAGS, opened
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_crypto import EncryptingSealer, IntegrityOnly, opener_for
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.pf_reader import PfReader
from occlum_build.sefs.pf_writer import BytesSource, DescriptorSource, PfWriter
from occlum_build.sefs.testing_keys import RecordedFileKeys

SIZES = (0, 1, 3072, 3073, 7169, 396288, 396289)


def recorded_macs(vectors: Path) -> dict[tuple[str, str], str]:
    lines = (vectors / "pf" / "macs.txt").read_text().splitlines()
    return {(mode, size): mac for mode, size, mac in map(str.split, lines)}


@pytest.mark.parametrize("size", SIZES)
def test_integrity_only_is_the_reference_byte_for_byte(
    vectors: Path, tmp_path: Path, size: int
) -> None:
    content = (vectors / "pf" / f"in_{size}").read_bytes()
    name = f"f_{size}"
    mac = PfWriter().write(tmp_path / name, name.encode(), BytesSource(content), IntegrityOnly())
    assert (tmp_path / name).read_bytes() == (vectors / "pf" / "int" / name).read_bytes()
    assert format_mac(mac) == recorded_macs(vectors)["int", str(size)]


@pytest.mark.parametrize("size", SIZES)
def test_encrypted_is_the_reference_byte_for_byte_with_its_keys(
    vectors: Path, tmp_path: Path, user_key: UserKey, size: int
) -> None:
    name = f"f_{size}"
    reference = vectors / "pf" / "enc" / name
    sealer = EncryptingSealer(user_key, RecordedFileKeys.of(reference, user_key))
    with opened(vectors / "pf" / f"in_{size}", READ_FLAGS) as descriptor:
        source = DescriptorSource(descriptor, "in")
        mac = PfWriter().write(tmp_path / name, name.encode(), source, sealer)
        source.check_unchanged()
    assert (tmp_path / name).read_bytes() == reference.read_bytes()
    assert format_mac(mac) == recorded_macs(vectors)["enc", str(size)]


@pytest.mark.parametrize("mode", ["int", "enc"])
@pytest.mark.parametrize("size", SIZES)
def test_reading_the_reference(vectors: Path, user_key: UserKey, mode: str, size: int) -> None:
    opener = opener_for(user_key if mode == "enc" else None)
    content = (vectors / "pf" / f"in_{size}").read_bytes()
    with PfReader(vectors / "pf" / mode / f"f_{size}", opener) as reader:
        assert reader.read_all() == content
        assert format_mac(reader.mac) == recorded_macs(vectors)[mode, str(size)]
        for offset in range(0, size, 50001):
            assert reader.read(offset, min(9000, size - offset)) == content[offset : offset + 9000]
        with pytest.raises(ValueError, match="outside"):
            reader.read(size, 1)


def test_three_levels_of_mht_nodes(tmp_path: Path) -> None:
    """MHT node 33 hangs on MHT node 1; and the buffer keeps nothing of the file before."""
    writer = PfWriter()
    content = b"".join(i.to_bytes(8, "little") for i in range(34 * 96 * 4096 // 8))
    writer.write(tmp_path / "big", b"big", BytesSource(content), IntegrityOnly())
    small = BytesSource(content[:5000])
    writer.write(tmp_path / "small", b"small", small, IntegrityOnly())
    PfWriter().write(tmp_path / "again", b"small", small, IntegrityOnly())
    with PfReader(tmp_path / "big", IntegrityOnly()) as reader:
        assert reader.layout.mht_nodes == 34
        assert reader.read_all() == content
    assert (tmp_path / "small").read_bytes() == (tmp_path / "again").read_bytes()


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(OcclumError) as caught:
        PfWriter().write(tmp_path / "f", b"f", BytesSource(b""), IntegrityOnly())
    assert caught.value.code == "sefs-io"
    assert (tmp_path / "f").read_bytes() == b"mine"


@pytest.mark.parametrize("new_size", [10, 8000])
def test_a_source_that_changes_is_refused(tmp_path: Path, new_size: int) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes(5000))
    with opened(path, READ_FLAGS) as descriptor:
        source = DescriptorSource(descriptor, path)
        os.truncate(path, new_size)
        with pytest.raises(OcclumError) as caught:
            PfWriter().write(tmp_path / "f", b"f", source, IntegrityOnly())
            source.check_unchanged()
    assert caught.value.code == "sefs-source-changed"


def test_a_source_whose_time_is_set_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes(5000))
    os.utime(path, ns=(1, 1))
    with opened(path, READ_FLAGS) as descriptor:
        source = DescriptorSource(descriptor, path)
        path.write_bytes(b"1" * 5000)
        os.utime(path, ns=(1, 1))
        with pytest.raises(OcclumError, match="changed while it was read") as caught:
            source.check_unchanged()
    assert caught.value.code == "sefs-source-changed"


def test_a_source_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "source").write_bytes(b"x" * 9000)
    monkeypatch.setattr(pf_writer, "read_at", fail)
    descriptor = os.open(tmp_path / "source", os.O_RDONLY)
    try:
        source = DescriptorSource(descriptor, tmp_path / "source")
        with pytest.raises(OcclumError) as error:
            PfWriter().write(tmp_path / "out", b"out", source, IntegrityOnly())
    finally:
        os.close(descriptor)
    assert str(error.value) == f"{tmp_path}/source: Input/output error"
