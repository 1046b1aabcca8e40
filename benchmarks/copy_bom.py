"""Measures `occlum-build copy-bom`, beside a reference command where one is given.

    COPY_BOM=/path/to/copy_bom NUMPY=/path/to/numpy benchmarks/run copy_bom

For each image: `cold` writes into a missing directory, `no-change` runs again over the result. The
commands take turns in each round; the table shows the median of the rounds and the ratio.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tables import Cell, Column, Table, options, report

OURS, REFERENCE = "occlum-build copy-bom", "reference"
STATES = ("cold", "no-change")
COLUMNS = (
    *(Column("image"), Column("entries"), Column("state"), Column(OURS, "{:.2f} s")),
    *(Column(REFERENCE, "{:.2f} s"), Column("ratio", "{:.2f}")),
)
NUMPY = os.environ.get("NUMPY", "/usr/lib/python3/dist-packages/numpy")


@dataclass(frozen=True)
class Image:
    name: str
    files: tuple[str, ...]
    dirs: tuple[str, ...] = ()

    def bom(self) -> str:
        """The BOM: each file and directory at the path that it has on this machine."""
        lines = ["targets:"]
        for kind, paths in (("files", self.files), ("dirs", self.dirs)):
            for path in paths:
                target = os.path.dirname(path)
                lines += [f"  - target: {target}", f"    copy: [{{{kind}: [{path}]}}]"]
        return "\n".join(lines) + "\n"


def images() -> list[Image]:
    """The images that this machine has the programs for."""
    python = os.path.realpath("/usr/bin/python3")
    stdlib = f"/usr/lib/{os.path.basename(python)}"
    # numpy's libraries (BLAS and such) that it finds by itself lie beside it
    numpy = (NUMPY, *sorted(glob.glob(NUMPY + ".libs")))
    found = [
        Image("redis", ("/usr/bin/redis-server", "/usr/bin/redis-cli")),
        Image("python3 + stdlib", (python,), (stdlib,)),
        Image("python3 + stdlib + numpy", (python,), (stdlib, *numpy)),
    ]
    return [one for one in found if all(map(os.path.exists, (*one.files, *one.dirs)))]


def seconds(command: list[str], root: str, bom: str) -> float:
    start = time.perf_counter()
    subprocess.run([*command, "-f", bom, "--root", root], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(
    image: Image, commands: dict[str, list[str]], rounds: int
) -> Iterator[tuple[Cell, ...]]:
    """The rows of one image."""
    times: dict[tuple[str, str], list[float]] = {}
    entries = 0
    with tempfile.TemporaryDirectory(prefix="copy-bom-") as scratch:
        bom = os.path.join(scratch, "bom.yaml")
        with open(bom, "w", encoding="utf-8") as file:
            file.write(image.bom())
        for _ in range(rounds):
            for name, command in commands.items():
                root = os.path.join(scratch, "image")
                for state in STATES:
                    times.setdefault((name, state), []).append(seconds(command, root, bom))
                entries = sum(len(dirs) + len(files) for _, dirs, files in os.walk(root))
                shutil.rmtree(root)
    for state in STATES:
        ours = statistics.median(times[OURS, state])
        given = times.get((REFERENCE, state))
        reference = statistics.median(given) if given else None
        ratio = ours / reference if reference else None
        yield image.name, entries, state, ours, reference, ratio


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, help="default: 5")
    args = parser.parse_args()
    here = os.path.dirname(sys.executable)
    commands = {OURS: [os.path.join(here, "occlum-build"), "copy-bom"]}
    if os.environ.get("COPY_BOM"):
        commands[REFERENCE] = shlex.split(os.environ["COPY_BOM"])
    rounds = args.rounds or (1 if args.quick else 5)
    rows = [row for image in images() for row in measure(image, commands, rounds)]
    report([Table("copy-bom", COLUMNS, tuple(rows))], args.json)


if __name__ == "__main__":
    main()
