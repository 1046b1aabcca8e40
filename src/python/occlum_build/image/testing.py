"""Plans of images for tests, from BOMs and source trees that are made up in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Union

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.cli.main import EXIT_CODES
from occlum_build.elf.facts import Archive, ElfFacts, Malformed
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.elf.loader_config import LoaderConfig, parse_loader_config
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import Problem, Report
from occlum_build.image.entries import Entry
from occlum_build.image.plan import BomSet, ImagePlan, PlanOptions, plan_image
from occlum_build.sources.model import DIR, FILE, SYMLINK, SourceStat

# Source path -> content, facts, "-> TARGET" of a link, or None for an empty directory.
Files = Mapping[str, Union[bytes, ElfFacts, Malformed, Archive, str, None]]
BOM = "bom.yaml"
WORKSPACE = "ws"
ELF_BYTES = 64  # the size of each ELF file

SHARED_OBJECT = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)


def program(*needed: str, interpreter: str | None = GLIBC_LOADER) -> ElfFacts:
    return replace(SHARED_OBJECT, interpreter=interpreter, needed=needed)


def library(*needed: str) -> ElfFacts:
    return replace(SHARED_OBJECT, needed=needed)


class TreeView(MemoryView):
    """A MemoryView with sizes and digests; files are 0644, programs and directories 0755."""

    def __init__(self, files: Files) -> None:
        super().__init__({})
        self.empty_dirs: set[str] = set()
        self.broken: dict[str, str] = {}
        self.archives: dict[str, Archive] = {}
        for path, entry in files.items():
            if entry is None:
                self.empty_dirs.add(path)
            elif isinstance(entry, Malformed):
                self.broken[path] = entry.reason
                self.entries[path] = b""
            elif isinstance(entry, Archive):
                self.archives[path] = entry
                self.entries[path] = b""
            else:
                self.entries[path] = entry

    def lstat(self, path: str) -> SourceStat | None:
        entry = self.entries.get(path)
        if isinstance(entry, bytes):
            return SourceStat(FILE, 0o644, len(entry))
        if isinstance(entry, ElfFacts):
            return SourceStat(FILE, 0o755, ELF_BYTES)
        is_dir = any(f"{one}/".startswith(f"{path}/") for one in self.empty_dirs)
        return SourceStat(DIR, 0o755) if is_dir or path == "" else super().lstat(path)

    def names(self, path: str) -> list[str]:
        below = path.rstrip("/") + "/"
        found = {one[len(below) :] for one in self.empty_dirs if one.startswith(below)}
        return sorted({*super().names(path), *(name.split("/")[0] for name in found)})

    def malformed(self, path: str) -> str:
        return self.broken.get(path, "")

    def archive(self, path: str) -> Archive | None:
        return self.archives.get(path)

    def sha256(self, path: str) -> str:
        entry = self.entries[path]
        content = entry if isinstance(entry, bytes) else repr(entry).encode()
        return hashlib.sha256(content).hexdigest()


class OldImage:
    """What the image held before: path -> target of a link, "" for a file, None for a directory."""

    def __init__(self, entries: dict[str, str | None]) -> None:
        self.entries = entries

    def lstat(self, path: str) -> SourceStat | None:
        if path not in self.entries:
            return None
        target = self.entries[path]
        kind = DIR if target is None else SYMLINK if target else FILE
        return SourceStat(kind, target=target or "")

    def source(self, path: str) -> str:
        return f"old/{path}"

    def named(self, name: str) -> list[str]:
        return [path for path in self.entries if f"/{path}".endswith(f"/{name}")]


@dataclass(frozen=True)
class Planned:
    """The outcome of a plan: the entries by path, what was told, and the plan itself."""

    entries: Mapping[str, Entry]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    plan: ImagePlan

    @property
    def sources(self) -> dict[str, str]:
        """Path -> source of the files, or "-> TARGET" of the links; directories left out."""
        return {
            path: f"-> {entry.target}" if entry.target else entry.source
            for path, entry in self.entries.items()
            if entry.kind != DIR
        }

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.errors[0].code] if self.errors else 0

    def error(self) -> Problem:
        """The one error; fails when there are others, or none."""
        (error,) = self.errors
        return error

    def warning(self) -> Problem:
        """The one warning that is not about the loader config; fails when there are others."""
        (warning,) = (one for one in self.warnings if one.code != "loader")
        return warning


def plan_bom(
    bom: str,
    files: Files,
    *,
    env: Mapping[str, str] | None = None,
    config: str = "",
    options: PlanOptions | None = None,
) -> Planned:
    """Plan the BOM text `bom`, the file BOM, with the workspace WORKSPACE.

    `files` are the sources, included BOMs among them; `config` is the text of a loader config.
    """
    sources, report = TreeView({BOM: bom.encode(), WORKSPACE: None, **files}), Report()
    loader_config: LoaderConfig | None = parse_loader_config(config, "config") if config else None
    boms = load_boms(BOM, (), env or {}, reader_of(sources), report)
    bom_set = BomSet(boms, WORKSPACE, env or {}, loader_config)
    plan = plan_image([bom_set], options or PlanOptions(), sources, report)
    return Planned(
        {entry.path: entry for entry in plan.entries},
        tuple(report.errors),
        tuple(report.warnings),
        plan,
    )
