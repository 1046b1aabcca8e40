"""Measures the closure of many ELF files, in the library alone, and how it grows.

`one program`: it needs 4 libraries, each of these 4 more, and so on until all files are needed.
`plugins`: the files of a directory, each of which needs the same 4 libraries. `growth` is the time
a file, against that of the smallest number of files: 1.0 is linear. `reading` is the part of it
that reads the facts of the ELF files. `checks`: the checks of a planned image, with more programs
of run-time families and more missing libraries as it grows, in memory. CPU time, the best of some
runs; files in the page cache.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.checks.libraries import library_problems
from occlum_build.checks.root import Root
from occlum_build.checks.runtime import runtime_problems
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.errors import Report
from occlum_build.image.plan import BomSet, ImagePlan, PlanOptions, plan_image
from occlum_build.sources.os import OsSources
from tables import Column, Table, options, report
from tiny_elf import tiny_elf

FAN_OUT = 4
LOADER = "/lib/ld.so"
BOMS = {
    "one program": "targets: [{target: /bin, copy: [{files: [/bin/app]}]}]\n",
    "plugins": "targets: [{target: /plugins, copy: [{files: [/bin/app]}, {dirs: [/plugins]}]}]\n",
}
COLUMNS = (
    *(Column("what"), Column("files"), Column("time", "{:.2f} s"), Column("reading", "{:.2f} s")),
    *(Column("a file", "{:.0f} µs"), Column("growth", "{:.2f}")),
)


def write_sysroot(root: Path, shape: str, count: int) -> None:
    """A root file system with an application of about `count` ELF files."""
    for folder in ("bin", "lib", "plugins"):
        (root / folder).mkdir(parents=True)
    names = [f"lib{number}.so" for number in range(count if shape == "one program" else FAN_OUT)]
    _write(root / "lib/ld.so", tiny_elf("ld.so"))
    _write(root / "bin/app", tiny_elf(needed=names[:FAN_OUT], interpreter=LOADER))
    for number, name in enumerate(names):
        needs = names[FAN_OUT * (number + 1) : FAN_OUT * (number + 2)]
        _write(root / "lib" / name, tiny_elf(name, needs))
    if shape == "plugins":
        for number in range(count):
            _write(root / f"plugins/plugin{number}.so", tiny_elf(f"plugin{number}.so", names))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


class TimedSources(OsSources):
    """Sources that know how long the reading of facts took, in seconds."""

    reading = 0.0

    def facts(self, path: str) -> ElfFacts | None:
        start = time.process_time()
        found = super().facts(path)
        self.reading += time.process_time() - start
        return found


def plan(root: Path, bom: Path, sources: OsSources) -> ImagePlan:
    """Plan the image of the application, which must succeed."""
    with Report() as problems:
        boms = load_boms(str(bom).lstrip("/"), (), {}, reader_of(sources), problems)
        bom_set = BomSet(boms, str(root).lstrip("/"), {}, LoaderConfig())
        planned = plan_image([bom_set], PlanOptions(), sources, problems)
    if problems.errors:
        raise SystemExit(f"the image could not be planned: {problems.errors[0]}")
    return planned


def rows(shape: str, counts: list[int], rounds: int) -> Iterator[tuple[str | float, ...]]:
    first = 0.0
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="closure-") as name:
            root, bom = Path(name, "sysroot"), Path(name, "bom.yaml")
            write_sysroot(root, shape, count)
            bom.write_text(BOMS[shape])
            found = [_once(root, bom, count) for _ in range(rounds + 1)][1:]  # without the imports
        seconds, reading = min(found)
        first = first or seconds / count
        yield shape, count, seconds, reading, seconds / count * 1e6, seconds / count / first


def root_of_many(count: int) -> Root:
    """An image of Pythons that lack their libraries, a program that lacks its, and many files."""
    needed = tuple(f"libgone{number}.so" for number in range(count // 50))
    python = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True, interpreter=LOADER)
    files: dict[str, ElfFacts | bytes | str | None] = {
        f"/data/{number % 300}/{number // 300}/__init__.py": b"" for number in range(count)
    }
    files |= {f"/venv{number}/bin/python3.{number}": python for number in range(count // 160)}
    return root_of({**files, LOADER: python, "/bin/app": replace(python, needed=needed)})


def rows_of_checks(counts: list[int], rounds: int) -> Iterator[tuple[str | float, ...]]:
    first = 0.0
    for count in counts:
        times = []
        for _ in range(rounds):
            root = root_of_many(count)
            start = time.process_time()
            codes = {one.code for one in (*runtime_problems(root), *library_problems(root))}
            times.append(time.process_time() - start)
            if codes != {"runtime-python", "library-unreachable"}:
                raise SystemExit(f"the checks told of {codes}")
        first = first or min(times) / count
        yield "checks", count, min(times), 0.0, min(times) / count * 1e6, min(times) / count / first


def _once(root: Path, bom: Path, count: int) -> tuple[float, float]:
    sources = TimedSources(str(root))
    start = time.process_time()
    planned = plan(root, bom, sources)
    seconds = time.process_time() - start
    files = sum(entry.path.endswith(".so") for entry in planned.entries)
    if files < count:
        raise SystemExit(f"{count} files were written, and {files} are in the image")
    return seconds, sources.reading


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--files", type=int, nargs="+", help="numbers of files")
    args = parser.parse_args()
    counts = args.files or ([100, 1_000] if args.quick else [100, 1_000, 10_000])
    rounds = 1 if args.quick else 3
    os.umask(0o022)
    found = tuple(row for shape in BOMS for row in rows(shape, counts, rounds))
    found += tuple(rows_of_checks([12_500] if args.quick else [12_500, 50_000], rounds))
    report([Table("closure", COLUMNS, found)], args.json)


if __name__ == "__main__":
    main()
