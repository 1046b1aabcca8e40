"""Whatever byte of an instance is another one, verifying it says so, and names the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.verify.enclave import SIGNED
from occlum_build.verify.files import BUILD_ONLY
from occlum_build.verify.rows import Row
from occlum_build.verify.testing import copied, differing, files_of, verified

# Of node 0 of a protected file: a byte of each field (docs/sefs-format.md, 1.1 and 1.2), of the
# first and the last byte of what no tag covers; and of the other nodes.
NODE = 4096
FIELDS = (0, 8, 9, 10, 42, 58, 60, 61, 77, 93, 94, 95, 354, 355, 363, 379, 383, 399, 415, 3486)
NODE_0 = (*FIELDS, 3487, NODE - 1)
OTHER_NODES = (0, NODE - 1)
# A prime, so that it meets all of the tables and pages of the libOS in time.
STEP = 307


def offsets(path: str, size: int) -> Iterator[int]:
    """Of the bytes that are changed, one after the other."""
    if "/__ROOT/" in path or path.endswith(".protected"):
        yield from NODE_0
        for start in range(NODE, size, NODE):
            yield from (start + offset for offset in OTHER_NODES)
    elif path == SIGNED:
        yield from range(0, size, STEP)
    else:
        yield from sorted({0, size // 3, size // 2, size - 1} & set(range(size)))


def names(row: Row, path: str) -> bool:
    name = path.rpartition("/")[2]
    return name in row.about or name in row.note


def test_every_file_and_class_of_bytes(
    built: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    instance, tried, unnamed = copied(built, tmp_path / "app"), 0, []
    sealed: set[tuple[str, int]] = set()
    for path in files_of(instance):
        file = instance / path
        content = file.read_bytes()
        if "/__ROOT/" in path and not path.endswith("metadata"):
            kind = (path.split("/")[1], len(content))  # one of each folder and size is enough
            if kind in sealed:
                continue
            sealed.add(kind)
        os.chmod(file, 0o644)
        for offset in offsets(path, len(content)):
            changed = bytearray(content)
            changed[offset] ^= 1
            file.write_bytes(changed)
            tried += 1
            if not any(names(row, path) for row in differing(verified(instance))):
                unnamed.append(f"{path} at {offset}")
        file.write_bytes(content)
    record_property("changed bytes that are named", tried)
    assert unnamed == []
    assert tried > 300
    assert verified(instance).agrees


def test_every_file_that_is_not_there(built: Path, tmp_path: Path) -> None:
    instance, unnamed = copied(built, tmp_path / "app"), []
    for path in files_of(instance):
        if path in ("measurement.json", "manifest.json"):
            continue  # an instance need not have them
        file = instance / path
        file.rename(tmp_path / "away")
        try:
            if not any(names(row, path) for row in differing(verified(instance))):
                unnamed.append(path)
        except OcclumError as error:
            assert "libocclum-pal.so" in str(error)
        (tmp_path / "away").rename(file)
    assert unnamed == []


def places(instance: Path) -> Iterator[str]:
    """Of files and directories; one of each folder and size in a secure file system is enough."""
    sealed: set[tuple[str, int]] = set()
    for place in sorted(instance.rglob("*")):
        path = place.relative_to(instance).as_posix()
        if place.is_symlink() or path == "build":  # without which it is no instance
            continue
        if "/__ROOT/" in path and not path.endswith("metadata"):
            kind = (path.split("/")[1], place.stat().st_size)
            if kind in sealed:
                continue
            sealed.add(kind)
        yield path


@pytest.mark.parametrize("is_whole", [True, False])
def test_every_file_and_directory_that_is_something_else(
    built: Path, tmp_path: Path, record_property: Callable[[str, object], None], is_whole: bool
) -> None:
    """A link to itself elsewhere, and of a directory an empty file; with and without all files."""
    instance, away, unnamed, tried = copied(built, tmp_path / "app"), tmp_path / "away", [], 0
    if not is_whole:
        for path in BUILD_ONLY:
            (instance / path).unlink()
    for path in places(instance):
        place = instance / path
        changes = [partial(place.symlink_to, away)]
        if place.is_dir():
            changes.append(partial(place.touch))
        place.rename(away)
        for change in changes:
            change()
            tried += 1
            try:
                if not any(names(row, path) for row in differing(verified(instance))):
                    unnamed.append(path)
            except OcclumError as error:
                assert "libocclum-pal.so" in str(error)
            place.unlink()
        away.rename(place)
    record_property("changed kinds that are named", tried)
    assert unnamed == []
    assert tried > 60
    assert verified(instance).agrees


def test_every_file_of_an_instance_as_package_takes_it(
    built: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What only a build leaves is not there; what else is there is named all the same."""
    instance, unnamed, tried = copied(built, tmp_path / "app"), [], 0
    for path in BUILD_ONLY:
        (instance / path).unlink()
    for path in places(instance):
        file = instance / path
        if not file.is_file():
            continue
        os.chmod(file, 0o644)
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
        tried += 1
        if not any(names(row, path) for row in differing(verified(instance))):
            unnamed.append(path)
        file.write_bytes(content)
    record_property("changed files that are named", tried)
    assert unnamed == []
    assert tried > 30


def test_every_link_that_leads_elsewhere(built: Path, tmp_path: Path) -> None:
    instance, links = copied(built, tmp_path / "app"), 0
    for link in sorted(path for path in instance.rglob("*") if path.is_symlink()):
        target, path = os.readlink(link), link.relative_to(instance).as_posix()
        link.unlink()
        link.symlink_to("/etc/passwd")
        rows = [row for row in differing(verified(instance)) if row.about == path]
        assert [row.stated.rpartition(" ")[2] for row in rows] == ["/etc/passwd"]
        link.unlink()
        link.symlink_to(target)
        links += 1
    assert links == 8
