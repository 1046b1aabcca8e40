from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.files.locks import locked
from occlum_build.files.testing import in_another_thread


def lock(directory: Path, *, shared: bool = False) -> Callable[[], None]:
    def call() -> None:
        with locked(directory, shared=shared, seconds=0, code="some-code"):
            pass

    return call


def test_others_are_kept_out_and_we_may_enter_again(tmp_path: Path) -> None:
    with locked(tmp_path), locked(tmp_path, seconds=0):
        for shared in (False, True):
            (error,) = in_another_thread(lock(tmp_path, shared=shared))
            assert error.code == "some-code"
            assert str(error).startswith(f"{tmp_path}: another run is writing to this directory")
    assert in_another_thread(lock(tmp_path)) == []
    assert not list(tmp_path.iterdir())


def test_readers_do_not_keep_readers_out(tmp_path: Path) -> None:
    with locked(tmp_path, shared=True):
        assert in_another_thread(lock(tmp_path, shared=True)) == []
        assert len(in_another_thread(lock(tmp_path))) == 1


def test_a_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock
    tries: list[int] = []

    def busy_twice(descriptor: int, kind: int) -> None:
        tries.append(kind)
        if len(tries) <= 2:
            raise BlockingIOError(errno.EAGAIN, "busy")
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", busy_twice)
    with locked(tmp_path):
        assert len(tries) == 3


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert in_another_thread(lock(tmp_path)) == []


def test_a_directory_that_may_not_be_listed_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with locked(tmp_path):
        pass


def test_what_is_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "none"):
        pass
    (tmp_path / "f").touch()
    with pytest.raises(NotADirectoryError), locked(tmp_path / "f"):
        pass
