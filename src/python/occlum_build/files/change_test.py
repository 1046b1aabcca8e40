from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files import change as change_module
from occlum_build.files import moves
from occlum_build.files.change import Change
from occlum_build.files.exchange import exchange
from occlum_build.files.recovery import recover, sweep
from occlum_build.files.stages import has_stages, make_stage
from occlum_build.files.testing import content, killed, two_files


@pytest.fixture(params=["exchange", "two renames"])
def each_way(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without a file system that exchanges two things."""
    if request.param == "two renames":
        monkeypatch.setattr(moves, "exchange", lambda _first, _second: False)


def test_files_have_the_modes_that_are_asked_for(tmp_path: Path) -> None:
    old_umask = os.umask(0o027)
    try:
        with Change() as change:
            change.write(tmp_path / "a", b"A")
            change.write(tmp_path / "b", b"B", 0o755)
            assert content(tmp_path).keys().isdisjoint({"a", "b"})
            change.commit()
    finally:
        os.umask(old_umask)
    assert content(tmp_path) == {"a": "A", "b": "B"}
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"]
    assert modes == [0o640, 0o755]


def test_without_commit_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with Change() as change:
        change.write(tmp_path / "a", b"new")
    with pytest.raises(KeyboardInterrupt), Change() as change:
        change.part(tmp_path / "b").mkdir()
        raise KeyboardInterrupt
    assert content(tmp_path) == {"a": "old"}


@pytest.mark.usefixtures("each_way")
def test_directories_and_files_are_replaced_together(tmp_path: Path) -> None:
    (tmp_path / "d/old").mkdir(parents=True)
    (tmp_path / "a").write_text("old")
    with Change() as change:
        part = change.part(tmp_path / "d")
        part.mkdir()
        (part / "new").touch()
        change.write(tmp_path / "a", b"new")
        change.commit()
    assert content(tmp_path) == {"a": "new", "d": "/", "d/new": ""}


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("old", [(), ("a",), ("b",), ("a", "b")])
@pytest.mark.parametrize("fails", ["a", "b"])
def test_a_move_that_fails_is_undone_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: tuple[str, ...], fails: str
) -> None:
    for name in old:
        (tmp_path / name).write_text("old")
    before = content(tmp_path)
    forth = moves.Move.forth

    def counted(move: moves.Move) -> None:
        if move.name == fails:
            raise OSError(errno.EIO, "Input/output error", str(move.target))
        forth(move)

    monkeypatch.setattr(moves.Move, "forth", counted)
    with pytest.raises(OSError, match="Input/output") as error:
        two_files(tmp_path)
    assert error.value.filename == str(tmp_path / fails)
    assert content(tmp_path) == before


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("old", [(), ("a",), ("b",), ("a", "b")])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("directories", [1, 2])
@pytest.mark.parametrize("recovered", [0, 1])
def test_a_change_that_was_cut_off_is_completed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: tuple[str, ...],
    after: int,
    directories: int,
    recovered: int,
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    place = {"a": folders[0], "b": folders[directories - 1]}
    for name in old:
        (place[name] / name).write_text("old")
    killed(lambda: two_files(place["a"], place["b"]), after)
    for folder in (folders[recovered], *folders):  # whichever of them is used next
        sweep(folder)
    assert {**content(place["a"]), **content(place["b"])} == {"a": "new a", "b": "new b"}
    assert not has_stages(folders[0]) and not has_stages(folders[1])


def test_a_change_is_completed_where_its_directory_was_moved_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "was").mkdir()
    (tmp_path / "was/a").write_text("old")
    killed(lambda: two_files(tmp_path / "was"), 1)
    (tmp_path / "was").rename(tmp_path / "is")
    sweep(tmp_path / "is")
    assert content(tmp_path / "is") == {"a": "new a", "b": "new b"}


def test_what_was_put_there_since_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old a")
    (tmp_path / "b").write_text("old b")
    killed(lambda: two_files(tmp_path), 1)
    (tmp_path / "other").write_text("of another program")
    (tmp_path / "other").replace(tmp_path / "b")
    sweep(tmp_path)
    assert content(tmp_path) == {"a": "new a", "b": "of another program"}


def test_a_run_that_was_killed_before_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")

    def cut_off(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(change_module, "carry_out", cut_off)
        two_files(tmp_path)
    os.waitpid(child, 0)
    assert has_stages(tmp_path)
    two_files(tmp_path)
    assert content(tmp_path) == {"a": "new a", "b": "new b"}


def test_what_lives_is_not_swept(tmp_path: Path) -> None:
    with Change() as change:
        change.write(tmp_path / "a", b"A")
        sweep(tmp_path)
        recover(tmp_path)
        two_files(tmp_path)
        change.write(tmp_path / "b", b"B")
        change.commit()
    assert content(tmp_path) == {"a": "A", "b": "B"}


def test_a_journal_moves_nothing_out_of_its_directory(tmp_path: Path) -> None:
    """As in a tree that somebody else made."""
    (tmp_path / "victim").write_text("kept")
    tree = tmp_path / "tree"
    tree.mkdir()
    for number, names in enumerate([("part0", "../victim"), ("../../victim", "stolen")]):
        stage = tree / f".occlum-build-000000000000000{number}"
        stage.mkdir()
        (stage / "part0").write_text("planted")
        looks = {"new": stage / names[0], "old": tmp_path / "victim"}
        seen = {name: look_of(path) for name, path in looks.items()}
        move = {"part": names[0], "name": names[1], **seen}
        journal = {"stages": [recorded(stage, tree)], "moves": [move]}
        (stage / "journal").write_text(json.dumps(journal))
    sweep(tree)
    assert content(tmp_path) == {"tree": "/", "victim": "kept"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 100_000, "{}", '{"stages": [], "moves": []}', "\ud800"],
)
def test_what_is_no_journal_of_ours_is_removed(tmp_path: Path, text: str) -> None:
    stage = tmp_path / ".occlum-build-0123456789abcdef"
    stage.mkdir()
    (stage / "journal").write_bytes(text.encode("utf-8", "surrogatepass"))
    sweep(tmp_path)
    assert content(tmp_path) == {}


def recorded(stage: Path, beside: Path) -> dict[str, Any]:
    """The row of a journal for a stage, as seen from a directory."""
    row = {"path": str(stage), "relative": os.path.relpath(stage, beside)}
    if not os.path.lexists(stage):
        return {**row, "device": 0, "inode": 0, "parent": 0}
    found, parent = stage.stat(), stage.parent.stat()
    return {**row, "device": found.st_dev, "inode": found.st_ino, "parent": parent.st_ino}


def look_of(path: Path) -> dict[str, int]:
    found = moves.look(path)
    assert found is not None
    return found._asdict()


def stage_with(folder: Path, number: int, first: Path) -> Path:
    """A stage whose journal names another stage as the first of its change."""
    stage = folder / f".occlum-build-{number:016x}"
    stage.mkdir(parents=True, exist_ok=True)
    stages = [recorded(first, folder), recorded(stage, folder)]
    (stage / "journal").write_text(json.dumps({"stages": stages, "moves": []}))
    return stage


def test_journals_that_lead_from_one_to_the_next_are_followed_once(tmp_path: Path) -> None:
    names = [tmp_path / f"{at}/.occlum-build-{at:016x}" for at in range(1101)]
    for name in names:
        name.mkdir(parents=True)
    for at in range(1100):
        stage_with(tmp_path / str(at), at, names[at + 1])
    sweep(tmp_path / "0")
    assert content(tmp_path / "0") == {}
    assert (names[5] / "journal").exists()


@pytest.mark.parametrize("others", ["same", "other", "link"])
def test_journals_that_name_each_other_are_removed(tmp_path: Path, others: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("one")
    second = tmp_path / others.replace("same", "one")
    for folder, number in ((tmp_path / "one", 1), (second, 2)):
        (folder / f".occlum-build-{number:016x}").mkdir()
    stage_with(tmp_path / "one", 1, second / f".occlum-build-{2:016x}")
    stage_with(second, 2, tmp_path / f"one/.occlum-build-{1:016x}")
    sweep(tmp_path / "one")
    assert content(tmp_path / "one") == {}


def test_names_that_are_too_long_are_those_of_nothing(tmp_path: Path) -> None:
    stage_with(tmp_path, 1, Path("/" + "a/" * 5000, f".occlum-build-{2:016x}"))
    stage = stage_with(tmp_path, 3, tmp_path / f".occlum-build-{3:016x}")
    move = {"part": "p" * 300, "name": "n" * 300, "new": look_of(stage), "old": None}
    other = {**recorded(stage, tmp_path), "path": "/" + "a/" * 5000 + f".occlum-build-{4:016x}"}
    stages = [recorded(stage, tmp_path), {**other, "relative": other["path"]}]
    (stage / "journal").write_text(json.dumps({"moves": [move], "stages": stages}))
    sweep(tmp_path)
    assert content(tmp_path) == {}


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_nor_is_what_is_no_file(tmp_path: Path, kind: str) -> None:
    place = tmp_path / ".occlum-build-0123456789abcdef/journal"
    place.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    sweep(tmp_path)
    assert content(tmp_path) == {}


def test_names_of_any_bytes_and_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"\xff\n")
    folder.mkdir()
    names = [os.fsdecode(b"\xfe\\u0041"), "n" * 255]

    def write() -> None:
        with Change() as change:
            for name in names:
                change.write(folder / name, b"x")
            change.commit()

    killed(write, 1)
    sweep(folder)
    assert sorted(os.listdir(folder)) == sorted(names)


def test_a_place_that_must_be_free(tmp_path: Path) -> None:
    with Change() as change:
        change.write(tmp_path / "a", b"A", must_be_new=True)
        change.part(tmp_path / "d", must_be_new=True).mkdir()
        (tmp_path / "d").mkdir()
        with pytest.raises(FileExistsError) as error:
            change.commit()
        assert error.value.filename == str(tmp_path / "d")
    assert content(tmp_path) == {"d": "/"}
    (tmp_path / "d/in").mkdir()
    for name in ("d", "f"):
        (tmp_path / "f").touch()
        with Change() as change:
            if name == "d":
                (tmp_path / "d").rename(tmp_path / "away")
                change.part(tmp_path / "d", must_be_new=True).mkdir()
                (tmp_path / "away").rename(tmp_path / "d")
            else:
                (tmp_path / "f").unlink()
                change.write(tmp_path / "f", b"F", must_be_new=True)
                (tmp_path / "f").symlink_to("nowhere")
            with pytest.raises(FileExistsError):
                change.commit()
    with pytest.raises(FileExistsError), Change() as change:
        change.part(tmp_path / "f", must_be_new=True)
    assert (tmp_path / "d/in").is_dir() and os.readlink(tmp_path / "f") == "nowhere"


def test_a_new_file_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with Change() as change:
        change.write(tmp_path / "a", b"A", must_be_new=True)
        change.commit()
    assert content(tmp_path) == {"a": "A"}


def test_errors_name_the_target(tmp_path: Path) -> None:
    def error_of(target: Path) -> OSError:
        with pytest.raises(OSError) as error, Change() as change:
            change.write(tmp_path / "a", b"A")
            change.write(target, b"B")
            change.commit()
        assert error.value.filename == str(target)
        assert not (tmp_path / "a").exists()
        return error.value

    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    assert error_of(tmp_path / "none/b").strerror == "No such file or directory"
    assert error_of(tmp_path / "d").strerror == "not a regular file"
    assert error_of(tmp_path / "fifo").strerror == "not a regular file"
    assert error_of(tmp_path / "fifo/b").strerror == "Not a directory"
    with pytest.raises(OcclumError, match="both outputs have this name"), Change() as change:
        change.write(tmp_path / "a", b"A")
        change.write(tmp_path / "d/../a", b"B")
    with pytest.raises(IsADirectoryError), Change() as change:
        change.part(tmp_path / "d").write_text("a file")
        change.commit()
    with pytest.raises(FileNotFoundError), Change() as change:
        change.part(tmp_path / "d")
        change.part(tmp_path / "e").touch()
        change.commit()
    assert content(tmp_path).keys() == {"d", "fifo"}


def test_a_stage_that_another_run_takes_for_dead_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir
    swept: list[Path] = []

    def swept_at_once(path: Path, mode: int) -> None:
        mkdir(path, mode)
        if not swept:
            swept.append(path)
            recover(tmp_path)
            mkdir(path, mode)

    monkeypatch.setattr(Path, "mkdir", swept_at_once)
    stage = make_stage(tmp_path)
    assert stage.path.is_dir()
    stage.remove()


def test_exchange(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("f")
    assert exchange(str(tmp_path / "d"), str(tmp_path / "f"))
    assert content(tmp_path) == {"d": "f", "f": "/"}
    with pytest.raises(FileNotFoundError) as error:
        exchange(str(tmp_path / "d"), str(tmp_path / "none"))
    assert error.value.filename == str(tmp_path / "none")


def test_a_signal_in_a_commit_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forth = moves.Move.forth

    def interrupted(move: moves.Move) -> None:
        signal.raise_signal(signal.SIGINT)
        forth(move)

    monkeypatch.setattr(moves.Move, "forth", interrupted)
    with pytest.raises(KeyboardInterrupt):
        two_files(tmp_path)
    assert content(tmp_path) == {"a": "new a", "b": "new b"}


def test_a_stage_that_another_run_removes_at_once_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir
    swept: list[Path] = []

    def made_and_swept(path: Path, mode: int) -> None:
        mkdir(path, mode)
        if len(swept) < 3:
            swept.append(path)
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", made_and_swept)

    stage = make_stage(tmp_path)

    assert stage.path not in swept and len(swept) == 3
    stage.remove()
    assert list(tmp_path.iterdir()) == []
