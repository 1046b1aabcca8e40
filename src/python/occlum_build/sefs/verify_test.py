from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.errors import OcclumError, Problem
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_format import parse_mac
from occlum_build.sefs.pf_reader_test import UNAUTHENTICATED
from occlum_build.sefs.testing_image import DIR, FILE, Forged, directory, forge_image
from occlum_build.sefs.verify import verify_image

ROOT_FILE, HELLO = "02" + "0" * 30, "08" + "0" * 30
SMALL = {2: directory(2, 2, (3, b"f", FILE)), 3: Forged(FILE, b"content")}


def problems(image: Path, key: UserKey | None = None, mac: bytes | None = None) -> list[Problem]:
    try:
        return verify_image(image, key, mac=mac).report.errors
    except OcclumError as error:
        return list(error.problems)


def codes(image: Path, key: UserKey | None = None, mac: bytes | None = None) -> list[str]:
    return [problem.code for problem in problems(image, key, mac)]


def copy_of(reference_images: Path, tmp_path: Path, mode: str) -> Path:
    return Path(shutil.copytree(reference_images / f"t1_small.{mode}", tmp_path / "image"))


@pytest.mark.parametrize("name", ["t1_small.int", "t1_small.enc", "t2_sizes.enc"])
def test_images_of_the_reference_are_right(
    vectors: Path, reference_images: Path, user_key: UserKey, name: str
) -> None:
    key = user_key if name.endswith("enc") else None
    mac = parse_mac((vectors / f"{name}.mac").read_text())
    result = verify_image(reference_images / name, key, mac=mac)
    assert result.report.errors == []
    assert result.mac == mac
    assert result.inodes == {"t1": 9, "t2": 37}[name[:2]]


@pytest.mark.parametrize("mode", ["int", "enc"])
def test_flipped_bytes_are_found_and_their_file_named(
    reference_images: Path, tmp_path: Path, user_key: UserKey, mode: str
) -> None:
    """Every byte of every 37 in all files of an image; pf_reader_test does all bytes of one."""
    image, key = copy_of(reference_images, tmp_path, mode), user_key if mode == "enc" else None
    for number, path in enumerate(sorted(image.iterdir())):
        descriptor = os.open(path, os.O_RDWR)
        for offset in range(number, 4096, 37):
            byte = os.pread(descriptor, 1, offset)
            os.pwrite(descriptor, bytes([byte[0] ^ 0x80]), offset)
            found = problems(image, key)
            os.pwrite(descriptor, byte, offset)
            if any(offset in ignored for ignored in UNAUTHENTICATED[mode]):
                assert found == [], (path.name, offset)
            else:
                assert [p.place.file for p in found if p.place] == [str(path)], (path.name, offset)
                assert "node 0" in found[0].message
        os.close(descriptor)
    assert problems(image, key) == []


def test_damaged_data_node_is_named_with_its_path(
    reference_images: Path, tmp_path: Path, user_key: UserKey
) -> None:
    image = Path(shutil.copytree(reference_images / "t2_sizes.enc", tmp_path / "image"))
    largest = max(image.iterdir(), key=lambda path: path.stat().st_size)
    with open(largest, "r+b") as file:
        file.seek(120 * 4096 + 5)
        file.write(b"\0\0\0\0")
    (problem,) = problems(image, user_key)
    assert problem.code == "pf-tag"
    assert str(problem.place) == str(largest)
    assert "node 120 (data node 117)" in problem.message
    assert "(in the image: /f01000000)" in problem.message


def test_wrong_key_mode_and_mac(vectors: Path, reference_images: Path, user_key: UserKey) -> None:
    encrypted, plain = reference_images / "t1_small.enc", reference_images / "t1_small.int"
    assert codes(encrypted, UserKey(bytes(16))) == ["pf-tag"]
    assert codes(encrypted) == codes(plain, user_key) == ["pf-mode"]
    mac = parse_mac((vectors / "t1_small.int.mac").read_text())
    assert codes(plain, None, mac) == []
    assert codes(encrypted, user_key, mac) == ["sefs-mac"]


@pytest.mark.parametrize("mode", ["int", "enc"])
def test_renamed_swapped_missing_and_added_files(
    reference_images: Path, tmp_path: Path, user_key: UserKey, mode: str
) -> None:
    image, key = copy_of(reference_images, tmp_path, mode), user_key if mode == "enc" else None
    victim, other = image / HELLO, image / ("07" + "0" * 30)
    content = victim.read_bytes()
    victim.write_bytes(other.read_bytes())
    assert codes(image, key) == ["pf-name"]
    victim.unlink()
    assert codes(image, key) == ["sefs-io"]
    victim.symlink_to(other)
    assert codes(image, key) == ["pf-name", "sefs-unknown-file"]
    victim.unlink()
    victim.write_bytes(content)
    (image / "metadata_recovery").write_bytes(b"")
    (image / ("0b" + "0" * 30)).write_bytes(content)
    found = problems(image, key)
    assert [problem.code for problem in found] == ["sefs-unknown-file", "sefs-recovery-file"]
    assert str(found[1].place) == str(image / "metadata_recovery")


