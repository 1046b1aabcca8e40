"""Coverage-guided fuzzing of one reader by atheris: `fuzz.py READER SECONDS DIRECTORY`.

It starts from the kept corpus and the seeds. DIRECTORY gets what is new, in `corpus/`, `finds/` and
`log`, and keeps it for the next time. The last line has the figures; the exit code is 1 when there
was a find: an exception that is no OcclumError, a time-out, or more memory than the bound.

With `--merge` the kept corpus becomes a small set of inputs of DIRECTORY and of itself that reaches
what all of them reach.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from hostile.fuzzing.corpus import read_corpus, write_corpus
from hostile.fuzzing.limits import MEMORY_BYTES, SECONDS_AN_INPUT
from hostile.fuzzing.seeds import seeds_of

_TARGET = Path(__file__).with_name("fuzz_target.py")
_MAX_BYTES = 1 << 17
_KEPT_BYTES = 1 << 16  # a larger input is not kept
_SEED = 1
_PROGRESS = re.compile(r"^#\d+\s.*cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_UNITS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)|^#(\d+)\s", re.MULTILINE)
# What libFuzzer calls the inputs that end it.
_FINDS = ("crash-", "timeout-", "oom-", "leak-")


class Figures(NamedTuple):
    """Of the runs of one reader; features as libFuzzer counts them."""

    executions: int = 0
    features: int = 0
    corpus: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz one reader.")
    parser.add_argument("reader")
    parser.add_argument("seconds", type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--merge", action="store_true", help="renew the kept corpus")
    arguments = parser.parse_args()
    directory = arguments.directory
    for name in ("corpus", "finds", "kept", "new", "seeds"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    write_inputs(seeds_of(arguments.reader), directory / "seeds")
    write_inputs(read_corpus(arguments.reader), directory / "kept")
    if arguments.merge:
        return merge(arguments.reader, directory)
    started = time.monotonic()
    figures = fuzz(arguments.reader, arguments.seconds, directory)
    finds = sorted(path.name for path in (directory / "finds").iterdir())
    failures = [name for name in finds if name.startswith(_FINDS)]
    print(
        f"{arguments.reader}: {figures.executions:,} executions in "
        f"{time.monotonic() - started:.0f} s, {figures.features:,} features, "
        f"{figures.corpus:,} inputs in the corpus, {len(failures)} finds, "
        f"{len(finds) - len(failures)} slow inputs"
    )
    for name in failures:
        print(f"  {directory / 'finds' / name}")
    return 1 if failures else 0


def write_inputs(inputs: list[bytes], directory: Path) -> None:
    for number, content in enumerate(inputs):
        (directory / str(number)).write_bytes(content)


def fuzz(reader: str, seconds: int, directory: Path) -> Figures:
    """Start again after an input that ended the process, until the time is up."""
    deadline, figures, starts = time.monotonic() + seconds, Figures(), 0
    while (left := round(deadline - time.monotonic())) > 0:
        output = run(reader, directory, f"-max_total_time={left}", f"-seed={_SEED + starts}")
        starts += 1
        with open(directory / "log", "a", encoding="utf-8") as log:
            log.write(output)
        units = [int(one or other) for one, other in _UNITS.findall(output)]
        _, features, corpus = ([*_PROGRESS.findall(output)] or [(0, 0, 0)])[-1]
        executions = figures.executions + max(units, default=0)
        figures = Figures(executions, max(figures.features, int(features)), int(corpus))
        if not units:
            raise SystemExit(f"fuzzing of {reader} did not start:\n{output[-2000:]}")
    return figures


def run(reader: str, directory: Path, *options: str, folders: tuple[Path, ...] = ()) -> str:
    """One process of libFuzzer; what it printed."""
    folders = folders or tuple(directory / name for name in ("corpus", "kept", "seeds"))
    command = [
        *(sys.executable, str(_TARGET), reader, str(directory / "finds")),
        *map(str, folders),
        f"-artifact_prefix={directory / 'finds'}/",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MEMORY_BYTES >> 20}",
        f"-max_len={_MAX_BYTES}",
        "-print_final_stats=1",
        *options,
    ]
    # A set of strings is in the same order in each process.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode("utf-8", "replace")


def merge(reader: str, directory: Path) -> int:
    """Renew the kept corpus of a reader from what fuzzing found and from itself."""
    new = directory / "new"
    for path in new.iterdir():
        path.unlink()
    options = ("-merge=1", f"-max_len={_KEPT_BYTES}")
    folders = (new, directory / "kept", directory / "corpus")
    run(reader, directory, *options, folders=folders)
    seeds = set(seeds_of(reader))
    write_corpus(reader, {path.read_bytes() for path in new.iterdir()} - seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
