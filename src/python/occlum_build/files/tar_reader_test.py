from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from occlum_build.files import tar_reader
from occlum_build.files.bounds import MIB
from occlum_build.files.compressed import DAMAGED, ZSTD_MAGIC, BadArchive
from occlum_build.files.tar_reader import (
    FILE,
    HARD_LINK,
    SYMLINK,
    Member,
    contents_of,
    entries_of,
    members_of,
)

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
LONG = "d/" * 70 + "n" * 90  # in parts, in a header of its own, or in an attribute
TARGET = "d/" * 40
MUTANTS = 10_000


def _info(
    name: str, size: int = 0, type_: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, type_, link
    return info


def _tar(format_: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        tar.addfile(_info("d", type_=tarfile.DIRTYPE))
        tar.addfile(_info("d/empty"), io.BytesIO())
        tar.addfile(_info(LONG, 3000), io.BytesIO(bytes(range(250)) * 12))
        tar.addfile(_info("hard", type_=tarfile.LNKTYPE, link=TARGET))
        tar.addfile(_info("ü", 513), io.BytesIO(b"x" * 513))
        tar.addfile(_info("soft", type_=tarfile.SYMTYPE, link="../" + TARGET))
        tar.addfile(_info("null", type_=tarfile.CHRTYPE))
    return out.getvalue()


def _small() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_info("n" * 101, 600), io.BytesIO(b"0123456789" * 60))
        tar.addfile(_info("s", type_=tarfile.SYMTYPE, link="n"))
    return out.getvalue().rstrip(b"\0") + bytes(1024)


def _read(data: bytes, limit: int = MIB) -> list[tuple[Member, bytes]]:
    stream = io.BytesIO(data)
    files = [member for member in members_of(stream) if member.kind == FILE]
    return [(one, b"".join(chunks)) for one, chunks in contents_of(stream, files, limit)]


def _by_tarfile(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(one.name, tar.extractfile(one)) for one in tar if one.isreg()]
        return [(name, file.read()) for name, file in files if file is not None]


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_it_reads_what_tarfile_reads(packer: str, format_: int) -> None:
    data = _tar(format_)
    found = members_of(io.BytesIO(PACKERS[packer](data)))
    links = [(one.name, one.link, one.kind) for one in found if one.link]
    assert links == [("hard", TARGET, HARD_LINK), ("soft", "../" + TARGET, SYMLINK)]
    read = [(one.name, content) for one, content in _read(PACKERS[packer](data))]
    assert read == _by_tarfile(data) and len(read) == 3


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz", "zst"])
def test_several_streams_and_zeros_behind_them(packer: str) -> None:
    data, pack = _tar(), PACKERS[packer]
    padding = b"" if packer in ("bz2", "zst") else bytes(8)
    assert _read(pack(data[:700]) + pack(data[700:]) + padding) == _read(data)


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_files_with_holes(tmp_path: Path, version: str) -> None:
    """As GNU tar writes them: `tar -S` of a library with holes is a good archive."""
    with open(tmp_path / "sparse", "wb") as file:
        for number in range(8):
            file.seek(number << 16)
            file.write(b"x" * 4096)
        file.truncate(9 << 16)
    kind = (
        ["--format=gnu"]
        if version == "gnu"
        else [
            "--format=pax",
            f"--sparse-version={version}",
        ]
    )
    subprocess.run(["tar", "-cSf", "a.tar", *kind, "sparse"], cwd=tmp_path, check=True)
    data = (tmp_path / "a.tar").read_bytes()
    assert len(data) < 9 << 16
    ((member, content),) = _read(data)
    assert (member.name, content) == ("sparse", (tmp_path / "sparse").read_bytes())


def _wrong(data: bytes, limit: int = MIB) -> str:
    with pytest.raises(BadArchive) as caught:
        _read(data, limit)
    return str(caught.value)


@pytest.mark.parametrize("packer", PACKERS)
def test_damaged_and_cut_off_anywhere(packer: str) -> None:
    """No other exception, no more work than the good archive takes, and where there is a checksum
    nothing damaged is taken for good."""
    rng, good = random.Random(20240229), PACKERS[packer](_small())
    due, told = _read(good), set()
    for _ in range(MUTANTS):
        mutant = bytearray(good)
        if rng.random() < 0.2:
            del mutant[rng.randrange(len(mutant)) :]
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            if mutant:
                mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        try:
            found = _read(bytes(mutant))
        except BadArchive as error:
            told.add(str(error))
        else:
            assert packer in ("tar", "lzma") or found == due or not found or mutant[:3] != good[:3]
    assert DAMAGED in told or packer == "tar"
    assert all(text.isprintable() for text in told)


def test_a_damaged_archive_holds_no_memory_for_as_long_as_its_error_lives() -> None:
    def address_space_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0])

    tar = _tar()
    damaged = bytearray(lzma.compress(tar, preset=9))  # a dictionary of 64 MiB
    damaged[len(damaged) // 2] ^= 0xFF
    before, errors = address_space_pages(), []
    for _ in range(20):
        with pytest.raises(BadArchive) as caught:
            _read(bytes(damaged))
        errors.append(caught)
    assert (address_space_pages() - before) * os.sysconf("SC_PAGESIZE") < 128 * MIB
    assert len(errors) == 20


class _Zeros(io.RawIOBase):
    """A tar of one member of `size` zeros, made as it is read."""

    def __init__(self, size: int) -> None:
        self.header, self.left = _info("lib", size).tobuf(), size

    def readable(self) -> bool:
        return True

    def chunks(self) -> Iterator[bytes]:
        yield self.header
        zeros = bytes(MIB)
        while self.left > 0:
            yield zeros[: min(self.left, MIB)]
            self.left -= MIB
        yield bytes(1024)


def test_a_member_that_is_too_large() -> None:
    header = _info("lib", MIB + 1).tobuf()
    assert _wrong(header + bytes(2 * MIB)) == "lib in it has more than 1 MiB"
    packed = gzip.compress(header + bytes(2 * MIB), 1)
    assert _wrong(packed) == "lib in it has more than 1 MiB"


def test_an_archive_that_holds_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "MAX_BYTES", 4 * MIB)
    data = b"".join(_Zeros(5 * MIB).chunks())
    for packer in ("tar", "gz", "bz2", "xz", "zst"):
        assert _wrong(PACKERS[packer](data), 8 * MIB) == "it holds more than 4 MiB"
    # Also behind the last member, where only checksums are looked for.
    assert _wrong(gzip.compress(_tar() + bytes(5 * MIB), 1)) == "it holds more than 4 MiB"


