from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.process import contents
from occlum_build.process.complete import SYSROOTS, FileInPack, HostFile, table_json
from occlum_build.process.contents import Contents
from occlum_build.process.packs import PACKS

LARGE = bytes(range(256)) * 20_000


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contents, "_HELD_BYTES", 1 << 20)
    Path(SYSROOTS).mkdir()
    Path("tree").mkdir()


def sysroot(name: str, files: dict[str, bytes]) -> Path:
    folder = Path("hosts", name).absolute()
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    Path(SYSROOTS, name).symlink_to(folder)
    return folder


def host_file(path: str, content: bytes) -> HostFile:
    return HostFile(path, hashlib.sha256(content).hexdigest(), f"/{path}")


def opened(*host: HostFile, packed: tuple[FileInPack, ...] = ()) -> Contents:
    Path("table").write_bytes(table_json(host, packed))
    return Contents("tree", "table")


def read(found: Contents, path: str) -> bytes:
    with found.open(path) as content:
        return content.stream.read(content.size)


def test_files_are_read_where_they_are() -> None:
    sysroot("a", {"large": b"another", "small": b"another"})
    sysroot("b", {"large": LARGE, "small": b"small"})
    Path("tree/own").write_bytes(b"own")
    Path(PACKS).mkdir()
    Path(PACKS, "0000").write_bytes(b"before|packed|after")
    found = opened(
        host_file("large", LARGE),
        host_file("small", b"small"),
        packed=(FileInPack("in/pack", "0000", 7, 6),),
    )
    assert read(found, "large") == LARGE
    assert read(found, "small") == b"small"
    assert read(found, "own") == b"own"
    assert read(found, "in/pack") == b"packed"
    assert os.listdir("tree") == ["own"]


@pytest.mark.parametrize("there", [b"", b"another", LARGE[:-1], LARGE[::-1]])
@pytest.mark.parametrize("wanted", [b"small", LARGE])
def test_content_that_nobody_has(there: bytes, wanted: bytes) -> None:
    sysroot("a", {"x": there} if there else {})
    with pytest.raises(OcclumError, match="/x is not there or not what it was") as error:
        read(opened(host_file("x", wanted)), "x")
    assert error.value.problems[0].code == "host-content"


def test_a_file_that_changes_as_it_is_read() -> None:
    folder = sysroot("a", {"x": LARGE})
    with pytest.raises(OcclumError, match="/x is not there or not what it was"):  # noqa: SIM117
        with opened(host_file("x", LARGE)).open("x") as content:
            content.stream.read(10)
            with open(folder / "x", "r+b") as file:
                file.seek(1_000_000)
                file.write(b"!")
            content.stream.read()


def test_a_file_that_becomes_shorter_as_it_is_read() -> None:
    folder = sysroot("a", {"x": LARGE})
    with pytest.raises(OcclumError, match="/x is not there or not what it was"):  # noqa: SIM117
        with opened(host_file("x", LARGE)).open("x") as content:
            os.truncate(folder / "x", 10)
            content.stream.read(10)
            content.stream.read(10)


def test_fifo_in_the_place_of_a_file() -> None:
    folder = sysroot("a", {"y": b"y"})
    os.mkfifo(folder / "x")
    with pytest.raises(OcclumError, match="/x is not there"):
        read(opened(host_file("x", b"x")), "x")


def test_link_in_the_tree_is_not_followed() -> None:
    Path("tree/link").symlink_to("/etc/passwd")
    with pytest.raises(OcclumError, match="link"):
        read(opened(), "link")
