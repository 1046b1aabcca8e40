"""Measures `./pants package` of images of several sizes, beside a `./pants list` of one target.

    PYTHONPATH=src/python:testprojects .venv/bin/python benchmarks/pants_package.py --size 300MB

Each size has a build root, a store and a host of its own. An image holds the host's files (random
bytes, one in a hundred an ELF file) and a file of the project. First the store is empty and there
is no pantsd. Then the runs of a round take turns; the table shows the median of the rounds. Then a
tar archive, an OCI image of one layer, a secure file system and the archive of its instance are
made of the image. Last, a second checkout with an empty store takes from a remote cache
(BuildGrid) what these runs put there, and a third one that has no remote cache makes a secure
file system, which tells what of its time is for the cache.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cache_server import CacheServer, cache_server
from measured_pants import MIB, MeasuredPants, Run
from pants_runner import PantsRunner, pants_runner
from tables import Cell, Column, Table, options, report
from tiny_elf import tiny_elf

TOOLCHAIN = "testprojects/toolchain"
IMAGE, SEFS = "app:image", "app:enclave"
MADE = (
    ("a tar archive", "app:tar"),
    ("an OCI image", "app:oci"),
    ("a secure file system", SEFS),
    ("a signed enclave with its archive", "app:signed"),
)
BUILD = f"""\
occlum_bom(name="bom", source="bom.yaml")
files(name="files", sources=["hello.txt"])
occlum_image(name="image", boms=[":bom"])
occlum_image(name="tar", boms=[":bom"], formats=["tar"])
oci_image(name="oci", image=":image", formats=["layout"], max_layers=1)
# Without a signature there is no archive of the instance beside it.
occlum_enclave(name="enclave", image=":image", toolchain="//{TOOLCHAIN}", sign=False)
occlum_enclave(name="signed", image=":image", toolchain="//{TOOLCHAIN}")
"""
BOM = """\
targets:
- target: /
  copy: [{dirs: [/data]}, {files: [../hello.txt]}]
