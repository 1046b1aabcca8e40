from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, FIFO, FILE, SYMLINK
from pants_occlum.dist import index as dist_index
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.memory import glance_of
from pants_occlum.dist.tree import TreeWriter


def file(path: str, content: bytes, mode: int = 0o644) -> TreeEntry:
    return TreeEntry(path, FILE, mode, hashlib.sha256(content).hexdigest(), len(content))


class Disk:
    """A tree on disk that is synced without Pants, from contents held here."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "dist/a.b/image"
        self.contents: dict[str, bytes] = {}
        self.index = dist_index.DistIndex()
        self.removed = 0

    def file(self, path: str, content: bytes, mode: int = 0o644) -> TreeEntry:
        self.contents[path] = content
        return file(path, content, mode)

    def sync(self, *entries: TreeEntry, glanced: bool = False) -> list[str]:
        """The paths that were written."""
        glance = glance_of(str(self.root), self.index) if glanced else None
        writer = TreeWriter(str(self.root), entries, self.index, glance)
        differing = writer.compare()
        for entry in differing:
            writer.put(entry, self.contents[entry.path])
        writer.finish()
        self.removed = writer.removed
        return [entry.path for entry in differing]

    def listing(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            name = path.relative_to(self.root).as_posix()
            found[name] = stat.filemode(status.st_mode)
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
        return found


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_true_modes_and_no_work_the_second_time(disk: Disk) -> None:
    entries = [
        TreeEntry("bin", DIR, 0o555),
        disk.file("bin/su", b"su", 0o4755),
        disk.file("etc/shadow", b"!", 0o600),
        disk.file("grün/ä", b"", 0o444),
        TreeEntry("lib", SYMLINK, 0o777, target="/usr/lib"),
        TreeEntry("tmp", DIR, 0o1777),
        TreeEntry("tmp/locked", DIR, 0o000),
    ]
    assert disk.sync(*entries) == ["bin/su", "etc/shadow", "grün/ä"]
    listing = {
        "bin": "dr-xr-xr-x",
        "bin/su": "-rwsr-xr-x",
        "etc": "drwxr-xr-x",
        "etc/shadow": "-rw-------",
        "grün": "drwxr-xr-x",
        "grün/ä": "-r--r--r--",
        "lib": "-> /usr/lib",
        "tmp": "drwxrwxrwt",
        "tmp/locked": "d---------",
    }
    assert disk.listing() == listing
    assert disk.sync(*entries) == []
    assert disk.listing() == listing
    assert disk.removed == 0


def test_empty_tree(disk: Disk) -> None:
    assert disk.sync() == []
    assert disk.root.is_dir() and disk.listing() == {}
    (disk.root / "extraneous").write_text("x")
    assert disk.sync() == []
    assert disk.listing() == {} and disk.removed == 1


def test_a_later_process_does_no_work_either(disk: Disk) -> None:
    entries = [disk.file("d/one", b"one"), disk.file("d/two", b"two")]
    disk.sync(*entries)
    disk.index.memory = None
    assert disk.sync(*entries) == []
    disk.index = dist_index.DistIndex()
    assert disk.sync(*entries) == ["d/one", "d/two"]


def test_only_directories_that_changed_are_compared(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    compare_one = TreeWriter._compare_one

    def noted(self: TreeWriter, fd: int, path: str, *rest: Any) -> Iterator[TreeEntry]:
        compared.append(path)
        return compare_one(self, fd, path, *rest)

    monkeypatch.setattr(TreeWriter, "_compare_one", noted)
    entries = [disk.file("a/x", b"x"), disk.file("b/c/x", b"x"), TreeEntry("e", DIR, 0o755)]
    disk.sync(*entries)
    assert sorted(compared) == ["", "a", "b", "b/c", "e"]
    compared.clear()
    disk.sync(*entries)
    assert compared == []
    disk.sync(*entries[:1], disk.file("b/c/x", b"y"), entries[2])
    assert compared == ["b/c"]


def test_copy_of_another_file(disk: Disk, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"other")
    entry = disk.file("d/su", b"su", 0o4755)
    writer = TreeWriter(str(disk.root), [entry], disk.index)
    writer.compare()
    assert not writer.copy(entry, bytes(tmp_path / "none"))
    assert not writer.copy(entry, bytes(source))
    assert disk.listing() == {"d": "drwx------"}
    source.write_bytes(b"su")
    assert writer.copy(entry, bytes(source))
    writer.finish()
    assert disk.listing() == {"d": "drwxr-xr-x", "d/su": "-rwsr-xr-x"}
    assert disk.sync(entry) == []


@pytest.mark.parametrize("content", [b"other", b"", b"su", b"suffix"])
def test_content_is_compared_as_it_is_written(disk: Disk, content: bytes) -> None:
    entry = disk.file("d/su", b"su", 0o4755)
    writer = TreeWriter(str(disk.root), [entry], disk.index)
    writer.compare()
    assert writer.put(entry, content) is (content == b"su")
    writer.finish()
    assert ("d/su" in disk.listing()) is (content == b"su")
    assert disk.sync(entry) == ([] if content == b"su" else ["d/su"])


def test_source_that_is_no_regular_file_or_grows(disk: Disk, tmp_path: Path) -> None:
    entry = disk.file("su", b"su")
    writer = TreeWriter(str(disk.root), [entry], disk.index)
    writer.compare()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "longer").write_bytes(b"su and more")
    for name in ("fifo", "longer", "."):
        assert not writer.copy(entry, bytes(tmp_path / name))
    assert not writer.copy(entry, b"/dev/zero")
    assert writer.copy(entry, bytes(tmp_path / "longer"), 0)


def test_errors_name_what_was_to_be_written(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = disk.file("d/su", b"su")
    writer = TreeWriter(str(disk.root), [entry], disk.index)
    writer.compare()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pants_occlum.dist.tree.write_or_skip", full)
        with pytest.raises(OcclumError) as error:
            writer.put(entry, b"su")
    assert str(error.value) == (
        f"{disk.root}/d/su: cannot be written: No space left on device\n"
        "  hint: free some space there; the next run completes what is missing"
    )
    writer.finish()
    assert list(disk.listing()) == ["d"]
    assert disk.sync(entry) == ["d/su"]


def test_file_in_the_way_of_dist_is_named(disk: Disk) -> None:
    disk.root.parent.parent.mkdir()
    disk.root.parent.write_text("mine")
    with pytest.raises(OcclumError) as error:
        disk.sync(disk.file("su", b"su"))
    (problem,) = error.value.problems
    assert (problem.code, str(problem.place)) == ("dist", str(disk.root.parent))
    assert problem.hint.endswith("remove it")
    assert disk.root.parent.read_text() == "mine"


def rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"two")  # of the same size, with the same mtime
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def make_private(path: Path) -> None:
    path.chmod(0o600)


def make_setuid(path: Path) -> None:
    path.chmod(0o4777)


def make_deep(path: Path) -> None:
    path.unlink()
    make_deep_directory(path)


def make_deep_directory(path: Path, levels: int = 3000) -> None:
    """Deeper than a path may be long, than Python recurses and than files may be open."""
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        os.close(os.open("f", os.O_CREAT, dir_fd=fd))
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.fchmod(fd, 0o500)
        os.close(fd)
        fd = below
    os.close(fd)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").touch()


def make_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("two")


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [
        rewrite,
        make_private,
        make_setuid,
        make_directory,
        make_deep,
        make_link,
        make_fifo,
        Path.unlink,
    ],
)
def test_damage_is_mended(disk: Disk, damage: Callable[[Path], None]) -> None:
    entries = [disk.file("d/one", b"one"), disk.file("d/two", b"two")]
    disk.sync(*entries)
    damage(disk.root / "d/one")
    assert disk.sync(*entries) == ["d/one"]
    assert (disk.root / "d/one").read_bytes() == b"one"
    assert disk.listing() == {"d": "drwxr-xr-x", "d/one": "-rw-r--r--", "d/two": "-rw-r--r--"}


def test_extraneous_entries_are_removed(disk: Disk) -> None:
    kept = disk.file("kept", b"")
    disk.sync(disk.file("gone/file", b""), TreeEntry("gone/sub", DIR, 0o555), kept)
    (disk.root / "gone/link").symlink_to("/")
    Path(os.fsdecode(bytes(disk.root) + b"/not-\xff")).touch()
    assert disk.sync(kept) == []
    assert disk.listing() == {"kept": "-rw-r--r--"}
    disk.sync()
    assert disk.listing() == {}


def test_kinds_trade_places(disk: Disk) -> None:
    disk.sync(
        disk.file("a/x", b""), disk.file("b", b""), TreeEntry("c", SYMLINK, 0o777, target="b")
    )
    disk.sync(
        disk.file("a", b""), TreeEntry("b", SYMLINK, 0o777, target="c"), disk.file("c/x", b"")
    )
    assert disk.listing() == {
        "a": "-rw-r--r--",
        "b": "-> c",
        "c": "drwxr-xr-x",
        "c/x": "-rw-r--r--",
    }


def test_deep_trees_are_removed(disk: Disk) -> None:
    kept = disk.file("kept", b"")
    disk.sync(kept)
    make_deep_directory(disk.root / "a")
    make_deep_directory(disk.root / "b", 40)
    (disk.root / "b" / "link").symlink_to("/")
    assert disk.sync(kept) == []
    assert disk.listing() == {"kept": "-rw-r--r--"}
    assert disk.removed == 2 * 3000 + 1 + 2 * 40 + 1 + 1


@pytest.mark.parametrize("planted", ["lib", "lib/deep", ""])
def test_planted_link_is_replaced_and_not_followed(
    disk: Disk, tmp_path: Path, planted: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "precious").write_bytes(b"precious")
    entries = [disk.file("lib/deep/file", b"new"), disk.file("lib/z", b"new")]
    disk.sync(*entries)
    shutil.rmtree(disk.root / planted)
    (disk.root / planted).symlink_to(outside)
    disk.sync(*entries)
    assert sorted(os.listdir(outside)) == ["deep", "precious"]
    assert os.listdir(outside / "deep") == []
    assert (disk.root / "lib/deep/file").read_bytes() == b"new"
    assert not (disk.root / planted).is_symlink()


def test_interrupted_sync_is_completed(disk: Disk) -> None:
    entries = [disk.file("a", b"a"), disk.file("b", b"b"), TreeEntry("ro", DIR, 0o555)]
    writer = TreeWriter(str(disk.root), entries, disk.index)
    writer.compare()
    writer.put(entries[0], b"a")
    (disk.root / ".occlum-0123").write_bytes(b"half of b")
    writer.finish()
    assert disk.sync(*entries) == ["b"]
    assert disk.listing() == {"a": "-rw-r--r--", "b": "-rw-r--r--", "ro": "dr-xr-xr-x"}


@pytest.mark.parametrize(
    "entries",
    [
        [file("../x", b"")],
        [file("/x", b"")],
        [file("a//x", b"")],
        [file("a/../x", b"")],
        [file("", b"")],
        [file(".", b"")],
        [file("x", b""), file("x", b"")],
        [file("x", b""), file("x/y", b"")],
        [TreeEntry("x", SYMLINK, 0o777, target="/"), file("x/y", b"")],
        [TreeEntry("x", FIFO, 0o644)],
    ],
)
def test_entries_that_make_no_tree(disk: Disk, entries: list[TreeEntry]) -> None:
    with pytest.raises(ValueError):
        TreeWriter(str(disk.root), entries, dist_index.DistIndex())


def test_holes_stay_holes(disk: Disk, tmp_path: Path) -> None:
    content = bytes(3 << 20) + b"data" + bytes(2 << 20)
    source = tmp_path / "source"
    source.write_bytes(content)
    wanted = file("a", content)
    writer = TreeWriter(str(disk.root), [wanted], disk.index)
    (differing,) = writer.compare()
    assert writer.copy(differing, bytes(source))
    writer.finish()
    assert (disk.root / "a").read_bytes() == content
    assert (disk.root / "a").stat().st_blocks * 512 < 2 << 20


def test_parts_of_a_file_are_written_by_several_threads(disk: Disk, tmp_path: Path) -> None:
    contents = {f"{number % 3}/{number}": os.urandom(number * 10) for number in range(300)}
    entries = [disk.file(path, content, 0o640) for path, content in contents.items()]
    pack = tmp_path / "pack"
    slices: list[tuple[TreeEntry, int]] = []
    for entry in entries:
        slices.append((entry, sum(one.size for one, _ in slices)))
    damaged = slices[150]
    pack.write_bytes(b"".join(contents.values()))
    flip_bit(pack, damaged[1])
    writer = TreeWriter(str(disk.root), entries, disk.index)
    assert len(writer.compare()) == 300
    with ThreadPoolExecutor(3) as threads:
        halves = slices[:100], slices[100:200], slices[200:]
        left = threads.map(lambda some: writer.copy_slices(os.fsencode(pack), some), halves)
        assert list(left) == [[], [damaged], []]
    assert writer.copy_slices(os.fsencode(tmp_path / "none"), slices[:1]) == slices[:1]
    writer.finish()
    del contents[damaged[0].path]
    found = {path: (disk.root / path).read_bytes() for path in disk.listing() if "/" in path}
    assert found == contents
    assert set(disk.listing().values()) == {"drwxr-xr-x", "-rw-r-----"}
    assert disk.sync(*entries) == [damaged[0].path]


def slices_of(pack: Path, disk: Disk, contents: Mapping[str, bytes]) -> list[tuple[TreeEntry, int]]:
    """Write a pack of some files; where each of them begins."""
    pack.write_bytes(b"".join(contents.values()))
    starts = accumulate((len(content) for content in contents.values()), initial=0)
    return [(disk.file(*item), start) for item, start in zip(contents.items(), starts)]


def test_directory_of_which_nothing_was_there_is_put_in_place_whole(
    disk: Disk, tmp_path: Path
) -> None:
    slices = slices_of(tmp_path / "pack", disk, {"a/x": b"one", "a/y": b"", "b/z": b"three"})
    folder = TreeEntry("a", DIR, 0o510)
    wanted = [folder, *(entry for entry, _ in slices)]
    writer = TreeWriter(str(disk.root), wanted, disk.index)
    assert len(writer.compare()) == 3
    assert writer.copy_slices(os.fsencode(tmp_path / "pack"), slices) == []
    assert list((disk.root / "a").iterdir()) == list((disk.root / "b").iterdir()) == []
    writer.place()
    assert [path.name for path in sorted(disk.root.rglob("*"))] == ["a", "x", "y", "b", "z"]
    writer.finish()
    assert (disk.root / "a").stat().st_mode & 0o777 == 0o510
    assert (disk.root / "b/z").read_bytes() == b"three"
    assert disk.sync(*wanted) == []


def test_directory_that_got_another_file_meanwhile_has_all(disk: Disk, tmp_path: Path) -> None:
    slices = slices_of(tmp_path / "pack", disk, {"a/x": b"one", "a/y": b"two"})
    wanted = [*(entry for entry, _ in slices), file("a/z", b"three")]
    writer = TreeWriter(str(disk.root), wanted, disk.index)
    writer.compare()
    assert writer.copy_slices(os.fsencode(tmp_path / "pack"), slices) == []
    assert writer.put(wanted[-1], b"three")
    writer.finish()
    assert {path.name: path.read_bytes() for path in (disk.root / "a").iterdir()} == {
        "x": b"one",
        "y": b"two",
        "z": b"three",
    }
    assert TreeWriter(str(disk.root), wanted, disk.index).compare() == []


def test_files_beside_their_place_do_not_stay_after_an_interruption(
    disk: Disk, tmp_path: Path
) -> None:
    slices = slices_of(tmp_path / "pack", disk, {"a/x": b"one"})
    writer = TreeWriter(str(disk.root), [slices[0][0]], disk.index)
    writer.compare()
    writer.copy_slices(os.fsencode(tmp_path / "pack"), slices)
    assert len(list(disk.root.iterdir())) == 2
    assert disk.sync(slices[0][0]) == ["a/x"]
    assert [path.name for path in sorted(disk.root.rglob("*"))] == ["a", "x"]


def test_directory_that_could_not_take_its_place_is_completed_by_the_next_sync(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"a/x": b"one", "a/y": b"two", "b/z": b"three"}
    slices = slices_of(tmp_path / "pack", disk, contents)
    wanted = tuple(entry for entry, _ in slices)
    writer = TreeWriter(str(disk.root), wanted, disk.index)
    writer.compare()
    writer.copy_slices(os.fsencode(tmp_path / "pack"), slices)
    rename = os.rename

    def full(old: str, new: str, **opened: int) -> None:
        if new in ("a", "x"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(old, new, **opened)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OcclumError, match=r"image/a: .*cannot be written"):
        writer.place()
    writer.finish()
    monkeypatch.undo()
    disk.contents = contents
    assert disk.sync(*wanted) == ["a/x", "a/y"]
    assert [path.name for path in sorted(disk.root.rglob("*"))] == ["a", "x", "y", "b", "z"]


def flip_bit(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)
