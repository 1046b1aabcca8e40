#!/usr/bin/env python3
"""Speed of images on one core: MB/s (10^6 bytes of content) for writing, verifying and unpacking.

    PYTHONPATH=src/python python benchmarks/sefs_speed.py [--size MiB] [--files N] [--dir DIR]

The tree has N files of MiB/N each, random bytes, in the page cache. "encrypted" is with the salt
given (a manifest exists); "encrypted, no manifest" reads and hashes every file once more for it.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.verify import verify_image
from occlum_build.sefs.writer import zip_image

RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", type=int, default=256, help="content in MiB")
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--dir", default=None, help="where to make the temporary directory")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=args.dir) as scratch:
        run(Path(scratch), args.size << 20, args.files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{'peak RSS':32}{peak / 1024:8.0f} MiB")


def run(scratch: Path, size: int, files: int) -> None:
    tree = scratch / "tree"
    tree.mkdir()
    for number in range(files):
        with open(tree / f"f{number:06d}", "wb") as file:
            for start in range(0, size // files, 1 << 20):
                file.write(os.urandom(min(1 << 20, size // files - start)))
    key, salt = UserKey(os.urandom(16)), bytes(32)
    plain, sealed = scratch / "plain", scratch / "sealed"
    measure("write integrity-only", size, plain, lambda: zip_image(tree, plain))
    measure(
        "write encrypted", size, sealed, lambda: zip_image(tree, sealed, user_key=key, salt=salt)
    )
    measure(
        "write encrypted, no manifest", size, sealed, lambda: zip_image(tree, sealed, user_key=key)
    )
    measure("verify integrity-only", size, None, lambda: verify_image(plain))
    measure("verify encrypted", size, None, lambda: verify_image(sealed, key))
    out = scratch / "out"
    measure("unzip encrypted", size, out, lambda: unzip_image(sealed, out, key))


def measure(what: str, size: int, output: Path | None, action: Callable[[], object]) -> None:
    """Print the best of a few runs, by the clock and by CPU time (which other load spares).

    `output` is removed before each run.
    """
    wall = cpu = float("inf")
    for _ in range(RUNS):
        if output is not None:
            shutil.rmtree(output, ignore_errors=True)
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        action()
        wall = min(wall, time.perf_counter() - wall_start)
        cpu = min(cpu, time.process_time() - cpu_start)
    print(f"{what:32}{size / wall / 1e6:8.0f} MB/s{size / cpu / 1e6:8.0f} MB a CPU second")


if __name__ == "__main__":
    main()
