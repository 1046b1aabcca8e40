"""Measures answers about an image of many entries: why, diff, size and bills, by the command line.

The image is made up: a tenth of its files are programs that need five of 300 libraries. `why` asks
for one of these, `diff` compares with an image in which one package has another version. Time of
the whole command, and CPU time of it, the best of some runs; files in the page cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE, Entry, Origin
from occlum_build.image.graph import GRAPH, Edge, Graph, graph_text
from occlum_build.image.manifest import manifest_text
from tables import Column, Table, options, report

ENTRIES, FEW_ENTRIES, RUNS = 50_000, 500, 5
LIBRARIES = 300
RULE = "loader config"
COLUMNS = (
    *(Column("answer"), Column("entries"), Column("time", "{:.2f} s"), Column("CPU", "{:.2f} s")),
)


def write_image(folder: Path, count: int, version: str) -> None:
    """The manifest and graph of an image with `count` files; `version` is that of one package."""
    place = Place("app/bom.yaml", 5, 9)
    entries = [Entry(f"d{n}", DIR, Origin(place)) for n in range(100)]
    entries += [Entry("lib", DIR, Origin(place))]
    edges = []
    for number in range(count):
        path = f"d{number % 100}/f{number}"
        origin = Origin(Place(f"app/bom{number % 50}.yaml", 5, 9 + number % 7))
        entries.append(Entry(path, FILE, origin, 0o644, f"/src/{path}", number))
        if number % 10 == 0:
            needed = {(number * 7 + n) % LIBRARIES for n in range(5)}
            edges += [_edge(f"/{path}", one) for one in needed]
    for number in range(LIBRARIES):
        origin = Origin(place, ("/src/d0/f0", f"lib{number}.so found by {RULE}"))
        source = f"/usr/lib/lib{number}.so"
        entries.append(Entry(f"lib/lib{number}.so", FILE, origin, 0o755, source, 200_000))
        edges += [_edge(f"/lib/lib{number}.so", one) for one in range(number + 1, number + 3)]
    edges = [edge for edge in edges if edge.to != f"/lib/lib{LIBRARIES}.so"]
    packages = {one.source: (f"p{len(one.path)}", "1.0") for one in entries if one.source}
    packages.update({one: ("p9", version) for one, of in packages.items() if of[0] == "p9"})

    def sha256(source: str) -> str:
        return hashlib.sha256(f"{source} {packages[source]}".encode()).hexdigest()

    manifest = manifest_text(entries, sha256, packages)
    folder.mkdir()
    (folder / "manifest.json").write_bytes(manifest.full)
    (folder / GRAPH).write_bytes(graph_text(Graph(tuple(sorted(edges))), manifest.digest))


def _edge(origin: str, number: int) -> Edge:
    return Edge(origin, f"/lib/lib{number}.so", "needed", f"lib{number}.so", RULE)


def measure(*arguments: str | Path) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of a run of the command line."""
    command = [sys.executable, "-m", "occlum_build.cli.main", *map(str, arguments)]
    before, start = os.times(), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    taken, after = time.monotonic() - start, os.times()
    if done.returncode > 1:
        raise SystemExit(f"{arguments[0]} ended with {done.returncode}")
    cpu = after.children_user + after.children_system
    return taken, cpu - before.children_user - before.children_system


def main() -> None:
    args = options(__doc__).parse_args()
    count, runs = (FEW_ENTRIES, 1) if args.quick else (ENTRIES, RUNS)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        old, new = Path(directory, "old"), Path(directory, "new")
        write_image(old, count, "1.0")
        write_image(new, count, "1.1")
        commands: dict[str, tuple[str | Path, ...]] = {
            "why": ("why", old, "lib299.so"),
            "diff": ("diff", old, new),
            "size": ("size", old),
            "sbom, CycloneDX": ("sbom", old, "--format=cyclonedx"),
            "sbom, SPDX": ("sbom", old, "--format=spdx"),
        }
        for name, command in commands.items():
            rows.append((name, count, *min(measure(*command) for _ in range(runs))))
    report([Table("insight", COLUMNS, tuple(rows))], args.json)


if __name__ == "__main__":
    main()
