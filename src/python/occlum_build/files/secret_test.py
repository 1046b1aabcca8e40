from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from occlum_build.files.secret import read_secret, wipe


def test_secret_is_read_with_the_mode_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789")
    (tmp_path / "key").chmod(0o640)
    (tmp_path / "link").symlink_to("key")
    assert read_secret(tmp_path / "link", 10) == (b"0123456789", 0o640)


def test_secret_is_overwritten_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    secret, _ = read_secret(tmp_path / "key", 10)
    with memoryview(secret) as view:
        wipe(secret)
        assert bytes(view) == bytes(6)


def test_what_is_no_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"0123456789!")
    os.mkfifo(tmp_path / "fifo")
    for path, message in (
        (tmp_path / "large", "more than the 10 bytes that are allowed"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / "fifo", "not a regular file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(OSError, match=message):
            read_secret(path, 10)


def test_no_core_is_dumped() -> None:
    program = (
        "import ctypes, resource\n"
        "from occlum_build.files.secret import no_core_dumps\n"
        "no_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, 0) 0\n"
