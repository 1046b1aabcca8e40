from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.process import packs
from occlum_build.process.complete import SYSROOTS, FileInPack, HostFile, complete_tree, table_json
from occlum_build.process.packs import pack_files, read_index


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packs, "PACK_BYTES", 2 << 20)
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
    folder = sandbox / "folder"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    pack_files(folder, sandbox)
    index = read_index((sandbox / "packs.json").read_bytes())
    assert [(one.name, one.sha256, one.size) for one in index] == [
        (name, hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    ]
    names = {path.name for path in (sandbox / "packs").iterdir()}
    assert names == {one.pack for one in index}
    assert 20 < len(names) <= 64
    assert not folder.exists()
    wanted = [FileInPack(f"a/{one.name}", one.pack, one.offset, one.size) for one in index]
    (sandbox / "table").write_bytes(table_json([], wanted))
    complete_tree("tree", "table")
    found = {path.name: path.read_bytes() for path in (sandbox / "tree/a").iterdir()}
    assert found == contents


def test_a_change_of_one_file_changes_one_pack(tmp_path: Path) -> None:
    digests = []
    for changed in (b"a", b"b"):
        folder = tmp_path / "folder"
        folder.mkdir()
        for number in range(100):
            content = changed if number == 50 else bytes([number])
            (folder / str(number)).write_bytes(content * 250_000)
        out = tmp_path / changed.decode()
        out.mkdir()
        pack_files(folder, out)
        digests.append(
            {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (out / "packs").iterdir()
            }
        )
    first, second = digests
    assert first.keys() == second.keys()
    assert sum(first[name] != second[name] for name in first) == 1


def test_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    pack_files(tmp_path / "folder", tmp_path)
    assert read_index((tmp_path / "packs.json").read_bytes()) == ()


def test_table_is_sorted() -> None:
    files = [host_file("b", b"", "/b"), host_file("a", b"", "/a")]
    assert table_json(files) == table_json(reversed(files))
