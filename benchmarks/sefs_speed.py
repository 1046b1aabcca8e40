#!/usr/bin/env python3
"""Speed of images: MB/s (10^6 bytes of content) for writing, verifying and unpacking.

    benchmarks/run sefs_speed [--size MiB] [--files N] [--dir DIR]

The tree has N files of MiB/N each, random bytes, in the page cache. "encrypted" is with the salt
given (a manifest exists); "encrypted, no manifest" reads and hashes every file once more for it.
Writing is measured on one core and on all, where several processes share it. The best of some runs,
by the clock and by the CPU time of all processes, which other load spares.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.verify import verify_image
from occlum_build.sefs.writer import zip_image
from tables import Cell, Column, Table, options, report

RUNS = 3
COLUMNS = (
    *(Column("what"), Column("cores"), Column("MiB"), Column("by the clock", "{:.0f} MB/s")),
    *(Column("by CPU time", "{:.0f} MB/s"), Column("peak RSS of all", "{:.0f} MiB")),
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--size", type=int, help="content in MiB; default: 256")
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--dir", default=None, help="where to make the temporary directory")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as scratch:
        size = args.size or (16 if args.quick else 256)
        rows = run(Path(scratch), size << 20, args.files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = tuple((*row, peak if row is rows[-1] else None) for row in rows)
    report([Table("sefs-speed", COLUMNS, found)], args.json)


def run(scratch: Path, size: int, files: int) -> list[tuple[Cell, ...]]:
    tree = scratch / "tree"
    tree.mkdir()
    for number in range(files):
        with open(tree / f"f{number:06d}", "wb") as file:
            for start in range(0, size // files, 1 << 20):
                file.write(os.urandom(min(1 << 20, size // files - start)))
    key, salt = UserKey(os.urandom(16)), bytes(32)
    plain, sealed = scratch / "plain", scratch / "sealed"
    out = scratch / "out"
    everywhere = os.sched_getaffinity(0)

    def write(what: str, cores: set[int], output: Path, **options: Any) -> tuple[Cell, ...]:
        os.sched_setaffinity(0, cores)
        return measure(what, size, output, lambda: zip_image(tree, output, **options))

    one = {max(everywhere)}
    encrypted = {"user_key": key, "salt": salt}
    on_all = [
        write("write, integrity-only", everywhere, plain),
        write("write, encrypted", everywhere, sealed, **encrypted),
    ]
    return [
        write("write, integrity-only", one, plain),
        write("write, encrypted", one, sealed, **encrypted),
        *(on_all if len(everywhere) > 1 else []),
        write("write, encrypted, no manifest", one, sealed, user_key=key),
        measure("verify, integrity-only", size, None, lambda: verify_image(plain)),
        measure("verify, encrypted", size, None, lambda: verify_image(sealed, key)),
        measure("unzip, encrypted", size, out, lambda: unzip_image(sealed, out, key)),
    ]


def measure(
    what: str, size: int, output: Path | None, action: Callable[[], object]
) -> tuple[Cell, ...]:
    """The row of one action; `output` is removed before each run."""
    wall = cpu = float("inf")
    for _ in range(RUNS):
        if output is not None:
            shutil.rmtree(output, ignore_errors=True)
        wall_start, cpu_start = time.perf_counter(), sum(os.times()[:4])
        action()
        wall = min(wall, time.perf_counter() - wall_start)
        cpu = min(cpu, sum(os.times()[:4]) - cpu_start)
    return what, len(os.sched_getaffinity(0)), size >> 20, size / wall / 1e6, size / cpu / 1e6


if __name__ == "__main__":
    main()
