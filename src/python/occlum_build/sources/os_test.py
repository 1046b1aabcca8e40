from __future__ import annotations

import hashlib
import os
import socket
import zipfile
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, SourceStat, resolve
from occlum_build.sources.os import OsSources, lstat


@pytest.fixture
def project(tmp_path: Path) -> str:
    """A directory, as a relative source path."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub").chmod(0o750)
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "f").chmod(0o4711)
    (tmp_path / "link").symlink_to("sub/../f")
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path).lstrip("/")


def test_lstat(project: str) -> None:
    sources = OsSources()
    assert sources.lstat(f"{project}/f") == SourceStat(FILE, 0o4711, 7)
    found = sources.lstat(f"{project}/sub")
    assert found is not None
    assert (found.kind, found.mode) == (DIR, 0o750)
    link = sources.lstat(f"{project}/link")
    assert link is not None
    assert (link.kind, link.target) == (SYMLINK, "sub/../f")
    fifo = sources.lstat(f"{project}/fifo")
    assert fifo is not None
    assert fifo.kind == FIFO
    assert sources.lstat(f"{project}/gone") is None
    assert sources.lstat(f"{project}/f/x") is None
    assert sources.lstat(f"{project}/{'n' * 300}") is None


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        found = lstat("s")
    assert found is not None
    assert found.kind == OTHER


def test_sysroot(tmp_path: Path) -> None:
    (tmp_path / "root/usr/lib").mkdir(parents=True)
    (tmp_path / "root/usr/lib/x").write_bytes(b"1")
    (tmp_path / "root/lib").symlink_to("/usr/lib")
    (tmp_path / "root/up").symlink_to("../../../../usr")
    sources = OsSources(str(tmp_path / "root") + "/")
    assert sources.os_path("/usr/lib/x") == f"{tmp_path}/root/usr/lib/x"
    assert sources.os_path("usr/lib/x") == "/usr/lib/x"
    assert resolve(sources, "/lib/x") == "/usr/lib/x"
    assert resolve(sources, "/up/lib/x") == "/usr/lib/x"
    assert sources.read("/usr/lib/x") == b"1"
    assert sources.lstat("/etc") is None


def test_names_are_sorted_and_the_image_is_not_listed(tmp_path: Path) -> None:
    for name in ("b", "a", "image", "B"):
        (tmp_path / name / "image").mkdir(parents=True)
    sources = OsSources(image=str(tmp_path / "image"))
    project = str(tmp_path).lstrip("/")
    assert sources.names(project) == ["B", "a", "b"]
    assert sources.names(f"{project}/a") == ["image"]


def test_content(project: str) -> None:
    sources = OsSources()
    sources.expect(project, tree=True)
    assert sources.read(f"{project}/f") == b"content"
    assert sources.sha256(f"{project}/f") == hashlib.sha256(b"content").hexdigest()


def test_facts(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "short").write_bytes(b"\x7fE")
    (tmp_path / "junk").write_bytes(b"\x7fELF" + b"\xff" * 60)
    sources, project = OsSources(), str(tmp_path).lstrip("/")
    for name in ("text", "short"):
        assert sources.facts(f"{project}/{name}") is None
        assert sources.malformed(f"{project}/{name}") == ""
    assert sources.facts(f"{project}/junk") is None
    assert sources.malformed(f"{project}/junk") != ""


def test_archive(tmp_path: Path) -> None:
    program = os.path.realpath("/proc/self/exe").lstrip("/")
    with zipfile.ZipFile(tmp_path / "app.whl", "w") as archive:
        archive.write(f"/{program}", "bin/program")
    (tmp_path / "text").write_bytes(b"PK\n" * 30)
    sources, wheel = OsSources(), str(tmp_path / "app.whl").lstrip("/")
    found = sources.archive(wheel)
    assert found is not None
    assert found.members == (("bin/program", sources.facts(program)),)
    assert sources.facts(wheel) is None
    assert sources.malformed(wheel) == ""
    assert sources.archive(program) is None
    assert sources.archive(str(tmp_path / "text").lstrip("/")) is None


@pytest.mark.parametrize("method", ["read", "sha256", "facts", "archive", "names"])
def test_what_cannot_be_read(tmp_path: Path, method: str) -> None:
    gone = str(tmp_path / "gone").lstrip("/")
    with pytest.raises(OcclumError, match="gone cannot be read: No such file") as caught:
        getattr(OsSources(), method)(gone)
    assert caught.value.code == "file"


@pytest.mark.parametrize("count", [10, 2_000])
def test_a_look_ahead_changes_nothing_of_what_is_told(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of files of all kinds, some of which are others, or gone, when they are read."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    elf = Path("/proc/self/exe").read_bytes()[:4096]
    contents = (b"text", b"", b"#!/bin/sh\n", b"PK\3\4" + bytes(100), elf, b"\x7fEL")
    paths, told = [f"/{number}" for number in range(count)], []
    for is_ahead in (False, True):
        for number in range(count):
            (tmp_path / f"{number}").write_bytes(contents[number % len(contents)])
        sources = OsSources(str(tmp_path))
        for path in paths:
            sources.lstat(path)
        (tmp_path / "7").unlink()
        (tmp_path / "8").write_bytes(b"other")
        if is_ahead:
            sources.look_ahead([*paths, *paths[:3]])
        told.append([_told_of(sources, path) for path in paths])
    assert told[0] == told[1]
    assert told[0][7:9] == [
        "/7 cannot be read: No such file or directory",
        "changed after the image was planned",
    ]


def _told_of(sources: OsSources, path: str) -> object:
    try:
        return (
            *(sources.facts(path), sources.malformed(path), sources.archive(path)),
            sources.script(path),
        )
    except OcclumError as error:
        return error.problems[0].message
