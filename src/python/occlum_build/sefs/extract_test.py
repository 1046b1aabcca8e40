from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.testing_image import DIR, FILE, SYMLINK, Forged, directory, forge_image
from occlum_build.sefs.writer import zip_image


def listing(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything below a directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISLNK(mode):
            content = os.readlink(os.fsencode(path))
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        found[str(path.relative_to(root))] = (mode & ~0o7000, content)
    return found


@pytest.mark.parametrize("name", ["t1_small.int", "t1_small.enc", "t2_sizes.enc"])
def test_images_of_the_reference(
    trees: Path, reference_images: Path, tmp_path: Path, user_key: UserKey, name: str
) -> None:
    key = user_key if name.endswith("enc") else None
    unzip_image(reference_images / name, tmp_path / "out", key)
    assert listing(tmp_path / "out") == listing(trees / name[:-4])
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


def test_round_trip_without_permissions(tmp_path: Path, user_key: UserKey) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "f").write_bytes(b"f")
    modes = {"a": 0o000, "a/b": 0o555, "a/b/f": 0o400}
    zip_image(tree, tmp_path / "image", user_key=user_key, modes=modes)
    assert unzip_image(tmp_path / "image", tmp_path / "out", user_key) == 4
    assert stat.S_IMODE((tmp_path / "out" / "a").stat().st_mode) == 0
    (tmp_path / "out" / "a").chmod(0o755)
    assert stat.S_IMODE((tmp_path / "out" / "a" / "b").stat().st_mode) == 0o555
    assert (tmp_path / "out" / "a" / "b" / "f").read_bytes() == b"f"


def test_a_directory_that_exists_is_not_touched(reference_images: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (tmp_path, tmp_path / "link"):
        with pytest.raises(OcclumError) as caught:
            unzip_image(reference_images / "t1_small.int", target)
        assert caught.value.code == "sefs-exists"


def test_wrong_mac(reference_images: Path, tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        unzip_image(reference_images / "t1_small.int", tmp_path / "out", mac=bytes(16))
    assert caught.value.code == "sefs-mac"


FILE_3 = Forged(FILE, b"x")
SUB_3 = directory(3, 2)


@pytest.mark.parametrize(
    ("inodes", "code"),
    [
        ({2: directory(2, 2, (3, b"../escape", FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"/escape", FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"..", DIR)), 3: SUB_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b".", FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"", FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"a\0b", FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"\xff", FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"x" * 256, FILE)), 3: FILE_3}, "sefs-name"),
        ({2: directory(2, 2, (3, b"a", FILE), (4, b"a", DIR)), 3: FILE_3}, "sefs-dirent"),
        ({2: directory(2, 2, (2, b"self", DIR))}, "sefs-cycle"),
        ({2: directory(2, 2, (3, b"d", DIR)), 3: directory(3, 2, (2, b"up", DIR))}, "sefs-cycle"),
        ({2: directory(2, 2, (3, b"d", DIR)), 3: directory(3, 2, (3, b"me", DIR))}, "sefs-cycle"),
        ({2: directory(2, 2, (3, b"a", FILE), (3, b"b", FILE)), 3: FILE_3}, "sefs-cycle"),
        ({2: directory(2, 3)}, "sefs-dirent"),
        ({2: directory(2, 2, (3, b"d", DIR)), 3: directory(3, 3)}, "sefs-dirent"),
        ({2: directory(2, 2, (3, b"d", DIR)), 3: directory(4, 2)}, "sefs-dirent"),
        ({2: directory(2, 2, (0, b"a", FILE))}, "sefs-inode"),
        ({2: directory(2, 2, (1, b"a", FILE))}, "sefs-inode"),
        ({2: directory(2, 2, (0xFFFFFFFF, b"a", FILE))}, "sefs-inode"),
        ({2: FILE_3}, "sefs-dirent"),
        ({2: directory(2, 2, (3, b"l", SYMLINK)), 3: Forged(SYMLINK, b"")}, "sefs-link"),
        ({2: directory(2, 2, (3, b"l", SYMLINK)), 3: Forged(SYMLINK, b"a\0b")}, "sefs-link"),
        ({2: directory(2, 2, (3, b"l", SYMLINK)), 3: Forged(SYMLINK, b"x" * 4096)}, "sefs-link"),
        ({2: Forged(DIR, bytes(300), nlinks=2, blocks=1)}, "sefs-inode"),
        ({2: Forged(DIR, bytes(528), nlinks=2)}, "sefs-dirent"),
    ],
)
def test_hostile_images(tmp_path: Path, inodes: dict[int, Forged], code: str) -> None:
    image = forge_image(tmp_path / "image", inodes)
    (tmp_path / "safe").mkdir()
    with pytest.raises(OcclumError) as caught:
        unzip_image(image, tmp_path / "safe" / "out")
    assert caught.value.code == code
    assert caught.value.problems[0].place is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image", "safe"]
    assert list((tmp_path / "safe").iterdir()) == []


def test_symlinks_are_written_and_never_followed(tmp_path: Path) -> None:
    inodes = {
        2: directory(2, 2, (3, b"a", SYMLINK), (4, b"b", DIR)),
        3: Forged(SYMLINK, os.fsencode(tmp_path)),
        4: directory(4, 2, (5, b"f", FILE)),
        5: Forged(FILE, b"f", mode=0o6755),
    }
    unzip_image(forge_image(tmp_path / "image", inodes), tmp_path / "out")
    assert os.readlink(tmp_path / "out" / "a") == str(tmp_path)
    assert stat.S_IMODE((tmp_path / "out" / "b" / "f").stat().st_mode) == 0o755


def test_two_inodes_with_one_file(tmp_path: Path) -> None:
    disk = bytes(range(16))
    inodes = {
        2: directory(2, 2, (3, b"a", FILE), (4, b"b", FILE)),
        3: Forged(FILE, b"x", disk=disk),
        4: Forged(FILE, b"x", disk=disk),
    }
    with pytest.raises(OcclumError, match="inode 4 shares the file of another"):
        unzip_image(forge_image(tmp_path / "image", inodes), tmp_path / "out")


def test_name_of_the_file_is_taken_from_the_inode(tmp_path: Path) -> None:
    inodes = {
        2: directory(2, 2, (3, b"a", FILE)),
        3: Forged(FILE, b"x", disk=bytes(range(16))),
    }
    unzip_image(forge_image(tmp_path / "image", inodes), tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"x"


def test_endless_paths(tmp_path: Path) -> None:
    depth, name = 20, b"x" * 250
    inodes = {n: directory(n, max(2, n - 1), (n + 1, name, DIR)) for n in range(2, 2 + depth)}
    inodes[2 + depth] = directory(2 + depth, 1 + depth)
    with pytest.raises(OcclumError) as caught:
        unzip_image(forge_image(tmp_path / "image", inodes), tmp_path / "out")
    assert caught.value.code in ("sefs-name", "sefs-io")
    assert not (tmp_path / "out").exists()
