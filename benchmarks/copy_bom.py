"""Measures `occlum-build copy-bom`, beside a reference command where one is given.

    COPY_BOM=/path/to/copy_bom NUMPY=/path/to/numpy PREFIX=/path/to/prefix benchmarks/run copy_bom

For each image: `first` writes into a missing directory, and ours finds nothing of an earlier run;
`cold` writes into a missing directory once more; `no-change` runs again over the result. The
commands take turns, in another order in each round; the table has the medians of the rounds, and
the ratios of these.
"""

from __future__ import annotations

import glob
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tables import Cell, Column, Table, options, report

OURS, REFERENCE = "occlum-build copy-bom", "reference"
STATES = ("first", "cold", "no-change")
COLUMNS = (
    *(Column("image"), Column("entries"), Column("state"), Column(OURS, "{:.3f} s")),
    *(Column(REFERENCE, "{:.3f} s"), Column("ratio", "{:.2f}"), Column("ratio of CPU", "{:.2f}")),
)
NUMPY = os.environ.get("NUMPY", "/usr/lib/python3/dist-packages/numpy")
PREFIX = os.environ.get("PREFIX", "")
JDK = os.path.realpath("/usr/lib/jvm/default-java")


@dataclass(frozen=True)
class Image:
    name: str
    files: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()

    def bom(self) -> str:
        """The BOM: each file and directory at the path that it has on this machine."""
        lines = ["targets:"]
        for kind, paths in (("files", self.files), ("dirs", self.dirs)):
            for path in paths:
                target = os.path.dirname(path)
                lines += [f"  - target: {target}", f"    copy: [{{{kind}: [{path}]}}]"]
        return "\n".join(lines) + "\n"


class Took(NamedTuple):
    """Seconds of a run by the clock, and of CPU in all its processes."""

    wall: float
    cpu: float


Times = dict[tuple[str, str], list[Took]]  # by command and state


def images() -> list[Image]:
    """The images that this machine has the programs for."""
    python = os.path.realpath("/usr/bin/python3")
    stdlib = f"/usr/lib/{os.path.basename(python)}"
    # numpy's libraries (BLAS and such) that it finds by itself lie beside it
    numpy = (NUMPY, *sorted(glob.glob(NUMPY + ".libs")))
    found = [
        Image("hello", ("/usr/bin/cat",)),
        Image("bash", ("/usr/bin/bash",)),
        Image("redis", ("/usr/bin/redis-server", "/usr/bin/redis-cli")),
        Image("python3 + stdlib", (python,), (stdlib,)),
        Image("python3 + stdlib + numpy", (python,), (stdlib, *numpy)),
        Image("a prefix with Python", (), (PREFIX,)),
        Image("JDK", (), (JDK,)),
    ]
    return [one for one in found if all(map(os.path.exists, (*one.files, *one.dirs)))]


def run(command: list[str], root: str, bom: str, cache: str) -> Took:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [*command, "-f", bom, "--root", root],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": cache},
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, sum(after[:2]) - sum(before[:2]))  # of user and system


def measure(
    image: Image, commands: dict[str, list[str]], rounds: int, scratch: str
) -> Iterator[tuple[Cell, ...]]:
    """The rows of one image, of which all that is written stays in `scratch`."""
    times: Times = {}
    bom = os.path.join(scratch, "bom.yaml")
    with open(bom, "w", encoding="utf-8") as file:
        file.write(image.bom())
    for number in range(rounds):
        for name in list(commands)[:: -1 if number % 2 else 1]:
            here = os.path.join(scratch, f"{number}-{name.split()[0]}")  # copy_bom splits paths
            root, cache = os.path.join(here, "image"), os.path.join(here, "cache")
            os.makedirs(cache)
            for state in STATES:
                if state == "cold":
                    os.rename(root, os.path.join(here, "first"))
                took = run(commands[name], root, bom, cache)
                times.setdefault((name, state), []).append(took)
    root = os.path.join(scratch, f"0-{OURS.split()[0]}", "image")
    entries = sum(len(dirs) + len(files) for _, dirs, files in os.walk(root))
    _empty(scratch)
    for state in STATES:
        ours, reference = _median(times, OURS, state), _median(times, REFERENCE, state)
        assert ours is not None
        if reference is None:
            yield image.name, entries, state, ours.wall, None, None, None
        else:
            ratios = ours.wall / reference.wall, ours.cpu / reference.cpu
            yield (image.name, entries, state, ours.wall, reference.wall, *ratios)


def _empty(directory: str) -> None:
    """Leave all files, but nothing in them that would be brought to the disk meanwhile."""
    for here, _, names in os.walk(directory):
        for path in (os.path.join(here, name) for name in names):
            if not os.path.islink(path):
                os.chmod(path, 0o600)
                os.truncate(path, 0)


def _median(times: Times, command: str, state: str) -> Took | None:
    found = times.get((command, state))
    return Took(*map(statistics.median, zip(*found))) if found else None


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--only", nargs="+", metavar="IMAGE", help="these images alone")
    args = parser.parse_args()
    here = os.path.dirname(sys.executable)
    commands = {OURS: [os.path.join(here, "occlum-build"), "copy-bom"]}
    if os.environ.get("COPY_BOM"):
        commands[REFERENCE] = shlex.split(os.environ["COPY_BOM"])
    rounds = args.rounds or (1 if args.quick else 5)
    some = [one for one in images() if not args.only or one.name in args.only]
    # Nothing is removed before all is measured: whenever it makes a file, ext4 without a journal
    # looks at every inode that was freed in the last minutes, and takes none of these.
    with tempfile.TemporaryDirectory(prefix="copy-bom-") as scratch:
        rows: list[tuple[Cell, ...]] = []
        for number, image in enumerate(some):
            folder = os.path.join(scratch, str(number))
            os.mkdir(folder)
            rows += measure(image, commands, rounds, folder)
        report([Table("copy-bom", COLUMNS, tuple(rows))], args.json)


if __name__ == "__main__":
    main()