@pytest.mark.parametrize("size", [1 << 40, 1 << 62])
def test_a_size_that_no_archive_has(size: int) -> None:
    for packer in PACKERS:
        data = PACKERS[packer](_info("lib", size).tobuf() + bytes(1024))
        assert _wrong(data) == "it holds more than 8 GiB"


def test_sparse_members_of_a_terabyte(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.write(b"x")
        file.truncate(1 << 40)
    for kind in ("gnu", "pax"):
        subprocess.run(
            ["tar", "-cSf", "a.tar", f"--format={kind}", "sparse"], cwd=tmp_path, check=True
        )
        data = (tmp_path / "a.tar").read_bytes()
        assert _wrong(data, 256 * MIB) == "sparse in it has more than 256 MiB"


def _pax(size: int, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return _info("pax", size, kind).tobuf()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_of_gigabytes(kind: bytes) -> None:
    assert _wrong(_pax(2 << 30, kind) + bytes(1 << 16)) == "a header has more than 1 MiB"


def test_headers_of_headers() -> None:
    one = _pax(1, tarfile.GNUTYPE_LONGNAME) + bytes(512)
    assert _wrong(one * 900) in (DAMAGED, "a header has more than 1 MiB")
    assert _wrong(one * 5000) in (DAMAGED, "a header has more than 1 MiB")


def test_a_map_of_holes_without_end() -> None:
    info = _info("s", 512, tarfile.GNUTYPE_SPARSE).tobuf()
    header = bytearray(info)
    header[482] = 1  # more of the map follows
    header[148:156] = b"        "
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    more = b"0\0".ljust(12, b"\0") * 42 + b"\x01" + bytes(7)
    assert len(more) == 512
    assert _wrong(bytes(header) + more * 5000) == "a header has more than 1 MiB"


def test_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "MAX_MEMBERS", 100)
    data = b"".join(_info(f"n{number}").tobuf() for number in range(101))
    assert _wrong(data + bytes(1024)) == "it has more than 100 members"
    assert len(_read(data[512:] + bytes(1024))) == 100


def test_long_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "MAX_NAME_BYTES", 1024)
    data = b"".join(_info("n" * 60).tobuf() for number in range(18))
    assert _wrong(data + bytes(1024)) == "its names have more than 1 KiB"


