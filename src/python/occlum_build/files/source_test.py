from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files import source as source_module
from occlum_build.files.source import Identity, SourceFile, identity_of, ignore_ctime, open_source

HINT = "leave the files alone while they are read, then run it again"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"0123456789")
    return tmp_path / "f"


def refused(path: Path, planned: Identity | None = None) -> str:
    with pytest.raises(OcclumError) as raised:
        open_source(path, planned=planned)
    (problem,) = raised.value.problems
    assert (problem.code, problem.hint) == ("source-changed", HINT)
    assert problem.place is not None
    assert problem.place.file == str(path)
    return problem.message


def test_a_file_is_read_and_unchanged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "CHUNK_BYTES", 4)
    with open_source(path, planned=identity_of(path.lstat())) as file:
        assert file.size == 10
        assert list(file.chunks()) == [b"0123", b"4567", b"89"]
        assert file.sha256() == hashlib.sha256(b"0123456789").hexdigest()
        file.check_unchanged()


def test_an_open_directory_and_another_name_for_errors(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with open_source("f", directory=directory) as file:
            assert b"".join(file.chunks()) == b"0123456789"
        os.symlink("f", path.parent / "l")
        with pytest.raises(OcclumError) as raised:
            open_source("l", directory=directory, shown=path.parent / "l", code="c")
        assert (raised.value.code, str(raised.value)) == (
            "c",
            f"{path.parent}/l: is a link now, and was a file\n  hint: {HINT}",
        )
        with pytest.raises(FileNotFoundError):
            open_source("gone", directory=directory)
    finally:
        os.close(directory)


def test_what_is_no_regular_file_is_refused_without_waiting(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert refused(path) == "is a link now, and was a file"
    path.unlink()
    os.mkfifo(path)
    assert refused(path) == "is not a regular file any more"
    path.unlink()
    path.mkdir()
    assert refused(path) == "is not a regular file any more"
    path.rmdir()
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(path.parent, os.O_RDONLY)  # its path may be too long for a socket
        listener.bind(f"/proc/self/fd/{directory}/f")
        os.close(directory)
    assert refused(path) == "is not a regular file any more"
    assert refused(Path("/dev/zero")) == "is not a regular file any more"


def test_another_file_than_planned_is_refused(path: Path) -> None:
    planned = identity_of(path.lstat())
    before = path.lstat()
    path.write_bytes(b"9876543210")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert refused(path, planned) == "changed after the image was planned"


def write(file: Path) -> None:
    file.write_bytes(b"9876543210")


def append(file: Path) -> None:
    with open(file, "ab") as stream:
        stream.write(b"more")


def shorten(file: Path) -> None:
    os.truncate(file, 4)


def write_and_set_the_time_back(file: Path) -> None:
    before = file.lstat()
    file.write_bytes(b"9876543210")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [write, append, shorten, write_and_set_the_time_back])
def test_a_change_while_it_is_read_is_told(path: Path, change: object) -> None:
    os.utime(path, ns=(1, 1))
    with open_source(path) as file:
        assert callable(change)
        change(path)
        assert len(b"".join(file.chunks())) <= 10
        with pytest.raises(OcclumError, match="changed while it was read") as raised:
            file.check_unchanged()
    assert raised.value.code == "source-changed"


def test_a_file_that_says_that_it_is_empty_is_read_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = Path("/proc/self/limits")
    assert status.stat().st_size == 0
    with open_source(status) as file:
        assert b"Max open files" in b"".join(file.chunks())
        monkeypatch.setattr(source_module, "UNSIZED_BYTES", 100)
        with pytest.raises(OcclumError, match="it is empty, but has more than 100 bytes"):
            list(file.chunks())


def test_a_file_that_says_more_than_it_has_ends_where_it_ends(path: Path) -> None:
    """As those of /sys do."""
    with open_source(path) as file:
        file.size = 4096
        assert b"".join(file.chunks()) == b"0123456789"
        file.check_unchanged()


def test_a_refused_file_is_closed(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    refused(path, Identity(0, 0, 0, 0, 0))
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(OcclumError):
        SourceFile(os.open(path.parent, os.O_RDONLY), path)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff"
    os.symlink("x", name)
    with pytest.raises(OcclumError, match=r"\\xff: is a link now"):
        open_source(name)


def test_links_of_a_sandbox_that_come_and_go_are_no_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_compared", source_module._compared)
    for is_told in (True, False):
        with open_source(path) as file:
            os.link(path, path.with_name("link"))
            os.unlink(path.with_name("link"))
            if is_told:
                with pytest.raises(OcclumError, match="changed while it was read"):
                    file.check_unchanged()
            else:
                file.check_unchanged()
                write(path)
                with pytest.raises(OcclumError, match="changed while it was read"):
                    file.check_unchanged()
        ignore_ctime()
