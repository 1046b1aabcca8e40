from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.file_sealer import CONTENTS, ImageFile
from occlum_build.occlum.seal_files import Wanted, request_json, seal_files
from occlum_build.occlum.seal_image import MACS, Request, read_macs, seal_image
from occlum_build.occlum.testing import run_process
from occlum_build.process.packs import read_index

MIB = 1 << 20


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With files in an input, in a sysroot, and one that is too large for one group."""
    monkeypatch.chdir(tmp_path)
    for folder in (CONTENTS, ".sysroots", "host", "dist"):
        Path(folder).mkdir()
    Path(".sysroots/x").symlink_to(tmp_path / "host")
    return tmp_path


def files() -> list[ImageFile]:
    contents = [b"%d" % number * (number * 40) for number in range(300)]
    contents.append(os.urandom(5 * MIB))
    found = []
    for inode, content in enumerate(contents, 2):
        sha256 = hashlib.sha256(content).hexdigest()
        source = f"/{inode}" if inode % 3 else ""
        Path(f"host{source}" if source else f"{CONTENTS}/{sha256}").write_bytes(content)
        found.append(ImageFile(inode, len(content), sha256, source))
    return found


def sealed(files: list[ImageFile], *, has_packs: bool = False) -> Path:
    out = Path(f"sealed{has_packs}")
    out.mkdir()
    seal_image(Request.from_json(Request(tuple(files), "", has_packs=has_packs).to_json()), out)
    return out


def wanted_of(files: list[ImageFile]) -> list[Wanted]:
    macs = read_macs((sealed(files) / MACS).read_bytes())
    assert [one.inode for one in macs] == [file.inode for file in files]
    return [Wanted(file, mac.sha256) for file, mac in zip(files, macs)]


def in_packs(out: Path) -> dict[str, bytes]:
    return {
        one.name: (out / "packs" / one.pack).read_bytes()[one.offset :][: one.size]
        for one in read_index((out / "packs.json").read_bytes())
    }


def in_dist() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("dist").iterdir()}


def test_files_are_what_packs_have() -> None:
    every = files()
    wanted = wanted_of(every)
    packed = sealed(every, has_packs=True)
    assert sorted(os.listdir("sealedFalse")) == [MACS]
    assert Path("sealedFalse", MACS).read_bytes() == (packed / MACS).read_bytes()
    seal_files(wanted, "dist")
    assert in_dist() == in_packs(packed)
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path("dist").iterdir()} == {0o644}


def test_as_a_process_with_a_umask() -> None:
    wanted = wanted_of(files())[:5]
    Path("request.json").write_bytes(request_json(wanted))
    before = os.umask(0o077)
    try:
        run = run_process(Path(), "seal_files", "request.json", os.path.abspath("dist"))
    finally:
        os.umask(before)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert len(in_dist()) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path("dist").iterdir()} == {0o644}


def test_what_stands_there_is_written_anew() -> None:
    wanted = wanted_of(files()[:3])
    seal_files(wanted, "dist")
    expected = in_dist()
    for path in Path("dist").iterdir():
        path.write_bytes(b"?" * 10_000)
    seal_files(wanted, "dist")
    assert in_dist() == expected


@pytest.mark.parametrize("content", [None, b"", b"another", b"longer than before"])
def test_a_content_that_nobody_has(content: bytes | None) -> None:
    wanted = wanted_of(files())
    Path("host/4").unlink()
    if content is not None:
        Path("host/4").write_bytes(content)
    Path("request.json").write_bytes(request_json(wanted))
    run = run_process(Path(), "seal_files", "request.json", "dist")
    assert run.returncode == 3
    assert "/4 is not there or not what it was" in run.stderr


def test_another_file_than_was_measured() -> None:
    (one, *_) = wanted_of(files()[:3])
    with pytest.raises(OcclumError) as caught:
        seal_files([one._replace(sealed_sha256="00" * 32)], "dist")
    (problem,) = caught.value.problems
    assert problem.code == "sealed"
    assert str(problem.place).endswith(f"dist/{one.file.name}")


def test_nothing_is_written_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = wanted_of(files()[:3])
    parents = iter([10, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(OcclumError, match="Pants has ended"):
        seal_files(wanted, "dist")
    assert in_dist() == {}


@pytest.mark.parametrize("directory", ["missing", "file"])
def test_a_directory_that_cannot_be_written(directory: str) -> None:
    Path("file").touch()
    with pytest.raises(OcclumError) as caught:
        seal_files(wanted_of(files()[:3]), directory)
    assert caught.value.problems[0].code == "sefs-io"


def test_no_link_is_followed() -> None:
    (one, *_) = wanted_of(files()[:3])
    Path("target").touch()
    Path("dist", one.file.name).symlink_to(Path("target").absolute())
    with pytest.raises(OcclumError):
        seal_files([one], "dist")
    assert Path("target").read_bytes() == b""
