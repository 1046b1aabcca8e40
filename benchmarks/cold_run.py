"""Measures a machine without pantsd: the start of Pants, and `package` where a cache has all of it.

    PYTHONPATH=src/python:testprojects .venv/bin/python benchmarks/cold_run.py --rounds 7

`start`: `--no-pantsd list ::` of an empty repository with several backends, in turns. `cold-run`:
`--no-pantsd package` of an image, and `--no-pantsd list ::` of the same repository, in turns, each
with an empty store and a warm remote cache (BuildGrid), as in a CI that starts on a new machine.
Tables show the median of the rounds, of CPU time without that of the kernel where it says user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cache_server import CacheServer, cache_server
from pants_package import IMAGE, SIZES, Size, checkout, write_host
from pants_runner import PantsRunner, pants_runner
from tables import Cell, Column, Table, options, report

PYTHON, DOCKER, OURS = "pants.backend.python", "pants.backend.docker", "pants_occlum"
BACKENDS: dict[str, tuple[str, ...]] = {
    "none": (),
    "Python": (PYTHON,),
    "Python, Docker": (PYTHON, DOCKER),
    "Python, pants_occlum": (PYTHON, OURS),
}
START_COLUMNS = (
    *(Column("backends"), Column("user CPU", "{:.1f} s"), Column("wall", "{:.1f} s")),
    Column("user CPU beside Python alone", "{:.2f}"),
)
RUN_COLUMNS = (
    *(Column("image"), Column("run"), Column("user CPU", "{:.1f} s"), Column("wall", "{:.1f} s")),
    Column("user CPU beside list", "{:.2f}"),
)


def user_seconds(runner: PantsRunner, *args: str) -> tuple[float, float]:
    """Seconds of user CPU, processes included, and of time of one run, which must succeed."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            runner.command("--no-pantsd", *args),
            cwd=runner.build_root,
            env=runner.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"./pants {' '.join(args)} failed:\n{output.read()}")
    return usage.ru_utime, seconds


def medians(runs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def starts(scratch: Path, rounds: int) -> Table:
    """What each set of backends adds to a start, in a repository without targets."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in BACKENDS}
    with contextlib.ExitStack() as stack:
        runners = {
            name: stack.enter_context(
                pants_runner(scratch / f"start {number}", backends=(*backends,))
            )
            for number, (name, backends) in enumerate(BACKENDS.items())
        }
        for number in range(-1, rounds):
            for name, runner in runners.items():
                measured = user_seconds(runner, "list", "::")
                if number >= 0:  # the first round is to warm up
                    found[name].append(measured)
    python, _ = medians(found["Python"])
    rows = [(name, *medians(runs), medians(runs)[0] / python) for name, runs in found.items()]
    return Table("start", START_COLUMNS, tuple(rows))


@contextlib.contextmanager
def new_machine(runner: PantsRunner) -> Iterator[None]:
    """An empty store and empty caches, as on a machine that just started."""
    for name in ("store", "named_caches"):
        shutil.rmtree(runner.top / name, ignore_errors=True)
    yield


def cold_runs(size: Size, scratch: Path, rounds: int) -> list[tuple[Cell, ...]]:
    """`list ::` and `package` of an image of this size, each on a new machine, in turns."""
    host = scratch / "host"
    write_host(host, size)
    kinds = {"list ::": ("list", "::"), "package": ("package", IMAGE)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    with cache_server(scratch / "remote") as server:
        fill(host, scratch, server)
        with checkout(scratch / "cold", host, server) as pants:
            for _ in range(rounds):
                for name, args in kinds.items():
                    with new_machine(pants.runner):
                        found[name].append(user_seconds(pants.runner, *args))
    own, _ = medians(found["list ::"])
    return [
        (size.name, name, *medians(runs), medians(runs)[0] / own) for name, runs in found.items()
    ]


def fill(host: Path, scratch: Path, server: CacheServer) -> None:
    """Have another checkout bring its results into the cache."""
    with checkout(scratch / "filling", host, server) as pants:
        pants.run("package", IMAGE)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run")
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds
    with tempfile.TemporaryDirectory(prefix="cold-run-") as scratch:
        tables = [starts(Path(scratch), rounds)]
        rows: list[tuple[Cell, ...]] = []
        for size in SIZES[:1] if args.quick else (SIZES[0], SIZES[-1]):
            place = Path(scratch, str(size.files))
            os.mkdir(place)
            rows += cold_runs(size, place, rounds)
        tables.append(Table("cold-run", RUN_COLUMNS, tuple(rows)))
    report(tables, args.json)


if __name__ == "__main__":
    main()
