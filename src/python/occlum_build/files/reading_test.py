from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.files.reading import content_of, read_descriptor, read_file, read_start


def refused(path: str | Path, limit: int = 10) -> str:
    with pytest.raises(OcclumError) as raised:
        read_file(path, limit, code="some-code")
    assert raised.value.code == "some-code"
    return str(raised.value)


def test_a_file_of_just_the_bound_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    assert read_file(tmp_path / "f", 10) == b"0123456789"
    assert read_file(str(tmp_path / "f"), 11) == b"0123456789"


def test_one_byte_more_is_refused_with_the_bound(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789a")
    assert refused(tmp_path / "f").endswith(
        "f cannot be read: it has more than the 10 bytes that are allowed"
    )
    assert "more than the 4 KiB" in refused(sparse(tmp_path, 1 << 40), 4096)


def sparse(directory: Path, size: int) -> Path:
    with open(directory / "sparse", "xb") as file:
        file.truncate(size)
    return directory / "sparse"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "l").symlink_to("f")
    assert read_file(tmp_path / "l", 10) == b"x"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/tmp"])
def test_what_is_no_regular_file_is_refused(path: str) -> None:
    assert refused(path) == f"{path} cannot be read: it is not a regular file"


def test_a_fifo_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refused(tmp_path / "fifo")


def test_a_file_that_says_nothing_of_its_size_is_read_within_the_bound() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    assert b"Pid:" in read_file("/proc/self/status", 1 << 20)
    assert "more than" in refused("/proc/self/status")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "no").endswith("no cannot be read: No such file or directory")


def test_what_was_read_before_counts(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    descriptor = os.open(tmp_path / "f", os.O_RDONLY)
    start = os.read(descriptor, 4)
    assert read_descriptor(descriptor, "f", 10, start=start) == b"0123456789"
    os.lseek(descriptor, 4, os.SEEK_SET)
    with pytest.raises(OcclumError):
        read_descriptor(descriptor, "f", 9, start=start)
    os.close(descriptor)


def test_errors_call_the_file_what_they_are_told_and_can_tell_a_large_one_apart(
    tmp_path: Path,
) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with pytest.raises(OcclumError, match=r"^/x cannot be read: it has more than") as raised:
        read_file(tmp_path / "f", 9, code="io", large="size", name="/x")
    assert raised.value.code == "size"
    with pytest.raises(OcclumError, match=r"^/x cannot be read: No such file") as raised:
        read_file(tmp_path / "none", 9, code="io", large="size", name="/x")
    assert raised.value.code == "io"


def test_a_start_is_read_of_regular_files_alone(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.write(b"0123456789")
        file.truncate(1 << 40)
    assert read_start(tmp_path / "f", 4) == b"0123"
    with pytest.raises(OcclumError, match="not a regular file"):
        read_start("/dev/zero", 4)


def test_what_is_wrong_with_a_content_is_told_of_its_file() -> None:
    placed, other = Problem("a", "placed", Place("x", 1)), Problem("b", "other")
    with pytest.raises(OcclumError) as raised, content_of("f"):
        raise OcclumError.of([placed, other])
    assert list(map(str, raised.value.problems)) == ["x:1: placed", "f: other"]
    with pytest.raises(OcclumError) as raised, content_of("f", "a"):
        raise OcclumError.of([other, Problem("a", "one")])
    assert list(map(str, raised.value.problems)) == ["other", "f: one"]
