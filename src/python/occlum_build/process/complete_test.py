from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.process.complete import SYSROOTS, FileInPack, HostFile, complete_tree, table_json


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path(SYSROOTS).mkdir()
    return tmp_path


def sysroot(name: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        file = Path("hosts", name, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    Path(SYSROOTS, name).symlink_to(Path("hosts", name).absolute())


def host_file(path: str, content: bytes, source: str) -> HostFile:
    return HostFile(path, hashlib.sha256(content).hexdigest(), source)


def complete(*files: HostFile) -> dict[str, bytes]:
    Path("table").write_bytes(table_json(files))
    Path("tree/own").mkdir(parents=True, exist_ok=True)
    complete_tree("tree", "table")
    found = (path for path in Path("tree").rglob("*") if path.is_file())
    return {str(path.relative_to("tree")): path.read_bytes() for path in found}


def test_files_are_copied_to_their_paths() -> None:
    large = bytes(range(256)) * 10_000
    sysroot("a", {"usr/lib/x": b"x", "data/large": large})
    assert complete(
        host_file("lib/deep/x", b"x", "/usr/lib/x"),
        host_file("own/large", large, "/data/large"),
        host_file("again", b"x", "/usr/lib/x"),
    ) == {"lib/deep/x": b"x", "own/large": large, "again": b"x"}


def test_the_sysroot_with_the_content_is_found() -> None:
    sysroot("a", {"x": b"another"})
    sysroot("b", {"y": b"y"})
    sysroot("c", {"x": b"x"})
    assert complete(host_file("x", b"x", "/x")) == {"x": b"x"}


@pytest.mark.parametrize("files", [{}, {"x": b"another"}, {"x/below": b"x"}])
def test_content_that_nobody_has(files: dict[str, bytes]) -> None:
    sysroot("a", files)
    with pytest.raises(OcclumError) as error:
        complete(host_file("x", b"x", "/x"))
    (problem,) = error.value.problems
    assert problem.code == "host-content"
    assert problem.message.startswith("/x is not there or not what it was")
    assert not Path("tree/x").exists()


def test_fifo_in_the_place_of_a_file() -> None:
    sysroot("a", {"y": b"y"})
    os.mkfifo("hosts/a/x")
    with pytest.raises(OcclumError, match="/x is not there"):
        complete(host_file("x", b"x", "/x"))


def test_no_sysroot() -> None:
    with pytest.raises(OcclumError, match="/x is not there"):
        complete(host_file("x", b"x", "/x"))


def test_files_in_packs(sandbox: Path) -> None:
    contents = {f"{number:03}": os.urandom(number * 125_000) for number in range(40)}
    (sandbox / "packs").mkdir()
    wanted = []
    for names in (list(contents)[:30], list(contents)[30:]):
        offset = 0
        for name in names:
            wanted.append(FileInPack(f"a/{name}", names[0], offset, len(contents[name])))
            offset += len(contents[name])
        (sandbox / "packs" / names[0]).write_bytes(b"".join(contents[name] for name in names))
    (sandbox / "table").write_bytes(table_json([], wanted))
    complete_tree("tree", "table")
    found = {path.name: path.read_bytes() for path in (sandbox / "tree/a").iterdir()}
    assert found == contents


def test_table_is_sorted() -> None:
    files = [host_file("b", b"", "/b"), host_file("a", b"", "/a")]
    assert table_json(files) == table_json(reversed(files))