def test_a_valid_file_of_another_image_is_not_taken(reference_images: Path, tmp_path: Path) -> None:
    image = copy_of(reference_images, tmp_path, "int")
    forged = {2: directory(2, 2, (8, b"f", FILE)), 8: Forged(FILE, b"hello, w0rld\n")}
    other = forge_image(tmp_path / "other", forged)
    shutil.copyfile(other / HELLO, image / HELLO)
    (problem,) = problems(image)
    assert problem.code == "sefs-mac"
    assert str(problem.place) == str(image / HELLO)


def test_damaged_directory_hides_nothing_else(reference_images: Path, tmp_path: Path) -> None:
    image = copy_of(reference_images, tmp_path, "int")
    (image / ROOT_FILE).write_bytes(b"")
    found = problems(image)
    assert [problem.code for problem in found] == ["pf-length"]
    assert "(in the image: /)" in found[0].message


def test_forged_image_is_right_when_nothing_is_changed(tmp_path: Path) -> None:
    assert problems(forge_image(tmp_path / "image", SMALL)) == []


def put(offset: int, layout: str, value: int) -> Callable[[bytearray], None]:
    def change(metadata: bytearray) -> None:
        struct.pack_into(layout, metadata, offset, value)

    return change


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (put(0, "<I", 1), "sefs-superblock", "magic"),
        (put(4, "<I", 1023), "sefs-superblock", "1 groups do not have 1023 blocks"),
        (put(8, "<I", 1), "sefs-superblock", "unused_blocks=1"),
        (put(12, "<I", 0), "sefs-superblock", "groups"),
        (put(4, "<I", 0xFFFFFC00), "sefs-superblock", "4294966272 blocks"),
        (put(128, "<B", 0xF8), "sefs-freemap", "inode 3 is marked free, but is in the tree"),
        (put(128, "<B", 0xE0), "sefs-freemap", "inode 4 is marked used, but is not in the tree"),
        (put(128, "<B", 0xF1), "sefs-freemap", "inode 0 is marked"),
        (put(3 * 128, "<Q", 8), "sefs-inode", "holds 7 bytes, inode 3 says 8"),
        (put(3 * 128, "<Q", (1 << 64) - 1), "sefs-inode", "holds 7 bytes"),
        (put(3 * 128 + 8, "<I", 4), "sefs-inode", "inode 3 has the type 4"),
        (put(3 * 128 + 8, "<I", 3), "sefs-dirent", "inode 3 has the type 3, its entry 1"),
        (put(3 * 128 + 14, "<H", 2), "sefs-inode", "inode 3 has 2 links"),
        (put(2 * 128 + 14, "<H", 3), "sefs-inode", "3 links, 0 subdirectories"),
        (put(2 * 128 + 16, "<I", 4), "sefs-inode", "holds 792 bytes, inode 2 says 1056"),
        (put(2 * 128 + 16, "<I", 1), "sefs-inode", "directory 2 has 1 entries"),
        (put(2 * 128 + 16, "<I", 0xFFFFFFFF), "sefs-inode", "directory 2 has 4294967295 entries"),
        (put(3 * 128 + 96, "<B", 0), "sefs-mac", "not the one that inode 3 holds"),
        (lambda metadata: metadata.extend(bytes(128)), "sefs-superblock", "plaintext bytes"),
        (lambda metadata: metadata.clear(), "sefs-superblock", "no room for the root inode"),
    ],
)
def test_forged_metadata(
    tmp_path: Path, change: Callable[[bytearray], None], code: str, message: str
) -> None:
    found = problems(forge_image(tmp_path / "image", SMALL, change))
    assert found, "accepted"
    assert found[0].code == code
    assert message in found[0].message
    assert found[0].place is not None


def test_unreachable_inode(tmp_path: Path) -> None:
    image = forge_image(tmp_path / "image", {**SMALL, 4: Forged(FILE, b"lost")})
    assert set(codes(image)) == {"sefs-superblock", "sefs-unknown-file"}


def test_group_full_of_inodes(tmp_path: Path) -> None:
    numbers = [n for n in range(3, 1030) if n != 1025]
    children = [(n, b"%d" % n, FILE) for n in numbers]
    inodes = {2: directory(2, 2, *children), **{n: Forged(FILE, b"") for n in numbers}}
    assert problems(forge_image(tmp_path / "image", inodes)) == []

    def mark_freemap_free(metadata: bytearray) -> None:
        metadata[1025 * 128] |= 2

    image = forge_image(tmp_path / "second", inodes, mark_freemap_free)
    assert "inode 1025" in problems(image)[0].message


def test_directory_type_is_what_inode_says(tmp_path: Path) -> None:
    inodes = {2: directory(2, 2, (3, b"d", DIR)), 3: Forged(FILE, b"")}
    assert codes(forge_image(tmp_path / "image", inodes)) == ["sefs-dirent"]


def test_missing_image(tmp_path: Path) -> None:
    assert codes(tmp_path / "none") == ["sefs-io"]
