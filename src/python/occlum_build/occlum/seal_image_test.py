from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum import seal_image as sealing
from occlum_build.occlum.file_sealer import CONTENTS, ImageFile
from occlum_build.occlum.seal import seal
from occlum_build.occlum.seal_image import (
    MACS,
    Request,
    parts_of,
    seal_image,
)
from occlum_build.occlum.testing import image_files
from occlum_build.process.packs import read_index
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.manifest import read_manifest

KEY = UserKey(bytes(range(16)))
MIB = 1 << 20


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sealing, "PACK_BYTES", MIB)
    Path(".sysroots").mkdir()
    Path(CONTENTS).mkdir()
    return tmp_path


def make_tree(contents: dict[str, bytes]) -> Path:
    tree = Path("tree")
    tree.mkdir()
    for path, content in contents.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    (tree / "link").symlink_to("a/b é")
    (tree / "empty").mkdir()
    return tree


def expected_of(tree: Path, key: UserKey | None) -> dict[str, bytes]:
    """What `seal` makes of the tree, whose manifest it leaves, by name."""
    out = Path("expected")
    out.mkdir()
    seal(tree, out, user_key=key)
    found = {path.name: path.read_bytes() for path in (out / "__ROOT").iterdir()}
    return {**found, ".ROOT_MAC": (out / ".ROOT_MAC").read_bytes()}


def unpacked(*folders: str) -> dict[str, bytes]:
    found = {}
    for folder in map(Path, folders):
        for file in read_index((folder / "packs.json").read_bytes()):
            content = (folder / "packs" / file.pack).read_bytes()[file.offset :][: file.size]
            assert hashlib.sha256(content).hexdigest() == file.sha256
            assert file.name not in found
            found[file.name] = content
    return {**found, ".ROOT_MAC": Path(folders[-1], ".ROOT_MAC").read_bytes()}


def run(out: str, request: Request, key: UserKey | None = None) -> None:
    Path(out).mkdir()
    seal_image(Request.from_json(request.to_json()), Path(out), key)


def contents() -> dict[str, bytes]:
    """Small files and empty ones, one that is inline, of one group and of more than 32 of them."""
    found = {f"many/{number:03}": bytes([number]) * 5_000 for number in range(250)}
    return {
        **found,
        "a/b é": b"",
        "a-b": b"inline",
        "group": os.urandom(300_000),
        "large": os.urandom(13 * MIB + 5),
    }


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("is_stored", [True, False])
def test_parts_make_what_one_process_makes(key: UserKey | None, is_stored: bool) -> None:
    tree = make_tree(contents())
    expected = expected_of(tree, key)
    salt = read_manifest(Path("expected/manifest.json")).digest.hex()
    files = image_files(Path("expected/manifest.json"))
    if is_stored:
        for path, file in files.items():
            Path(CONTENTS, file.sha256).write_bytes((tree / path).read_bytes())
    else:
        Path(".sysroots/x").symlink_to(tree.absolute())
        files = {path: file._replace(source=f"/{path}") for path, file in files.items()}
    every = tuple(files.values())
    run("whole", Request(every, salt, "expected/manifest.json"), key)
    assert unpacked("whole") == expected
    run("part0", Request(every[:100], salt), key)
    run("part1", Request(every[100:], salt), key)
    macs = (f"part0/{MACS}", f"part1/{MACS}")
    run("rest", Request((), salt, "expected/manifest.json", macs), key)
    assert unpacked("part0", "part1", "rest") == expected
    names = {path.name for path in Path("rest/packs").iterdir()}
    assert names == {"metadata", "tree-00000000"}


def test_an_edit_changes_one_part_and_one_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PART_BYTES", 4 * MIB)
    digests = []
    for changed in (b"a", b"longer"):
        files = []
        for number in range(1_000):
            content = changed if number == 50 else str(number).encode() * 3_000
            sha256 = hashlib.sha256(content).hexdigest()
            Path(CONTENTS, sha256).write_bytes(content)
            files.append(ImageFile(number + 2, len(content), sha256, ""))
        found = {}
        for index, part in enumerate(parts_of(files)):
            out = f"{changed.decode()}{index}"
            run(out, Request(part, ""))
            for path in Path(out, "packs").iterdir():
                found[index, path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        assert len({index for index, _ in found}) > 1
        digests.append(found)
    first, second = digests
    assert first.keys() == second.keys()
    assert sum(first[name] != second[name] for name in first) == 1


def test_packs_of_all_parts_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PART_BYTES", 4 * MIB)
    large = [b"%d" % number * (5 * MIB) for number in range(2)]
    contents = [*large, *(b"%d" % number for number in range(3, 6))]
    files = []
    for inode, content in enumerate(contents, 2):
        files.append(image_file(inode, content, ""))
        Path(CONTENTS, files[-1].sha256).write_bytes(content)
    names = []
    for number, part in enumerate(parts_of(files)):
        run(f"part{number}", Request(part, ""))
        names += os.listdir(f"part{number}/packs")
    assert len(names) == 3
    assert len({*names}) == len(names)


def sysroot(name: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        file = Path("hosts", name, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    Path(".sysroots", name).symlink_to(Path("hosts", name).absolute())


def image_file(inode: int, content: bytes, source: str) -> ImageFile:
    return ImageFile(inode, len(content), hashlib.sha256(content).hexdigest(), source)


def test_the_sysroot_with_the_content_is_found() -> None:
    large = os.urandom(2 * MIB)
    sysroot("a", {"x": b"another", "large": large[:-1] + b"?"})
    sysroot("b", {"y": b"y", "large": large + b"more"})
    sysroot("c", {"x": b"x", "large": large})
    run("out", Request((image_file(2, large, "/large"), image_file(3, b"x", "/x")), ""))
    run("alone", Request((image_file(3, b"x", "/x"),), ""))
    (first, second) = read_index(Path("out/packs.json").read_bytes())
    (alone,) = read_index(Path("alone/packs.json").read_bytes())
    assert first.name.startswith("02") and first.size == 2_125_824
    assert second._replace(pack=alone.pack) == alone


@pytest.mark.parametrize("files", [{}, {"x": b"y"}, {"x": b"another"}, {"x/below": b"x"}])
def test_content_that_nobody_has(files: dict[str, bytes]) -> None:
    sysroot("a", files)
    with pytest.raises(OcclumError) as error:
        run("out", Request((image_file(2, b"x", "/x"),), ""))
    (problem,) = error.value.problems
    assert problem.code == "host-content"
    assert problem.message.startswith("/x is not there or not what it was")


def test_fifo_in_the_place_of_a_file() -> None:
    sysroot("a", {"y": b"y"})
    os.mkfifo("hosts/a/x")
    with pytest.raises(OcclumError, match="/x is not there"):
        run("out", Request((image_file(2, b"x", "/x"),), ""))


def test_no_sysroot() -> None:
    with pytest.raises(OcclumError, match="/x is not there"):
        run("out", Request((image_file(2, b"x", "/x"),), ""))


def test_an_input_that_is_damaged() -> None:
    file = image_file(2, b"x", "")
    Path(CONTENTS, file.sha256).write_bytes(b"y")
    with pytest.raises(OcclumError, match=f"contents/{file.sha256} is not there"):
        run("out", Request((file,), ""))


def test_an_image_without_files() -> None:
    make_tree({})
    expected = expected_of(Path("tree"), None)
    run("out", Request((), "", "expected/manifest.json"))
    assert unpacked("out") == expected
