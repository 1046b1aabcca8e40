"""Makes one root without Pants, by `occlum-build packages` and by mmdebstrap, and its images."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from occlum_build.packages.stanzas import stanzas_of
from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN
from tables import Cell, Column

LOCK, BOM = "root.lock", "bom.yaml"
OCCLUM_BUILD = os.path.join(os.path.dirname(sys.executable), "occlum-build")
WHOLE_BOM = "targets:\n- {target: /, copy: [{dirs: [/etc, /usr, /var]}]}\n"
COLUMNS = (
    *(Column("command"), Column("wall", "{:.2f} s"), Column("CPU", "{:.2f} s")),
    Column("CPU of both", "{:.2f} s"),
)


@dataclass(frozen=True)
class Project:
    """Packages of archives in mirrors of files; suites by the name of a mirror.

    place: a directory for the configuration, its lock file and the root.
    """

    mirrors: Path
    suites: Mapping[str, Sequence[str]]
    packages: tuple[str, ...]
    place: Path

    @property
    def lock(self) -> Path:
        return self.place / LOCK

    @property
    def root(self) -> Path:
        return self.place / "root"

    def targets(self) -> str:
        """The root as targets of Pants, of which `root` stands for `/`."""
        archives = "".join(
            f'occlum_archive(name="{name}", mirrors=["file:{self.mirrors / name}"], '
            f'suites={list(suites)}, keyring="./keyring.gpg", allow_expired=True)\n'
            for name, suites in self.suites.items()
        )
        return archives + (
            f'occlum_packages(name="root", archives={[f":{name}" for name in self.suites]}, '
            f'packages={list(self.packages)}, lockfile="./{LOCK}")\n'
        )

    def configuration(self) -> str:
        """The same as YAML for the command line."""
        archives = "".join(
            f"- {{name: {name}, mirrors: ['file:{self.mirrors / name}'], "
            f"suites: [{', '.join(suites)}], components: [main], keyring: keyring.gpg, "
            "allow_expired: true}\n"
            for name, suites in self.suites.items()
        )
        return f"archives:\n{archives}packages: [{', '.join(self.packages)}]\n"

    def write(self, directory: Path) -> None:
        """What both ways need in a directory: the keyring, the BOM, and a lock if there is one."""
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(KEYRING_OF_DEBIAN, directory / "keyring.gpg")
        (directory / BOM).write_text(WHOLE_BOM, encoding="utf-8")
        if self.lock.exists() and directory != self.place:
            shutil.copy(self.lock, directory)


@dataclass(frozen=True)
class Timed:
    """Seconds of a command: by the clock, and of CPU with its processes."""

    label: str
    wall: float
    cpu: float

    def row(self, both: float | None = None) -> tuple[Cell, ...]:
        return self.label, self.wall, self.cpu, both


def timed(label: str, *command: str | Path) -> Timed:
    """Run a command, which must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{label} failed: {' '.join(map(str, command))}")
    return Timed(label, time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def roots_beside(project: Project, scratch: Path) -> list[tuple[Cell, ...]]:
    """Rows of the commands; `project.lock` and `project.root` are there afterwards."""
    project.write(project.place)
    config = project.place / "root.yaml"
    config.write_text(project.configuration(), encoding="utf-8")
    cache = ("--cache", scratch / "cache")
    packages = (OCCLUM_BUILD, "packages")
    lock = timed(
        "occlum-build packages lock", *packages, "lock", config, "--lock", project.lock, *cache
    )
    unpack = timed(
        "occlum-build packages unpack",
        *(*packages, "unpack", project.root, "--lock", project.lock, config, *cache),
    )
    ours = _copied(project, project.root, scratch / "image")
    rows = [lock.row(), unpack.row(), ours.row(unpack.cpu + ours.cpu)]
    if shutil.which("mmdebstrap") and os.geteuid() == 0:
        root = scratch / "mmdebstrap"
        theirs = timed("mmdebstrap", *_mmdebstrap(project, root))
        copied = _copied(project, root, scratch / "image-of-mmdebstrap")
        rows += [theirs.row(), copied.row(theirs.cpu + copied.cpu)]
        shutil.rmtree(root)
    return rows


def _copied(project: Project, root: Path, image: Path) -> Timed:
    bom = project.place / BOM
    found = timed(
        "occlum-build copy-bom of it",
        *(OCCLUM_BUILD, "copy-bom", "-f", bom, "--root", image, "--sysroot", root),
    )
    shutil.rmtree(image)
    return found


def _mmdebstrap(project: Project, root: Path) -> list[str]:
    """Its command: the same packages, and the essential ones, whose scripts it runs.

    The signed indexes name compressed files, which apt's lists have not: it gets indexes of what
    is in the mirrors.
    """
    sources = []
    for name in project.suites:
        _write_flat_index(project.mirrors / name)
        sources.append(f"deb [trusted=yes] copy:{project.mirrors / name} ./")
    return [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=essential",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f"--include={','.join(project.packages)}",
        _CODENAME,
        str(root),
        *sources,
    ]


_CODENAME = "suite"  # mmdebstrap takes essential packages of the suite that it is told


def _write_flat_index(mirror: Path) -> None:
    """Write Packages and Release of a flat repository that has what the mirror has."""
    stanzas: dict[str, bytes] = {}
    for index in sorted(mirror.glob("dists/**/Packages")):
        for block in index.read_bytes().split(b"\n\n"):
            for stanza in stanzas_of(block, ("Filename",)):
                if (mirror / stanza.get("Filename", ".")).is_file():
                    stanzas.setdefault(stanza["Filename"], block.strip() + b"\n")
    content = b"\n".join(stanzas.values())
    (mirror / "Packages").write_bytes(content)
    (mirror / "Release").write_text(
        f"Suite: {_CODENAME}\nCodename: {_CODENAME}\nArchitectures: amd64\n"
        "Date: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} Packages\n",
        encoding="utf-8",
    )
