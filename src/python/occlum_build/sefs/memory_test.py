"""Memory does not grow with the size of files. Run as a script, this file is what is measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.verify import verify_image
from occlum_build.sefs.writer import zip_image

LIMIT_KIB = 100 * 1024


def test_peak_memory(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "sparse", "wb") as file:
        file.truncate(2 * LIMIT_KIB * 1024)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    output = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
    ).stdout
    assert 0 < int(output) < LIMIT_KIB


def peak_memory_kib() -> int:
    """Of this process; ru_maxrss would begin with that of the process that started it."""
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) if match else 0


def write_verify_and_unpack(directory: Path) -> None:
    image, key = directory / "image", UserKey(bytes(range(16)))
    zip_image(directory / "tree", image, user_key=key)
    verify_image(image, key).report.raise_errors()
    unzip_image(image, directory / "out", key)


if __name__ == "__main__":
    write_verify_and_unpack(Path(sys.argv[1]))
    print(peak_memory_kib())
