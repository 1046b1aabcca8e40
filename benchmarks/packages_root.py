"""Measures a root of distribution packages, beside the same root as a directory of the host.

    benchmarks/run packages_root

The packages are of Debian, as apt of this machine knows it, which downloads them into mirrors of
files first: no network is measured. CPU is what counts, as runs take turns and a machine has other
things to do: that of ./pants, pantsd and their processes. The image is all of the root, and a part
of it: one program with its libraries. Beside Pants, the same root is made by the command line,
and by mmdebstrap where there is one and this is root, and an image by copy-bom of each.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from measured_pants import MeasuredPants, Run
from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN, fill_mirrors, mirror_of_apt
from pants_runner import pants_runner
from plain_roots import COLUMNS as PLAIN_COLUMNS
from plain_roots import LOCK, Project, roots_beside
from tables import Cell, Column, Table, options, report

PACKAGES = (
    *("ca-certificates", "git", "nginx", "openjdk-17-jre-headless", "perl", "python3-numpy"),
    "redis-server",
)
QUICK = ("redis-server",)
WHOLE, PART = "app:image", "app:part"
IMAGES = """\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"], sysroot=":root")
occlum_bom(name="part_bom", source="part.yaml")
occlum_image(name="part", boms=[":part_bom"], sysroot=":root")
"""
PART_BOM = "targets: [{target: /bin, copy: [{files: [/usr/bin/redis-server]}]}]\n"
OF_PACKAGES, OF_DIRECTORY = "packages", "directory"
ROUNDS = 3
WATCHER_SECONDS = 1.0  # the file watcher's, to see an edit
COLUMNS = (
    *(Column("run"), Column("packages", "{:.2f} s"), Column("packages, CPU", "{:.2f} s")),
    *(Column("directory", "{:.2f} s"), Column("directory, CPU", "{:.2f} s")),
    *(Column("ratio of CPU", "{:.2f}"), Column("store grows by", "{:,.0f} MiB")),
)


@dataclass
class Case:
    """Runs of one kind by what the sysroot is: packages or a directory."""

    label: str
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, kind: str, run: Run) -> None:
        self.runs.setdefault(kind, []).append(run)

    def row(self) -> tuple[Cell, ...]:
        """The medians."""
        packages, directory = map(self.runs.get, (OF_PACKAGES, OF_DIRECTORY))
        cells: list[float | None] = []
        for runs in (packages, directory):
            cells.append(statistics.median(run.seconds for run in runs) if runs else None)
            cells.append(statistics.median(run.cpu for run in runs) if runs else None)
        ratio = cells[1] / cells[3] if cells[1] and cells[3] else None
        grows = statistics.median(run.store_bytes for run in packages) if packages else None
        return (self.label, *cells, ratio, None if grows is None else grows / (1 << 20))


@contextlib.contextmanager
def checkout(top: Path, project: Project, root: str) -> Iterator[MeasuredPants]:
    """A build root with an empty store; `root` is the target that stands for `/`."""
    with pants_runner(top, backends=None) as runner:
        project.write(runner.build_root / "app")
        runner.write("app/BUILD", root + IMAGES)
        runner.write("app/part.yaml", PART_BOM)
        yield MeasuredPants(runner)


def measure(project: Project, directory: Path, scratch: Path, rounds: int) -> list[Case]:
    """Lock in one checkout, and build in a second one; beside that in one with the directory."""
    locked = Case("lock"), Case("lock, no change")
    with checkout(scratch / "locking", project, project.targets()) as pants:
        for case in locked:
            case.add(OF_PACKAGES, pants.run("generate-lockfiles", "--resolve=app:root"))
        lock = (pants.runner.build_root / "app" / LOCK).read_bytes()
    if lock != project.lock.read_bytes():
        raise SystemExit("./pants and occlum-build make different locks of the same packages")
    host = f'occlum_sysroot(name="root", root="{directory}")\n'
    with (
        checkout(scratch / "of-packages", project, project.targets()) as first,
        checkout(scratch / "of-directory", project, host) as second,
    ):
        kinds = {OF_PACKAGES: first, OF_DIRECTORY: second}
        cases = [*locked, *_images(kinds), *_again(kinds, rounds)]
        digests = {pants.runner.dist.joinpath("app/image/image.digest").read_bytes()
                   for pants in kinds.values()}  # fmt: skip
    if len(digests) != 1:
        raise SystemExit("the image of packages is not that of the directory")
    return cases


def _images(kinds: dict[str, MeasuredPants]) -> list[Case]:
    part, whole = Case("package a part, cold"), Case("then package all")
    for kind, pants in kinds.items():
        part.add(kind, pants.run("package", PART))
        whole.add(kind, pants.run("package", WHOLE))
    return [part, whole]


def _again(kinds: dict[str, MeasuredPants], rounds: int) -> list[Case]:
    own, new, none, edit = cases = (
        Case("list, Pants' own no-op, new pantsd"),
        Case("package all, no change, new pantsd"),
        Case("package all, no change"),
        Case("package all, BOM edited"),
    )
    for number in range(rounds):
        for kind, pants in kinds.items():
            _end_pantsd(pants)
            own.add(kind, pants.run("list", WHOLE))
            _end_pantsd(pants)
            new.add(kind, pants.run("package", WHOLE))
            none.add(kind, pants.run("package", WHOLE))
            with (pants.runner.build_root / "app/bom.yaml").open("a") as bom:
                bom.write(f"- {{target: /made, mkdirs: [of-{number}]}}\n")
            time.sleep(WATCHER_SECONDS)
            edit.add(kind, pants.run("package", WHOLE))
    return list(cases)


def _end_pantsd(pants: MeasuredPants) -> None:
    pids = pants.runner.pantsd_pids()
    pants.runner.stop_pantsd()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.1)


def mirrored(mirrors: Path, packages: tuple[str, ...], scratch: Path) -> Project:
    """Packages of Debian in mirrors of files, with the essential ones that mmdebstrap needs."""
    suites = mirror_of_apt(mirrors)
    if not KEYRING_OF_DEBIAN.exists():
        raise unittest.SkipTest(f"there is no {KEYRING_OF_DEBIAN} on this machine")
    for essential in (False, True):
        work = scratch / f"filling-{essential}"
        fill_mirrors(mirrors, suites, packages, work, essential=essential)
    return Project(mirrors, suites, packages, scratch / "project")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}")
    parser.add_argument("--mirrors", type=Path, help="where to keep what apt downloads")
    args = parser.parse_args()
    plain: list[tuple[Cell, ...]] = []
    cases: list[Case] = []
    with tempfile.TemporaryDirectory(prefix="packages-") as top:
        scratch = Path(top)
        try:
            wanted = QUICK if args.quick else PACKAGES
            project = mirrored(args.mirrors or scratch / "mirrors", wanted, scratch)
        except unittest.SkipTest as why:
            print(f"packages: nothing is measured: {why}", file=sys.stderr)
        else:
            plain = roots_beside(project, scratch)
            rounds = args.rounds or (1 if args.quick else ROUNDS)
            cases = measure(project, project.root, scratch, rounds)
    pants_table = Table("packages-root", COLUMNS, tuple(case.row() for case in cases))
    report([pants_table, Table("packages-plain", PLAIN_COLUMNS, tuple(plain))], args.json)


if __name__ == "__main__":
    main()
