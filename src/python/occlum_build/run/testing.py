"""A small image of programs of this machine, for tests that run something in it."""

from __future__ import annotations

import ctypes
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from occlum_build.sgx.config import default_config
from occlum_build.sgx.config.jsontext import plain

BOM = """\
targets:
- target: /bin
  copy: [{files: [/bin/bash, /bin/cat, /bin/ls, /bin/sleep]}]
- target: /
  mkdirs: [data, dev, host, proc, tmp]
  createlinks: [{src: /data, linkname: link}]
"""
NOBODY = 65534
SECONDS = 60.0  # in which anything happens on the busiest machine: what has not is lost
_SET_DUMPABLE = 4


def make_image(folder: Path) -> Path:
    """The image of BOM in a folder, with a script `bin/greet` that has another mode."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bom.yaml").write_text(BOM)
    image = folder / "image"
    copy_bom = ["copy-bom", "-f", str(folder / "bom.yaml"), "--root", str(image)]
    command = [sys.executable, "-m", "occlum_build.cli.main", *copy_bom]
    subprocess.run(command, check=True, capture_output=True)
    (image / "bin/greet").write_text("#!/bin/bash\necho hello $1\n")
    (image / "bin/greet").chmod(0o755)
    return image


def write_config(path: Path, **changes: object) -> Path:
    """Occlum's default configuration with other values of its top-level keys."""
    path.write_text(json.dumps({**plain(default_config()), **changes}))
    return path


def read_until(descriptor: int, wanted: str) -> str:
    """What a descriptor has, up to a text; AssertionError where that does not come in time."""
    found, end = b"", time.monotonic() + SECONDS
    while wanted.encode() not in found:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        try:
            chunk = os.read(descriptor, 1000) if ready else b""
        except OSError:  # of a terminal that nobody has open any more
            chunk = b""
        if not chunk:
            why = "the end" if ready else f"nothing more within {SECONDS:g} s"
            raise AssertionError(f"not {wanted!r}: {found!r}, and then {why}")
        found += chunk
    return found.decode()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition; AssertionError where it does not hold in time."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"it does not come about within {SECONDS:g} s")


def as_nobody(image: Path, function: Callable[[str], int]) -> int:
    """The exit code that a function has as another user, with a copy of an image."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["cp", "-a", image, f"{folder}/image"], check=True)
        pid = os.fork()
        if pid == 0:
            try:
                tempfile.tempdir = "/tmp"
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1)  # as after an exec
                os._exit(function(f"{folder}/image"))
            finally:
                os._exit(99)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
