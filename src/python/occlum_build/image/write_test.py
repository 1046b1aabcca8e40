from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.files.source import SourceFile
from occlum_build.image import write as write_module
from occlum_build.image.entries import FILE, Entry, Origin
from occlum_build.image.existing import others_in
from occlum_build.image.plan import ImagePlan
from occlum_build.image.testing_write import (
    DUE,
    OLD,
    PLAN,
    dir_at,
    file_at,
    link_at,
    tree_of,
    write_image,
)
from occlum_build.image.write import ImageWriter, Written
from occlum_build.sources.os import OsSources


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_new_image_whatever_the_umask(source: Path, image: Path, mask: int) -> None:
    with _umask(mask):
        result = write_image(source, image / "deep", *PLAN)
    assert tree_of(image / "deep") == DUE
    assert stat.S_IMODE((image / "deep").stat().st_mode) == 0o755
    assert (image / "deep/d/b").read_bytes() == (source / "b").read_bytes()
    assert (image / "deep/d/a").stat().st_mtime_ns == OLD
    assert result == Written(written=5, bytes=3_000_010)


def test_existing_root_keeps_its_mode(source: Path, image: Path) -> None:
    image.mkdir()
    image.chmod(0o700)
    write_image(source, image, *PLAN)
    assert stat.S_IMODE(image.stat().st_mode) == 0o700


def test_root_that_takes_the_mode_of_a_source(source: Path, image: Path) -> None:
    source.chmod(0o1777)
    write_image(source, image, dir_at("", 0o1777, "."), file_at("a", "a"))
    assert stat.S_IMODE(image.stat().st_mode) == 0o1777
    assert image.stat().st_mtime_ns == source.stat().st_mtime_ns


def test_second_run_writes_nothing(source: Path, image: Path) -> None:
    (source / "ro").mkdir(mode=0o555)
    plan = (*PLAN, dir_at("ro", 0o555, "ro"))
    write_image(source, image, *plan)
    before = {path: path.lstat() for path in [image, *image.rglob("*")]}
    result = write_image(source, image, *plan)
    assert result == Written(unchanged=4)
    for path, status in before.items():
        after = path.lstat()
        assert (after.st_ino, after.st_mtime_ns) == (status.st_ino, status.st_mtime_ns), path
        if not path.is_dir():
            assert after.st_ctime_ns == status.st_ctime_ns, path


def test_content_decides_and_not_size_or_time(source: Path, image: Path) -> None:
    write_image(source, image, *PLAN)
    (source / "a").write_bytes(b"9" * 10)
    os.utime(source / "a", ns=(OLD, OLD))
    os.utime(source / "b", ns=(OLD + 1, OLD + 1))
    inode = (image / "d/b").stat().st_ino
    result = write_image(source, image, *PLAN)
    assert (image / "d/a").read_bytes() == b"9" * 10
    assert (image / "d/b").stat().st_mtime_ns == OLD + 1
    assert (image / "d/b").stat().st_ino == inode
    assert result == Written(written=1, unchanged=3, bytes=10)


def test_modes_and_links_are_brought_up_to_date(source: Path, image: Path) -> None:
    write_image(source, image, *PLAN)
    (image / "d").chmod(0o700)
    (image / "e").chmod(0o600)
    (image / "l").unlink()
    (image / "l").symlink_to("elsewhere")
    write_image(source, image, *PLAN)
    assert tree_of(image) == DUE


def test_hard_link_to_the_source_is_parted(source: Path, image: Path) -> None:
    image.mkdir()
    os.link(source / "a", image / "a")
    write_image(source, image, file_at("a", "a"))
    assert (image / "a").stat().st_ino != (source / "a").stat().st_ino


def test_other_kinds_are_replaced(source: Path, image: Path) -> None:
    (image / "d").mkdir(parents=True)
    os.mkfifo(image / "d/a")
    (image / "d/b").symlink_to(source / "a")
    (image / "l").write_bytes(b"file")
    write_image(source, image, *PLAN)
    assert tree_of(image) == DUE
    assert (source / "a").read_bytes() == b"1" * 10


def test_read_only_directories(source: Path, image: Path) -> None:
    (source / "ro").mkdir(mode=0o555)
    os.utime(source / "ro", ns=(OLD, OLD))
    plan = (dir_at("ro", 0o555, "ro"), file_at("ro/a", "a"))
    for content in (b"1", b"2"):
        (source / "a").write_bytes(content)
        write_image(source, image, *plan)
        assert (image / "ro/a").read_bytes() == content
        assert stat.S_IMODE((image / "ro").stat().st_mode) == 0o555
        assert (image / "ro").stat().st_mtime_ns == OLD


def test_sync_deletes_what_the_plan_does_not_name(source: Path, image: Path) -> None:
    outside = image.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"")
    (image / "other/below").mkdir(parents=True)
    (image / "d/extra").mkdir(parents=True)
    (image / "e").mkdir()
    (image / "linked").symlink_to(outside)
    (image / "l").write_bytes(b"")
    result = write_image(source, image, *PLAN, sync=True)
    assert tree_of(image) == DUE
    assert (outside / "kept").exists()
    assert result.removed == 5


