from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import pytest

from occlum_build.files.parts import new_part
from occlum_build.files.stages import temporary_name
from occlum_build.packages.fetching import ToFetch, fetch_all
from occlum_build.packages.mirrors import Mirrors
from occlum_build.packages.testing_server import Answer, MirrorServer, served
from occlum_build.packages.urls import Wanted

CONTENT = b"bytes of a package\n" * 5000
PATH = "pool/main/g/g++_1.deb"
DEB = Wanted(PATH, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "", "g++ 1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mirror" / PATH).parent.mkdir(parents=True)
    (tmp_path / "mirror" / PATH).write_bytes(CONTENT)
    return tmp_path / "mirror"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache/g.deb"


def test_several_at_a_time(root: Path, target: Path) -> None:
    count = {"now": 0, "most": 0, "bytes": 0, "expected": 0}
    lock = Lock()

    def slow(server: MirrorServer, found: Callable[[str], Answer]) -> Callable[[str], Answer]:
        def answer(path: str) -> Answer:
            with lock:
                count["now"] += 1
                count["most"] = max(count["most"], count["now"])
            try:
                return found(path)
            finally:
                with lock:
                    count["now"] -= 1

        return answer

    def progress(more: int, expected: int) -> None:
        count["bytes"] += more
        count["expected"] += expected

    files = {f"pool/{n}": f"file {n}\n".encode() for n in range(50)}
    for path, data in files.items():
        (root / path).write_bytes(data)
    with served(root) as server:
        server.otherwise = slow(server, server.otherwise)
        server.answers["/pool/7"] = Answer(body=b"other 7")
        mirrors = Mirrors([server.url], progress, {})
        todo = [
            (
                mirrors,
                Wanted(path, hashlib.sha256(data).hexdigest(), len(data)),
                target.parent / path,
            )
            for path, data in files.items()
        ]
        failures = fetch_all(todo, parallel=4)
        assert [n for n, one in enumerate(failures) if one] == [7]
        (failure,) = failures[7]
        assert failure.reason.startswith("other bytes, sha256 ")
        assert count["most"] <= 4
        assert count["expected"] == sum(map(len, files.values())) == count["bytes"] + 7
        del server.answers["/pool/7"]
        server.asked.clear()
        (target.parent / "pool/9").write_bytes(b"file X\n")
        assert not any(fetch_all(todo))
        assert sorted(server.asked) == ["/pool/7", "/pool/9"]  # what is there and right stays
    assert {path: (target.parent / path).read_bytes() for path in files} == files


def test_what_killed_runs_left_is_removed(root: Path, target: Path) -> None:
    with new_part(target.parent) as alive:
        left = target.parent / temporary_name()
        left.touch()
        assert fetch_all([(Mirrors([str(root)]), DEB, target)]) == [[]]
        names = {path.name for path in target.parent.iterdir()}
        assert names == {"g.deb", Path(alive.name).name}


def test_a_place_that_cannot_be_written_is_an_error_of_the_system(root: Path, target: Path) -> None:
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        fetch_all([(Mirrors([str(root)]), DEB, target)])
    assert [path.name for path in target.parent.iterdir()] == ["g.deb"]


def test_whoever_stops_does_not_wait_for_a_mirror(root: Path, target: Path) -> None:
    """No part stays, neither of what waits nor of what begins later, and nothing comes behind."""
    half = Answer(body=CONTENT[:1000], length=len(CONTENT), stays=20)

    def stop(came: int, _expected: int) -> None:
        if came:
            raise KeyboardInterrupt  # in a thread; it is raised where it is waited for

    with served(root) as server:
        server.otherwise = lambda _: half
        wanted: list[ToFetch] = [
            (Mirrors([server.url], environment={}), DEB._replace(path=str(n)), target.parent / "a")
            for n in range(3)
        ]
        wanted[0] = (Mirrors([str(root)], stop), DEB, target)
        with pytest.raises(KeyboardInterrupt):
            fetch_all(wanted)
        assert list(target.parent.iterdir()) == []
        server.release()
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(10)
    assert list(target.parent.iterdir()) == []
