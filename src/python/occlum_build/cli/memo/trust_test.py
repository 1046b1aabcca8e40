"""Which memos are written, where they lie, and which of them are believed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from occlum_build.cli.memo import find, looks, store
from occlum_build.cli.memo.model import Memo, decode, encode
from occlum_build.cli.memo.testing import Workspace


def memos(ws: Workspace) -> list[Path]:
    return sorted(ws.cache.glob("occlum-build/*"))


def test_a_memo_is_its_users_alone_and_has_no_value_of_a_variable(ws: Workspace) -> None:
    ws.setenv("NAME", "src")
    ws.write("ws/src/secret", "a content of a file")
    bom = "targets:\n- target: /x\n  copy: [{from: '${NAME}', files: [secret]}]\n"
    ws.write("bom.yaml", bom)
    assert ws.run().code == 0
    (memo,) = memos(ws)
    assert memo.stat().st_mode & 0o777 == 0o600
    assert memo.parent.stat().st_mode & 0o777 == 0o700
    data = memo.read_bytes()
    assert b"src/secret" in data
    assert b"a content of a file" not in data
    assert ws.run().code == 0
    assert ws.was_known


@pytest.mark.parametrize(
    "options",
    [
        ["--dry-run"],
        ["--json"],
        ["--why", "/app/run"],
        ["--manifest", "../made/manifest.json"],
        ["--no-memo"],
    ],
)
def test_what_prints_or_writes_more_has_no_memo(ws: Workspace, options: list[str]) -> None:
    assert ws.run().code == 0
    kept = [path.read_bytes() for path in memos(ws)]
    first = ws.run(*options)
    assert not ws.was_known
    assert (first.code, ws.run(*options)) == (0, first)
    assert not ws.was_known
    assert [path.read_bytes() for path in memos(ws)] == kept


def test_a_run_that_fails_has_no_memo(ws: Workspace) -> None:
    ws.remove("ws/src/run")
    assert ws.run().code == 254
    assert memos(ws) == []


def test_what_was_written_in_the_tick_of_the_run_has_no_memo(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "_CLOCKS_DIFFER_NS", 60_000_000_000)
    assert ws.run().code == 0
    assert memos(ws) == []


def test_other_arguments_and_another_directory_are_another_run(ws: Workspace) -> None:
    assert ws.run().code == 0
    ws.run("--cpu-level", "v3")
    assert not ws.was_known
    ws.copy("ws", "other")
    os.chdir(ws.top / "other")
    assert find.attempt(ws.arguments()) is None
    os.chdir(ws.top / "ws")
    assert find.attempt(ws.arguments()) == 0


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_memo_that_others_can_use_is_absent(ws: Workspace, mode: int) -> None:
    ws.run()
    memos(ws)[0].chmod(mode)
    assert ws.run().code == 0
    assert not ws.was_known
    assert memos(ws)[0].stat().st_mode & 0o777 == 0o600
    assert ws.run().code == 0
    assert ws.was_known


def test_a_directory_that_others_can_write_to_has_no_memos(ws: Workspace) -> None:
    ws.run()
    (kept,) = (path.read_bytes() for path in memos(ws))
    memos(ws)[0].parent.chmod(0o777)
    assert ws.run().code == 0
    assert not ws.was_known
    assert [path.read_bytes() for path in memos(ws)] == [kept]


def test_a_link_is_no_directory_and_no_memo(ws: Workspace) -> None:
    ws.run()
    (memo,) = memos(ws)
    moved = ws.top / "moved"
    memo.rename(moved)
    memo.symlink_to(moved)
    assert ws.run().code == 0
    assert not ws.was_known
    assert not memos(ws)[0].is_symlink()
    folder = memos(ws)[0].parent
    folder.rename(ws.top / "folder")
    folder.symlink_to(ws.top / "folder")
    assert ws.run().code == 0
    assert not ws.was_known


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_memo_of_another_user_is_absent(ws: Workspace) -> None:
    ws.run()
    os.chown(memos(ws)[0], 12345, 12345)
    assert ws.run().code == 0
    assert not ws.was_known
    os.chown(memos(ws)[0].parent, 12345, 12345)
    assert ws.run().code == 0
    assert not ws.was_known


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("path", ["", "cache", "cache/deep"])
def test_root_makes_nothing_that_is_in_the_way_of_a_user(ws: Workspace, path: str) -> None:
    """As with sudo, where it leaves HOME that of the user."""
    home = ws.top / "home"
    (home / path).mkdir(parents=True)
    os.chown(home / path, 12345, 12345)
    ws.setenv("XDG_CACHE_HOME", str(home / "cache/deep"))
    assert ws.run().code == 0
    assert ws.run().code == 0
    assert not ws.was_known
    assert list((home / path).iterdir()) == []


def test_a_damaged_memo_is_absent(ws: Workspace) -> None:
    ws.run()
    (memo,) = memos(ws)
    data = memo.read_bytes()
    for wrong in (b"", data[:10], data[:-1], data + b"\0", data.replace(b"bom 1", b"bom 0")):
        assert decode(wrong) is None
    for place in range(0, len(data), 97):
        assert decode(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) is None
    memo.write_bytes(data[:-1])
    assert ws.run().code == 0
    assert not ws.was_known
    assert memo.read_bytes() != data[:-1]


def test_a_memo_is_read_as_it_was_written() -> None:
    memo = Memo()
    memo.root, memo.told, memo.values = "/root", "warning: \u00e9\n", "values"
    memo.of_none, memo.variables = True, ["A", "B"]
    memo.files, memo.file_numbers = ["/\udcff", "/new\nline"], list(range(12))
    memo.others, memo.other_modes, memo.absent = ["/o"], [0o40755], ["/a", "/b", "/c"]
    memo.entries = [("", ""), ("x", ""), ("y", "x")]
    memo.entry_numbers = [1, 2, -1, 3, 4, 1, 5, 6, -1]
    memo.more, memo.left_numbers = ["more"], [1 << 62] * 24
    read = decode(encode(memo))
    assert read is not None
    assert vars(read) == vars(memo)


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "HOME"])
@pytest.mark.parametrize("value", ["", "relative", "/dev/null", "/proc/nowhere"])
def test_without_a_place_there_is_no_memo(ws: Workspace, name: str, value: str) -> None:
    ws.setenv("XDG_CACHE_HOME", "")
    ws.setenv("HOME", "")
    ws.setenv(name, value)
    first = ws.run()
    assert (first.code, "cache" in first.err) == (0, False)
    assert ws.run() == first
    assert not ws.was_known
    assert not Path("relative").exists()


def test_memos_are_pruned(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_MEMOS", 3)
    ws.run()
    folder = memos(ws)[0].parent
    for number in range(5):
        other = folder / f"{find.NAME}{number}"
        other.write_bytes(b"x" * 1000)
        os.utime(other, (number, number))
    (folder / "other").write_text("of somebody else")
    ws.run("--cpu-level", "v2")
    names = [path.name for path in memos(ws)]
    assert len(names) == 4
    assert "other" in names
    assert f"{find.NAME}4" in names
    monkeypatch.setattr(store, "MOST_BYTES", 10)
    ws.run("--cpu-level", "v4")
    assert len(memos(ws)) == 2


def test_a_file_that_was_left_by_a_killed_run_is_in_nobodys_way(ws: Workspace) -> None:
    ws.run()
    memos(ws)[0].rename(f"{memos(ws)[0]}.{os.getpid()}")
    assert ws.run().code == 0
    assert ws.run().code == 0
    assert ws.run().code == 0
    assert ws.was_known


def test_a_run_that_a_memo_knows_imports_nothing(ws: Workspace) -> None:
    """As a process, as the command starts: what is not built in is not even looked for."""
    command = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); before = set(sys.modules)\n"
        "from occlum_build.cli.start import occlum_build\n"
        "code = occlum_build()\n"
        "print(code, *sorted(sys.modules.keys() - before))"
    )
    library = str(Path(find.__file__).parents[3])
    environment = {"XDG_CACHE_HOME": str(ws.cache), "NAME": "named"}

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", command, library, *ws.arguments()[1:]],
            capture_output=True,
            check=True,
            env=environment,
            cwd=ws.top / "ws",
        ).stdout.decode()

    time.sleep(0.2)  # what is younger than 0.1 s a process does not believe
    assert run().startswith("0 ")
    modules = run().split()
    assert modules[0] == "0"
    allowed = {"__future__", "_blake2", "occlum_build", "posix"}
    assert {one for one in modules[1:] if not one.startswith("occlum_build.")} <= allowed
    assert [one for one in modules if one.startswith("occlum_build.")] == [
        "occlum_build.cli",
        "occlum_build.cli.memo",
        "occlum_build.cli.memo.find",
        "occlum_build.cli.memo.model",
        "occlum_build.cli.start",
        "occlum_build.version",
    ]
