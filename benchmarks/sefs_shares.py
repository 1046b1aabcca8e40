"""Where the time goes that a secure file system of many files takes, step by step.

    PYTHONPATH=src/python:rules .venv/bin/python benchmarks/sefs_shares.py --files 50000

What `./pants package` of an enclave does with the files of its image, without Pants: each step as
the processes do it, one after the other, with files in the page cache. The steps in parentheses are
a part of the first one, measured alone. The last rows are of file systems that are archived.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from occlum_build.image.manifest import canonical_json
from occlum_build.occlum.file_sealer import ImageFile
from occlum_build.occlum.seal import manifest_of_tree
from occlum_build.occlum.seal_files import Wanted, seal_files
from occlum_build.occlum.seal_image import MACS, Request, parts_of, read_macs, seal_image
from occlum_build.process.packs import PACKS, read_index
from occlum_build.sefs.pf_crypto import IntegrityOnly
from occlum_build.sefs.pf_writer import BytesSource, PfWriter
from occlum_build.sefs.planned import numbered
from occlum_build.sources.model import FILE
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.index import DistIndex
from pants_occlum.dist.tree import TreeWriter
from tables import Cell, Column, Table, options, report

COLUMNS = (
    *(Column("step"), Column("cores"), Column("wall", "{:.2f} s"), Column("CPU", "{:.2f} s")),
)
DIR_FILES, SEED = 100, 1


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--files", type=int, help="default: 50,000")
    parser.add_argument("--bytes", type=int, default=20_000, help="of each file")
    parser.add_argument("--dir", default=None, help="where to make the temporary directory")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as scratch:
        files = args.files or (500 if args.quick else 50_000)
        sys.path[:] = map(os.path.abspath, sys.path)
        os.chdir(scratch)
        rows = run(files, args.bytes)
        os.chdir("/")
    report([Table("sefs-shares", COLUMNS, tuple(rows))], args.json)


def run(count: int, size: int) -> list[tuple[Cell, ...]]:
    source = random.Random(SEED)
    for number in range(count):
        path = Path(f"host/{number // DIR_FILES}/{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(size))
    Path(".sysroots").mkdir()
    Path(".sysroots/host").symlink_to(Path("host").absolute())
    manifest = manifest_of_tree(Path("host"))
    Path("manifest.json").write_bytes(canonical_json(manifest))
    entries = {one["path"][1:]: one for one in manifest["entries"] if one["path"] != "/"}
    files = [
        ImageFile(inode, one["size"], one["sha256"], one["path"])
        for path, inode in numbered(entries).items()
        if (one := entries[path])["type"] == "file"
    ]
    cores = len(os.sched_getaffinity(0))
    return [
        measure("MACs and digests of the files", 1, lambda: _seal(files, has_packs=False)),
        measure("(read the files and their SHA-256)", 1, lambda: _read(files)),
        measure("(seal as many bytes in memory)", 1, lambda: _seal_in_memory(files)),
        measure("directories, links and the inode table", 1, _rest),
        measure("seal the files in dist", cores, lambda: _seal_in_place(files)),
        measure("seal the files into packs", 1, lambda: _seal(files, has_packs=True)),
        measure("SHA-256 and a copy of the packs, as a store has", 1, _store),
        measure("take the files out of the packs into dist", cores, _dist),
    ]


def measure(step: str, cores: int, action: Callable[[], object]) -> tuple[Cell, ...]:
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    action()
    return step, cores, time.perf_counter() - wall, sum(os.times()[:4]) - cpu


def _seal(files: Sequence[ImageFile], *, has_packs: bool) -> None:
    for number, part in enumerate(parts_of(files)):
        out = Path(f"part{number}" if has_packs else f"macs{number}")
        out.mkdir()
        seal_image(Request(part, "", has_packs=has_packs), out)


def _seal_in_place(files: Sequence[ImageFile]) -> None:
    texts = [path.read_bytes() for path in Path().glob(f"macs*/{MACS}")]
    sealed = {one.inode: one.sha256 for text in texts for one in read_macs(text)}
    Path("sealed").mkdir()
    seal_files([Wanted(file, sealed[file.inode]) for file in files], "sealed")


def _read(files: Sequence[ImageFile]) -> None:
    for file in files:
        hashlib.sha256(Path(f"host{file.source}").read_bytes()).hexdigest()


def _seal_in_memory(files: Sequence[ImageFile]) -> None:
    writer, content = PfWriter(), bytes(max(file.size for file in files))
    descriptor = os.memfd_create("file")
    for file in files:
        source = BytesSource(content[: file.size])
        writer.write_to(descriptor, b"0" * 32, source, IntegrityOnly())
    os.close(descriptor)


def _rest() -> None:
    macs = tuple(f"{part}/{MACS}" for part in sorted(Path().glob("macs*")))
    Path("rest").mkdir()
    seal_image(Request((), "", "manifest.json", macs), Path("rest"))


def _packs() -> list[Path]:
    return sorted(Path().glob(f"*/{PACKS}/*"))


def _store() -> None:
    Path("store").mkdir()
    for number, pack in enumerate(_packs()):
        with open(pack, "rb") as stream:
            hasher = hashlib.sha256()
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
        shutil.copyfile(pack, f"store/{number}")


def _dist() -> None:
    slices: dict[Path, list[tuple[TreeEntry, int]]] = {}
    for index in Path().glob("*/packs.json"):
        for one in read_index(index.read_bytes()):
            entry = TreeEntry(one.name, FILE, 0o644, one.sha256, one.size)
            slices.setdefault(index.parent / PACKS / one.pack, []).append((entry, one.offset))
    entries = tuple(entry for some in slices.values() for entry, _ in some)
    writer = TreeWriter(str(Path("dist").absolute()), entries, DistIndex())
    writer.compare()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        copies = threads.map(lambda one: writer.copy_slices(bytes(one[0]), one[1]), slices.items())
        assert not any(copies)
    writer.finish()


if __name__ == "__main__":
    main()
