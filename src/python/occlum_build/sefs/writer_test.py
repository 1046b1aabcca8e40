from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.trees import remove_tree
from occlum_build.sefs import tree as tree_module
from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import DerivedKeys, RandomKeys, UserKey
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.reader import ImageReader
from occlum_build.sefs.testing_keys import RecordedKeys
from occlum_build.sefs.tree import scan_tree
from occlum_build.sefs.writer import zip_image

TREES = ("t0_empty", "t1_small", "t2_sizes", "t3_many", "t4_big", "t5_group", "t6_groups")


def content_of(image: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in image.iterdir()}


def sums_of(image: Path) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in content_of(image).items()}


def small_tree(path: Path) -> Path:
    (path / "d").mkdir(parents=True)
    (path / "d" / "f").write_bytes(b"f" * 20000)
    (path / "g").write_bytes(b"g")
    (path / "l").symlink_to("d/f")
    return path


@pytest.mark.parametrize("name", TREES)
def test_integrity_only_is_the_reference_byte_for_byte(
    vectors: Path, trees: Path, tmp_path: Path, name: str
) -> None:
    zip_image(trees / name, tmp_path / "image", tmp_path / "mac")
    recorded = (vectors / "sums" / f"{name}.int.sha256").read_text().splitlines()
    assert sums_of(tmp_path / "image") == {
        file: digest for digest, file in map(str.split, recorded)
    }
    assert (tmp_path / "mac").read_bytes() == (vectors / f"{name}.int.mac").read_bytes()


@pytest.mark.parametrize("name", ["t1_small", "t2_sizes"])
def test_encrypted_is_the_reference_byte_for_byte_with_its_keys(
    vectors: Path, trees: Path, reference_images: Path, tmp_path: Path, user_key: UserKey, name: str
) -> None:
    reference = reference_images / f"{name}.enc"
    keys = RecordedKeys(reference, user_key)
    result = zip_image(
        trees / name, tmp_path / "image", tmp_path / "mac", user_key=user_key, keys=keys
    )
    assert content_of(tmp_path / "image") == content_of(reference)
    assert (tmp_path / "mac").read_bytes() == (vectors / f"{name}.enc.mac").read_bytes()
    assert format_mac(result.mac) == (tmp_path / "mac").read_text()


def test_encrypted_is_deterministic_and_salted(tmp_path: Path, user_key: UserKey) -> None:
    tree = small_tree(tmp_path / "tree")
    images = {}
    for name, salt in (("a", b"1"), ("b", b"1"), ("c", b"2"), ("d", None), ("e", None)):
        zip_image(tree, tmp_path / name, user_key=user_key, salt=salt)
        images[name] = content_of(tmp_path / name)
    assert images["a"] == images["b"]
    assert images["d"] == images["e"]
    for name, other in (("c", "a"), ("d", "a")):
        assert all(images[name][file] != images[other][file] for file in images["a"])


def test_salt_of_a_tree_without_manifest_follows_content_mode_and_names(
    tmp_path: Path, user_key: UserKey
) -> None:
    tree = small_tree(tmp_path / "tree")

    def key_id(step: str) -> bytes:
        zip_image(tree, tmp_path / step, user_key=user_key)
        # The file that is not touched by any step.
        return (tmp_path / step / f"{3:02x}{0:030x}").read_bytes()[10:42]

    ids = [key_id("first")]
    os.utime(tree / "g", (1, 1))
    assert key_id("touched") == ids[0]
    (tree / "g").write_bytes(b"h")
    ids.append(key_id("content"))
    (tree / "g").chmod(0o600)
    ids.append(key_id("mode"))
    (tree / "g").rename(tree / "h")
    ids.append(key_id("name"))
    (tree / "l").unlink()
    (tree / "l").symlink_to("d")
    ids.append(key_id("target"))
    assert len(set(ids)) == len(ids)


def test_no_key_is_used_for_two_plaintexts(tmp_path: Path, user_key: UserKey) -> None:
    """Two versions of a tree, even under the same salt: equal keys mean equal plaintext."""
    plaintext_of: dict[bytes, bytes] = {}

    class Watch:
        def __init__(self, name: bytes) -> None:
            self.keys = DerivedKeys(user_key, b"salt").for_file(name)

        def node_keys(self, plaintexts: Sequence[memoryview], first_node: int) -> list[bytes]:
            keys = self.keys.node_keys(plaintexts, first_node)
            for key, plaintext in zip(keys, plaintexts):
                assert plaintext_of.setdefault(key, bytes(plaintext)) == plaintext
            return keys

        def key_id(self, encrypted_part: bytes) -> bytes:
            key = self.keys.key_id(encrypted_part)
            assert plaintext_of.setdefault(key, encrypted_part) == encrypted_part
            return key

    class WatchAll:
        def for_file(self, name: bytes) -> Watch:
            return Watch(name)

    tree = small_tree(tmp_path / "tree")
    zip_image(tree, tmp_path / "a", user_key=user_key, keys=WatchAll())
    before = len(plaintext_of)
    zip_image(tree, tmp_path / "same", user_key=user_key, keys=WatchAll())
    assert len(plaintext_of) == before
    (tree / "d" / "f").write_bytes(b"f" * 19500 + b"x" * 500)
    zip_image(tree, tmp_path / "b", user_key=user_key, keys=WatchAll())
    # One data node, its MHT node, node 0 of the file and of `metadata`.
    assert len(plaintext_of) == before + 4


