"""BOMs as they stand in the project, whoever owns them: for what must not wait for a build."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.bom.load import Reader, load_boms, reader_of
from occlum_build.bom.model import Bom
from occlum_build.bom.operations import Operations, bom_operations
from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.files.bounds import BOM_BYTES
from pants_occlum.bom.knowledge import Knowledge, knowledge_of, learn
from pants_occlum.bom.roots import BomRoot
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.sysroots import SysrootOf, find_sysroot


@dataclass(frozen=True)
class OnDiskRequest:
    root: BomRoot


@dataclass(frozen=True)
class BomsOnDisk:
    """A root BOM and all that it includes, as far as they are valid, and what they ask for.

    `files` are the BOM files of the project that were read, valid or not.
    """

    files: tuple[str, ...]
    boms: tuple[Bom, ...]
    operations: tuple[Operations, ...]
    errors: tuple[Problem, ...]


@dataclass
class _DiskReader:
    """Reads BOMs from what is known, and notes what project files it was asked for beyond that."""

    texts: dict[str, bytes | None]
    read_host: Reader
    asked: dict[str, None] = field(default_factory=dict)

    def __call__(self, path: str) -> bytes | None:
        if path.startswith("/"):
            return self.read_host(path)
        if path not in self.texts:
            self.asked[path] = None
        return self.texts.get(path)


async def _load(root: BomRoot, bom: str, known: Knowledge) -> BomsOnDisk:
    texts: dict[str, bytes | None] = {}
    unusable: list[Problem] = []
    while True:
        sources, report = known.sources(), Report(errors=list(unusable))
        read = _DiskReader(texts, reader_of(sources))
        boms = load_boms(bom, root.include_dirs, root.env, read, report)
        if read.asked:
            read_now = await project_texts(read.asked, BOM_BYTES)
            texts.update(dict.fromkeys(read.asked))
            texts.update(read_now.contents)
            # The parser tells of them, by a byte more than a BOM may have.
            texts.update(dict.fromkeys(read_now.too_large, bytes(BOM_BYTES + 1)))
        elif sources.unknown:
            try:
                await learn(known, sources.unknown, str(root.address))
            except OcclumError as error:
                unusable.extend(error.problems)
                known.stats.update(dict.fromkeys(sources.unknown.paths))
        else:
            files = tuple(sorted(path for path, text in texts.items() if text is not None))
            return _expanded(root, files, boms, report)


@rule(desc="Read BOMs", level=LogLevel.DEBUG)
async def boms_on_disk(request: OnDiskRequest) -> BomsOnDisk:
    root = request.root
    if isinstance(root.bom, Bom):
        return _expanded(root, (), (root.bom,), Report())
    sysroot = await find_sysroot(SysrootOf((root.address,)), **implicitly())
    found = await _load(root, root.bom, Knowledge(replace(sysroot, lock=LockMode.off)))
    if found.errors and sysroot.lock is LockMode.require:
        # The host may lack what BOMs include. It comes first, as new pins are made of what it has.
        pinned = await _load(root, root.bom, await knowledge_of(sysroot))
        return found if pinned.errors else pinned
    return found


def _expanded(
    root: BomRoot, files: tuple[str, ...], boms: tuple[Bom, ...], report: Report
) -> BomsOnDisk:
    operations = tuple(bom_operations(bom, root.workspace, root.env, report) for bom in boms)
    return BomsOnDisk(files, boms, operations, tuple(dict.fromkeys(report.errors)))


def rules() -> Iterable[Rule]:
    return collect_rules()
