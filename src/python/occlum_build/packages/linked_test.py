from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Thread

import pytest

from occlum_build.files.testing import files_of_at_most
from occlum_build.packages.linked import (
    SECONDS_KEPT,
    SharedFile,
    link_files,
    put_directory,
    put_file,
    remove_unused,
    use,
)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory with files of a package."""
    for name in ("usr/bin/a", "usr/lib/b", "etc/c"):
        (tmp_path / "shared" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shared" / name).write_bytes(name.encode())
    return tmp_path / "shared"


def files_of(shared: Path) -> list[SharedFile]:
    return [SharedFile(path, str(shared)) for path in ("/usr/bin/a", "/usr/lib/b", "/etc/c")]


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if not path.is_dir()
    }


def test_files_are_shared(shared: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for _ in range(2):
        link_files(str(root), files_of(shared))
        assert contents(root) == contents(shared)
    assert (root / "etc/c").samefile(shared / "etc/c")
    assert (root / "etc/c").stat().st_nlink == 2


def test_what_else_is_at_a_place_goes(shared: Path, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.write_bytes(b"stays")
    for name in ("usr/bin", "usr/lib", "etc"):
        (root / name).mkdir(parents=True)
    (root / "usr/bin/a").write_bytes(b"older")
    (root / "usr/lib/b").symlink_to(outside)
    (root / "etc/c").symlink_to("gone")
    (root / "etc/d").write_bytes(b"of another package")
    link_files(str(root), files_of(shared))
    assert contents(root) == {**contents(shared), "etc/d": b"of another package"}
    assert not (root / "usr/lib/b").is_symlink() and outside.read_bytes() == b"stays"


def test_a_directory_at_a_place_is_an_error_that_leaves_nothing(
    shared: Path, tmp_path: Path
) -> None:
    (tmp_path / "root/etc/c").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        link_files(str(tmp_path / "root"), files_of(shared))
    assert [one.name for one in (tmp_path / "root/etc").iterdir()] == ["c"]


def test_several_at_once(shared: Path, tmp_path: Path) -> None:
    for n in range(200):
        (shared / f"usr/lib/{n}").write_bytes(b"%d" % n)
    files = [*files_of(shared), *(SharedFile(f"/usr/lib/{n}", str(shared)) for n in range(200))]
    errors: list[OSError] = []

    def link() -> None:
        try:
            link_files(str(tmp_path / "root"), files)
        except OSError as error:
            errors.append(error)

    threads = [Thread(target=link) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and contents(tmp_path / "root") == contents(shared)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_there_are_no_hard_links_files_are_copied(
    number: int, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    link_files(str(tmp_path / "root"), files_of(shared))
    assert contents(tmp_path / "root") == contents(shared)
    assert not (tmp_path / "root/etc/c").samefile(shared / "etc/c")


def test_a_file_system_that_is_full(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(_source: str, place: str, **_: object) -> None:
        Path(place).touch()
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="full"):
        link_files(str(tmp_path / "root"), files_of(shared))
    assert contents(tmp_path / "root") == {}


def test_a_file_is_put_in_place_of_another(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"stays")
    place = tmp_path / "root/etc/made"
    put_file(str(place), b"1")
    place.unlink()
    place.symlink_to(other)
    put_file(str(place), b"2")
    assert contents(tmp_path / "root") == {"etc/made": b"2"} and other.read_bytes() == b"stays"
    place.unlink()
    place.mkdir()
    with pytest.raises(OSError, match="directory"):
        put_file(str(place), b"3")
    assert [one.name for one in place.parent.iterdir()] == ["made"]


def test_a_full_disk_is_told_with_the_place(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, file = tmp_path / "root", SharedFile("/usr/bin/a", str(shared))

    def link(*_: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, "elsewhere")

    monkeypatch.setattr(os, "link", link)
    with files_of_at_most(4):
        with pytest.raises(OSError) as raised:
            put_file(str(root / "made"), b"12345")
        assert raised.value.filename == str(root / "made")
        with pytest.raises(OSError) as raised:
            link_files(str(root), [file])
        assert raised.value.filename == str(root / "usr/bin/a")
    assert contents(root) == {}


def test_a_directory_is_put_in_place_of_another(shared: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    for content in (b"1", b"2"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made/file").write_bytes(content)
        put_directory(str(tmp_path / "made"), str(place))
        assert contents(place) == {"file": content}
    put_file(str(tmp_path / "made/x"), b"")
    with pytest.raises(NotADirectoryError):
        put_directory(str(tmp_path / "made"), str(place / "file/x"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["place", "shared"]


def test_a_directory_that_another_run_puts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file(str(tmp_path / "made/file"), b"ours")
    rename = os.rename

    def late(old: str, new: str) -> None:
        if new == str(tmp_path / "place"):
            put_file(f"{new}/file", b"theirs")
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    put_directory(str(tmp_path / "made"), str(tmp_path / "place"))
    assert contents(tmp_path) == {"place/file": b"theirs"}


def test_what_was_not_used_for_long_is_removed(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    now = 1_800_000_000.0
    for name, age in (("old", SECONDS_KEPT + 1), ("young", SECONDS_KEPT - 1)):
        (cache / name / "usr").mkdir(parents=True)
        (cache / name / "usr/file").touch(mode=0o400)
        (cache / name / "usr").chmod(0o500)
        os.utime(cache / name, (now - age, now - age))
    (cache / "link").symlink_to(tmp_path)
    os.utime(cache / "link", (0, 0), follow_symlinks=False)
    (cache / "file").touch()
    os.utime(cache / "file", (0, 0))
    remove_unused(str(cache), now=now)
    assert sorted(one.name for one in cache.iterdir()) == ["young"]
    assert (cache / "young/usr/file").exists() and tmp_path.exists()
    assert use(str(cache / "young"))
    remove_unused(str(cache))
    assert (cache / "young").exists()
    remove_unused(str(tmp_path / "gone"))
    assert not use(str(tmp_path / "gone"))