"""
DIR_FILES, ELF_EVERY = 100, 100
SEED = 1
SENT = 128  # calls at a time, Pants' default (remote_store_rpc_concurrency)
WATCHER_SECONDS = 1.0  # the file watcher's, to see an edit


@dataclass(frozen=True)
class Size:
    """An image of so many files of so many bytes each."""

    name: str
    files: int
    file_bytes: int
    rounds: int


SIZES = (
    Size("10 MB", 500, 20_000, 5),
    Size("300 MB", 5_000, 60_000, 5),
    Size("1 GB", 50_000, 20_000, 3),
)
COLUMNS = (
    *(Column("image"), Column("run"), Column("wall", "{:.2f} s"), Column("ratio", "{:.2f}")),
    *(Column("CPU", "{:.2f} s"), Column("client", "{:.0f} MiB"), Column("pantsd", "{:.0f} MiB")),
    *(Column("store grows by", "{:,.2f} MiB"), Column("restarts")),
)


@dataclass
class Case:
    """The rows of one size."""

    size: Size
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    own: float = 0.0  # the seconds of Pants' own no-op

    def add(self, label: str, runs: list[Run]) -> None:
        """A row with the medians of runs that do the same."""

        def median(values: list[float]) -> float | None:
            return statistics.median(values) if values else None

        wall = statistics.median(run.seconds for run in runs)
        self.rows.append(
            (
                self.size.name,
                label,
                wall,
                wall / self.own if self.own else None,
                median([run.cpu for run in runs]),
                median([run.client_rss / MIB for run in runs]),
                median([run.pantsd_rss / MIB for run in runs if run.pantsd_rss is not None]),
                median([run.store_bytes / MIB for run in runs]),
                sum(run.restarted for run in runs),
            )
        )


def write_host(root: Path, size: Size) -> None:
    """Files of the host, older than a hash of them has to be doubted."""
    source = random.Random(SEED)
    before = time.time() - 86_400
    for number in range(size.files):
        path = host_file(root, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = tiny_elf(f"lib{number}.so") if number % ELF_EVERY == 1 else b""
        path.write_bytes(content + source.randbytes(size.file_bytes - len(content)))
        os.utime(path, (before, before))


def host_file(root: Path, number: int) -> Path:
    return root / f"data/{number // DIR_FILES}/{number}"


@contextlib.contextmanager
def checkout(top: Path, host: Path, server: CacheServer | None) -> Iterator[MeasuredPants]:
    given: tuple[str, ...] = (f"--occlum-sysroot={host}",)
    if server is not None:
        given += (*server.options, f"--remote-store-rpc-concurrency={SENT}")
    with pants_runner(top, parts=(TOOLCHAIN,), backends=None, options=given) as runner:
        runner.write("app/BUILD", BUILD)
        runner.write("app/bom.yaml", BOM)
        runner.write("app/hello.txt", "Hello.\n")
        yield MeasuredPants(runner)


def measure(size: Size, scratch: Path) -> list[tuple[Cell, ...]]:
    case, host = Case(size), scratch / "host"
    write_host(host, size)
    with cache_server(scratch / "remote") as server:
        with checkout(scratch / "first", host, server) as pants:
            cold = pants.run("package", IMAGE)
            _rounds(case, pants, host)
            case.rows.insert(0, ())
            case.add("package, cold", [cold])
            case.rows[0] = case.rows.pop()
            for label, address in MADE:
                case.add(f"package as {label}", [pants.run("package", address)])
            content = host_file(host, 0).read_bytes()
            edits = [_edit_host(pants, host, number, SEFS) for number in range(size.rounds)]
            case.add("package as a secure file system, a host file edited", edits)
            host_file(host, 0).write_bytes(content)  # as the remote cache knows it
            last_edits = _edited_files(pants.runner)
        with checkout(scratch / "second", host, server) as pants:
            for path, text in last_edits.items():
                pants.runner.write(path, text)
            for label, address in (("the image", IMAGE), *MADE):
                run = pants.run("package", address)
                case.add(f"second checkout, remote cache: {label}", [run])
    with checkout(scratch / "third", host, None) as pants:
        pants.run("package", IMAGE)
        case.add("third checkout, no cache: a secure file system", [pants.run("package", SEFS)])
        edits = [_edit_host(pants, host, number, SEFS) for number in range(size.rounds)]
        case.add("third checkout, no cache: the same, a host file edited", edits)
    return case.rows


def _rounds(case: Case, pants: MeasuredPants, host: Path) -> None:
    kinds: dict[str, Callable[[int], Run]] = {
        "list, Pants' own no-op": lambda _: pants.run("list", IMAGE),
        "package, no change": lambda _: pants.run("package", IMAGE),
        "package, a project file edited": lambda number: _edit_project(pants, number),
        "package, a host file edited": lambda number: _edit_host(pants, host, number),
    }
    runs: dict[str, list[Run]] = {label: [] for label in kinds}
    for number in range(-1, case.size.rounds):
        for label, run in kinds.items():
            found = run(number)
            if number >= 0:  # the first round is to warm up
                runs[label].append(found)
    case.own = statistics.median(run.seconds for run in next(iter(runs.values())))
    for label, measured in runs.items():
        case.add(label, measured)


def _edit_project(pants: MeasuredPants, number: int) -> Run:
    pants.runner.write("app/hello.txt", f"Hello {number}.\n")
    time.sleep(WATCHER_SECONDS)
    return pants.run("package", IMAGE)


def _edit_host(pants: MeasuredPants, host: Path, number: int, address: str = IMAGE) -> Run:
    path = host_file(host, 0)
    content = path.read_bytes()
    path.write_bytes(bytes([number % 256]) + content[1:])
    return pants.run("package", address)


def _edited_files(runner: PantsRunner) -> dict[str, str]:
    path = "app/hello.txt"
    return {path: (runner.build_root / path).read_text(encoding="utf-8")}


def main() -> None:
    names = [size.name.replace(" ", "") for size in SIZES]
    parser = options(__doc__)
    parser.add_argument("--size", choices=names, nargs="+", default=names, help="which images")
    parser.add_argument("--rounds", type=int, help="instead of those of each size")
    args = parser.parse_args()
    wanted = names[:1] if args.quick else args.size
    found: list[tuple[Cell, ...]] = []
    for size in SIZES:
        if size.name.replace(" ", "") not in wanted:
            continue
        rounds = args.rounds or (1 if args.quick else size.rounds)
        with tempfile.TemporaryDirectory(prefix="pants-package-") as scratch:
            case = Size(size.name, size.files, size.file_bytes, rounds)
            found += measure(case, Path(scratch))
    report([Table("pants-package", COLUMNS, tuple(found))], args.json)


if __name__ == "__main__":
    main()