def test_random_keys(tmp_path: Path, user_key: UserKey) -> None:
    tree = small_tree(tmp_path / "tree")
    for name in ("a", "b"):
        zip_image(tree, tmp_path / name, user_key=user_key, keys=RandomKeys())
    a, b = content_of(tmp_path / "a"), content_of(tmp_path / "b")
    assert all(a[file] != b[file] for file in a)


def test_special_files_are_left_out_with_a_warning(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    zip_image(tree, tmp_path / "without")
    os.mkfifo(tree / "d" / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "a"))
        result = zip_image(tree, tmp_path / "with")
    places = [str(warning.place) for warning in result.warnings]
    assert places == [str(tree / "a"), str(tree / "d" / "fifo")]
    assert content_of(tmp_path / "with") == content_of(tmp_path / "without")


def test_name_that_is_not_utf8_is_refused_and_nothing_left(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    with open(os.fsencode(tree) + b"/\xff\n", "wb"):
        pass
    with pytest.raises(OcclumError) as caught:
        zip_image(tree, tmp_path / "image")
    assert caught.value.code == "sefs-name"
    assert "\n" not in caught.value.problems[0].message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]


def test_an_image_that_exists_is_not_touched(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tmp_path / "image").mkdir()
    with pytest.raises(OcclumError) as caught:
        zip_image(tree, tmp_path / "image")
    assert caught.value.code == "sefs-exists"
    assert list((tmp_path / "image").iterdir()) == []


def test_nothing_is_left_when_the_mac_file_cannot_be_written(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    with pytest.raises(OcclumError) as caught:
        zip_image(tree, tmp_path / "image", tmp_path / "none" / "mac")
    assert caught.value.code == "sefs-io"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]


def test_missing_tree_and_tree_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("none", "file"):
        with pytest.raises(OcclumError) as caught:
            zip_image(tmp_path / name, tmp_path / "image")
        assert caught.value.code == "sefs-io"


def test_a_file_that_becomes_something_else_is_not_followed(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")

    class Swap:
        """Replaces files between the scan and the write, which starts with the root's keys."""

        def __init__(self, replace: object) -> None:
            self.replace = replace

        def for_file(self, name: bytes) -> RandomKeys:
            path = tree / "g"
            path.unlink(missing_ok=True)
            if self.replace == "link":
                path.symlink_to(secret)
            else:
                os.mkfifo(path)
            return RandomKeys()

    for replace in ("link", "fifo"):
        with pytest.raises(OcclumError) as caught:
            zip_image(tree, tmp_path / "image", user_key=UserKey(bytes(16)), keys=Swap(replace))
        assert caught.value.code == "sefs-source-changed"
        assert not (tmp_path / "image").exists()
        (tree / "g").unlink()
        (tree / "g").write_bytes(b"g")


def test_modes_of_a_manifest(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    modes = {"d": 0o700, "d/f": 0o4711, "g": 0o600}
    zip_image(tree, tmp_path / "image", modes=modes)
    with ImageReader(tmp_path / "image") as reader:
        found = {entry.path.decode(): entry.inode.mode for entry in reader.walk()}
    assert found == {"": 0o755, "d": 0o700, "d/f": 0o711, "g": 0o600, "l": 0o777}


def test_modes_must_be_those_of_the_tree(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    for modes, named in (({"d": 0, "g": 0}, "d/f"), ({"d": 0, "d/f": 0, "g": 0, "x": 0}, "x")):
        with pytest.raises(OcclumError) as caught:
            zip_image(tree, tmp_path / "image", modes=modes)
        assert caught.value.code == "sefs-manifest"
        assert f"'{named}'" in str(caught.value)


def test_too_many_subdirectories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tree_module, "MAX_SUBDIRECTORIES", 3)
    assert len(scan_tree(tmp_path).entries) == 4
    monkeypatch.setattr(tree_module, "MAX_SUBDIRECTORIES", 2)
    with pytest.raises(OcclumError) as caught:
        scan_tree(tmp_path)
    assert caught.value.code == "sefs-subdirectories"


def test_root_through_a_symlink(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tmp_path / "link").symlink_to(tree)
    zip_image(tree, tmp_path / "a")
    zip_image(tmp_path / "link", tmp_path / "b")
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")


def test_what_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("deep", dir_fd=here)
    top, name = tmp_path / "deep", "n" * 200
    below = os.open("deep", os.O_RDONLY, dir_fd=here)
    for _ in range(21):
        os.mkdir(name, dir_fd=below)
        here, below = below, os.open(name, os.O_RDONLY, dir_fd=below)
        os.close(here)
    os.close(below)
    with pytest.raises(OcclumError, match="holds a path of more than 4095 bytes"):
        zip_image(top, tmp_path / "image")
    assert not (tmp_path / "image").exists()
    remove_tree(top)


def test_deep_trees_do_not_need_a_deep_stack(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/tree" + "/d" * depth for depth in range(1101)]
    for path in paths:
        os.mkdir(path)
    result = zip_image(Path(paths[0]), tmp_path / "image")
    unzip_image(tmp_path / "image", tmp_path / "out")
    last = tmp_path / "image" / (2 + 1100 + 1).to_bytes(16, "little").hex()
    last.write_bytes(b"")
    with pytest.raises(OcclumError) as caught:
        unzip_image(tmp_path / "image", tmp_path / "damaged")
    names = sorted(path.name for path in tmp_path.iterdir())
    # Python's own rmtree, which pytest cleans up with, cannot remove such trees.
    for path in reversed(paths):
        os.rmdir(path)
        os.rmdir(path.replace("/tree", "/out"))
    assert result.inodes == 1101
    assert caught.value.code == "pf-length"
    assert names == ["image", "out", "tree"]