def test_without_sync_the_rest_stays(source: Path, image: Path) -> None:
    (image / "other").mkdir(parents=True)
    write_image(source, image, *PLAN)
    assert (image / "other").is_dir()


def test_others_in(source: Path, image: Path) -> None:
    assert others_in(str(image), ImagePlan(PLAN)) == []
    write_image(source, image, *PLAN)
    assert others_in(str(image), ImagePlan(PLAN)) == []
    (image / "d/x/y").mkdir(parents=True)
    (image / "z").symlink_to(source)
    assert others_in(str(image), ImagePlan(PLAN)) == ["d/x", "z"]
    assert others_in(str(image), ImagePlan((file_at("d/x/y/f", "a"),))) == [
        "d/a",
        "d/b",
        "e",
        "l",
        "z",
    ]


def test_interrupted_write_leaves_no_half_file(
    source: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(source, image, *PLAN)
    (source / "b").write_bytes(b"3" * 3_000_000)

    def interrupted(source: SourceFile, out: int, *, is_hashed: bool) -> str:
        os.write(out, b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(write_module, "copy_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(source, image, *PLAN)
    assert tree_of(image) == DUE


def test_failed_rename_leaves_nothing(
    source: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: str, target: str, **_: int) -> None:
        raise OSError(28, "No space left on device", source)

    monkeypatch.setattr(os, "replace", refused)
    for entry in (file_at("a", "a"), link_at("l", "x")):
        with pytest.raises(OcclumError, match="cannot be written: No space left on device"):
            write_image(source, image, entry)
        assert tree_of(image) == {}


KILLED = """
import os, sys
from occlum_build.errors import Place
from occlum_build.image import write
from occlum_build.image.entries import FILE, Entry, Origin
from occlum_build.image.plan import ImagePlan
from occlum_build.sources.os import OsSources

def killed(source, target, is_hashed):
    os.write(target, b"half")
    os.kill(os.getpid(), 9)

write.copy_content = killed
entry = Entry("a", FILE, Origin(Place("f")), 0o644, "/a")
write.ImageWriter(sys.argv[2], OsSources(sys.argv[1])).write(ImagePlan((entry,)))
"""


def test_leftovers_of_a_killed_run_go_with_the_next(source: Path, image: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(source), str(image)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=env).returncode == -9
    (leftover,) = image.iterdir()
    assert leftover.read_bytes() == b"half"
    write_image(source, image, file_at("a", "a"))
    assert tree_of(image) == {"a": (0o644, "1" * 10)}


def test_planned_file_with_the_name_of_a_leftover_stays(source: Path, image: Path) -> None:
    name = ".occlum-build-own"
    for _ in range(2):
        write_image(source, image, file_at(name, "a"))
    assert list(tree_of(image)) == [name]


def test_second_run_at_the_same_time_is_refused(source: Path, image: Path) -> None:
    image.mkdir()
    fd = os.open(image, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(OcclumError, match="another run is writing"):
            write_image(source, image, *PLAN)
    finally:
        os.close(fd)
    write_image(source, image, *PLAN)
    assert tree_of(image) == DUE


def test_image_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OcclumError, match="cannot be written: ") as caught:
        write_image(source, tmp_path / "file/image", *PLAN)
    assert caught.value.code == "write"


def test_source_that_has_gone(source: Path, image: Path) -> None:
    with pytest.raises(OcclumError, match="gone cannot be read: No such file") as caught:
        write_image(source, image, file_at("a", "gone"))
    assert caught.value.code == "file"


def test_root_that_is_a_link(source: Path, image: Path, tmp_path: Path) -> None:
    image.symlink_to(tmp_path / "real")
    write_image(source, image, *PLAN)
    assert tree_of(tmp_path / "real") == DUE


def test_a_sparse_file_stays_sparse_and_is_compared_by_what_it_holds(tmp_path: Path) -> None:
    source = tmp_path / "disk"
    with open(source, "wb") as file:
        file.seek(5 << 20)
        file.write(b"data")
        file.truncate(1 << 30)
    plan = ImagePlan((Entry("disk", FILE, Origin(Place("b")), 0o644, str(source), 1 << 30),))
    image = tmp_path / "image/disk"
    for text, outcome in ((b"data", (1, 0)), (b"data", (0, 1)), (b"more", (1, 0))):
        with open(source, "r+b") as file:
            file.seek(5 << 20)
            file.write(text)
        written = ImageWriter(str(tmp_path / "image"), OsSources()).write(plan)
        assert (written.written, written.unchanged) == outcome
        with open(image, "rb") as file:
            file.seek(5 << 20)
            assert file.read(5) == text + b"\0"
        assert image.stat().st_size == 1 << 30
        assert image.stat().st_blocks * 512 < 1 << 20