def test_memory_that_an_xz_archive_asks_for() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(_tar(), filters=filters))
    at = data.index(b"\x21\x01") + 2  # the dictionary's size, in the block's header
    data[at] = 40  # 4 GiB
    size = (data[12] + 1) * 4
    crc = zlib.crc32(bytes(data[12 : 12 + size - 4]))
    data[12 + size - 4 : 12 + size] = crc.to_bytes(4, "little")
    assert _wrong(bytes(data)) == "it needs more than 256 MiB of memory to unpack"


def test_an_archive_that_changes_meanwhile() -> None:
    stream = io.BytesIO(_tar())
    files = [member for member in members_of(stream) if member.kind == FILE]
    stream.seek(0)
    stream.write(_tar()[512:])
    with pytest.raises(BadArchive, match="it changed while it was read"):
        for _, chunks in contents_of(stream, files, MIB):
            b"".join(chunks)


def test_errors_of_the_system_stay_what_they_are() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, os.strerror(5))

    with pytest.raises(OSError, match="Input/output error"):
        members_of(Failing())


def test_all_kinds_with_modes_and_contents() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, type_, mode in (
            ("d", tarfile.DIRTYPE, 0o2755),
            ("f", tarfile.REGTYPE, 0o4755),
            ("s", tarfile.SYMTYPE, 0o777),
            ("h", tarfile.LNKTYPE, 0o4755),
            ("c", tarfile.CHRTYPE, 0o600),
            ("b", tarfile.BLKTYPE, 0o600),
            ("p", tarfile.FIFOTYPE, 0o600),
            ("?", b"Z", 0o600),
        ):
            content = b"abc" if name == "f" else b""
            info = _info(name, len(content), type_, "f" if name in "hs" else "")
            info.mode = mode
            tar.addfile(info, io.BytesIO(content))
    out.seek(0)
    found = [(one[1:], b"".join(chunks)) for one, chunks in entries_of(out)]
    assert found == [
        (("d", tar_reader.DIR, 0, 0o2755, ""), b""),
        (("f", tar_reader.FILE, 3, 0o4755, ""), b"abc"),
        (("s", tar_reader.SYMLINK, 0, 0o777, "f"), b""),
        (("h", tar_reader.HARD_LINK, 0, 0o4755, "f"), b""),
        (("c", tar_reader.DEVICE, 0, 0o600, ""), b""),
        (("b", tar_reader.DEVICE, 0, 0o600, ""), b""),
        (("p", tar_reader.FIFO, 0, 0o600, ""), b""),
        (("?", tar_reader.UNKNOWN, 0, 0o600, ""), b""),
    ]


@pytest.mark.parametrize("packer", PACKERS)
def test_an_archive_of_nothing(packer: str) -> None:
    assert list(entries_of(io.BytesIO(PACKERS[packer](bytes(10240))))) == []


@pytest.mark.parametrize("left", [100, 512])
def test_a_damaged_header_is_not_the_end(left: int) -> None:
    data = _info("a").tobuf() + _info("b").tobuf().replace(b"b", b"c", 1)[:left] + bytes(1024)
    assert _wrong(data) == DAMAGED


def test_zstd_that_cannot_be_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "zstandard", None)
    assert "needs the Python package zstandard" in _wrong(PACKERS["zst"](_small()))


def test_memory_that_a_zstd_archive_asks_for() -> None:
    window = bytes([18 << 3])  # 256 MiB
    frame = ZSTD_MAGIC + b"\0" + window + b"\x01\0\0"
    assert _wrong(frame) == "it needs more than 256 MiB of memory to unpack"


def test_a_zstd_frame_that_has_no_end_or_too_much() -> None:
    good = PACKERS["zst"](_small())
    for cut in (5, len(good) // 2, len(good) - 1):
        assert _wrong(good[:cut]) == DAMAGED
    bomb = PACKERS["zst"](_info("lib", 1 << 32).tobuf() + bytes(1 << 28))
    assert len(bomb) < 1 << 16
    assert _wrong(bomb, 1 << 33) == DAMAGED
