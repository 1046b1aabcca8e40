"""Measures `./pants package` of an image under pantsd, beside a `./pants list` that does nothing.

    benchmarks/pants_package.py [ROUNDS]

Works on a copy of the tracked files, in a temporary directory. The runs take turns in each round;
the table shows the median of the rounds, and the ratio to `list`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REDIS, HELLO = "testprojects/redis:image", "testprojects/hello:image"


def copy_project(target: Path) -> None:
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)


def seconds(root: Path, *args: str) -> float:
    env = {**os.environ, "OCCLUM_VENV": os.environ.get("OCCLUM_VENV", str(ROOT / ".venv"))}
    start = time.perf_counter()
    subprocess.run(["./pants", *args], cwd=root, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def edited(root: Path, number: int) -> float:
    script = root / "testprojects/hello/hello.sh"
    script.write_text(f"#!/bin/sh\necho {number}\n")
    time.sleep(1)  # for the file watcher
    return seconds(root, "package", HELLO)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory(prefix="pants-package-") as name:
        root = Path(name)
        copy_project(root)
        print("| run | median | ratio |\n|---|---|---|")
        print(f"| package redis, first run of pantsd | {seconds(root, 'package', REDIS):.2f} s | |")
        seconds(root, "package", HELLO)
        runs: dict[str, Callable[[int], float]] = {
            "list (Pants' own no-op)": lambda _: seconds(root, "list", REDIS),
            "package redis, no change": lambda _: seconds(root, "package", REDIS),
            "package hello, one file of the project edited": lambda n: edited(root, n),
        }
        times: dict[str, list[float]] = {label: [] for label in runs}
        for number in range(rounds):
            for label, run in runs.items():
                times[label].append(run(number))
        own = statistics.median(next(iter(times.values())))
        for label, measured in times.items():
            median = statistics.median(measured)
            print(f"| {label} | {median:.2f} s | {median / own:.2f} |")
        for pid_file in root.glob(".pids/*/pantsd/pid"):
            os.kill(int(pid_file.read_text()), 15)


if __name__ == "__main__":
    main()
