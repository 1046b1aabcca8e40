from __future__ import annotations

import os
import resource
import stat
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.occlum.encrypted_cache import (
    INDEX,
    EncryptedCache,
    Limits,
    entry_name,
    open_cache,
)
from occlum_build.sefs.keys import UserKey

KEY, OTHER_KEY = UserKey(bytes(range(16))).cache_key(), UserKey(bytes(16)).cache_key()
FILES = {"packs/0000": os.urandom(3_000_000), "packs/0001": b"one", ".ROOT_MAC": b"mac"}
DAY = 86_400


@pytest.fixture
def cache(tmp_path: Path) -> EncryptedCache:
    found = open_cache(tmp_path / "home/cache", Limits(100_000_000, 30))
    assert found is not None
    return found


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for path, content in FILES.items():
        file = tmp_path / "made" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "made"


def read(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names(cache: EncryptedCache) -> list[str]:
    return sorted(os.listdir(cache.folder))


def test_what_was_kept_is_taken(cache: EncryptedCache, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not cache.take("a", out, KEY)
    assert not out.exists()
    cache.keep("a", made, KEY)
    assert cache.take("a", out, KEY)
    assert read(out) == FILES
    assert read(made) == FILES
    assert not cache.take("b", tmp_path / "b", KEY)


def test_nothing_is_open_to_others(cache: EncryptedCache, made: Path) -> None:
    before = os.umask(0)
    try:
        cache.keep("a", made, KEY)
    finally:
        os.umask(before)
    found = [cache.folder, *cache.folder.rglob("*")]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert open_cache(tmp_path / "open", Limits(1, 1)) is not None
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "deep/new")
    assert open_cache(tmp_path / "link", Limits(1, 1)) is not None
    assert stat.S_IMODE((tmp_path / "deep/new").stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    assert open_cache(tmp_path / "file", Limits(1, 1)) is None


def flip(entry: Path) -> None:
    path = entry / "packs/0000"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def shorten(entry: Path) -> None:
    os.truncate(entry / "packs/0001", 1)


def lose(entry: Path) -> None:
    (entry / "packs/0001").unlink()


def forge(entry: Path) -> None:
    (entry / INDEX).write_text('{"files": "[]", "mac": "00"}')


def garble(entry: Path) -> None:
    (entry / INDEX).write_bytes(b"{")


def link(entry: Path) -> None:
    (entry / "packs/0001").unlink()
    (entry / "packs/0001").symlink_to("/etc/passwd")


def open_to_others(entry: Path) -> None:
    entry.chmod(0o750)


@pytest.mark.parametrize("damage", [flip, shorten, lose, forge, garble, link, open_to_others])
def test_damage_is_removed_and_made_anew(
    cache: EncryptedCache, made: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    cache.keep("a", made, KEY)
    damage(cache.folder / "a")
    assert not cache.take("a", tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()
    assert names(cache) == []
    cache.keep("a", made, KEY)
    assert cache.take("a", tmp_path / "out", KEY)


def test_entry_of_another_name_or_key_is_none(
    cache: EncryptedCache, made: Path, tmp_path: Path
) -> None:
    cache.keep("a", made, KEY)
    (cache.folder / "a").rename(cache.folder / "b")
    assert not cache.take("b", tmp_path / "out", KEY)
    cache.keep("a", made, KEY)
    assert not cache.take("a", tmp_path / "out", OTHER_KEY)


def test_two_runs_that_keep_the_same(cache: EncryptedCache, made: Path, tmp_path: Path) -> None:
    cache.keep("a", made, KEY)
    cache.keep("a", made, KEY)
    assert names(cache) == ["a"]
    assert cache.take("a", tmp_path / "out", KEY)


def test_old_and_many_entries_are_pruned(made: Path, tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache", Limits(7_000_000, 30))
    assert cache is not None
    cache.keep("old", made, KEY)
    cache.keep("kept", made, KEY)
    now = (cache.folder / "kept").stat().st_mtime
    os.utime(cache.folder / "old", (now - 31 * DAY, now - 31 * DAY))
    (cache.folder / ".new-left").mkdir()
    os.utime(cache.folder / ".new-left", (now - 2 * DAY, now - 2 * DAY))
    (cache.folder / ".new-of-a-run").mkdir()
    cache.prune(now)
    assert names(cache) == [".new-of-a-run", "kept"]
    os.utime(cache.folder / "kept", (now - 5, now - 5))
    cache.keep("second", made, KEY)
    os.utime(cache.folder / "second", (now - 4, now - 4))
    assert cache.take("kept", tmp_path / "out", KEY)
    cache.keep("third", made, KEY)
    assert names(cache) == [".new-of-a-run", "kept", "third"]


def test_nothing_else_in_the_directory_is_touched(made: Path, tmp_path: Path) -> None:
    """As somebody may name a directory that has other things in it."""
    home = tmp_path / "home"
    for path in ("photos/1.jpg", "site/index.json", "0" * 64 + "/text"):
        (home / path).parent.mkdir(parents=True)
        (home / path).write_text("[]")
        os.utime((home / path).parent, (1, 1))
    home.chmod(0o755)
    before = read(home)
    cache = open_cache(home, Limits(0, 0))
    assert cache is not None
    cache.keep("a", made, KEY)
    assert not cache.take("a", tmp_path / "out", KEY)
    assert read(home) == before
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_what_is_written_in_part_is_not_taken(
    cache: EncryptedCache, made: Path, tmp_path: Path
) -> None:
    """As where the disk is full within the last bytes of a file."""
    cache.keep("a", made, KEY)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_900_000, before[1]))
    try:
        cache.keep("b", made, KEY)
        assert not cache.take("a", tmp_path / "out", KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out").exists()
    assert names(cache) == ["a"]
    assert cache.take("a", tmp_path / "out", KEY)


def test_what_an_entry_has_is_told(cache: EncryptedCache, made: Path) -> None:
    cache.keep("a", made, KEY)
    found = cache.look("a", KEY)
    assert {one.path: one.size for one in found} == {name: len(FILES[name]) for name in FILES}
    by_path = {one.path: one for one in found}
    assert cache.content("a", by_path["packs/0001"]) == b"one"
    assert (cache.look("a", OTHER_KEY), cache.look("b", KEY)) == ((), ())
    (cache.folder / "a/packs/0001").write_bytes(b"two")
    assert cache.content("a", by_path["packs/0001"]) is None
    open_to_others(cache.folder / "a")
    assert cache.look("a", KEY) == ()


def test_names_are_of_all_parts() -> None:
    found = {entry_name("a", "b"), entry_name("b", "a"), entry_name("ab"), entry_name("a", "b", "")}
    assert len(found) == 4
