"""Whether the programs of an image find their libraries in it, as the image's own loader looks.

What planning found stands where the system's loader finds it; this asks the loader's rules again,
over the image alone, where no cache and no configuration of the system is left.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from occlum_build.checks.root import Root
from occlum_build.elf.closure import Closure, Missing, group_lacking
from occlum_build.elf.facts import Archive, ElfFacts, Script
from occlum_build.elf.interpreter import Interpreter
from occlum_build.elf.ld_so_cache import read_cache
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.elf.lookup import NO_LIBRARY
from occlum_build.elf.search import MUSL_SYSTEM_DIRS, SearchDir, SystemDirs
from occlum_build.elf.system_dirs import (
    DEFAULT_RULE,
    LD_SO_CACHE,
    LIBC,
    glibc_default_dirs,
    lib_token,
    musl_path_file,
    read_musl_path,
)
from occlum_build.errors import ERROR, WARNING, Place, Problem
from occlum_build.image.missing import ALONE, Elsewhere, version_problem, who
from occlum_build.sources.model import DIR, FILE, SourceStat

CODE, VARIABLE = "library-unreachable", "LD_LIBRARY_PATH"


def library_problems(root: Root) -> Iterator[Problem]:
    """Libraries that a program's loader will not find in the image, or finds too old.

    Errors for the files that must find theirs, and warnings for others. What planning has told of
    is not told again.
    """
    closures = list(_closures(root, ()))
    by_name: dict[str, list[Missing]] = {}
    for closure in closures:
        for missing in closure.missing:
            if missing.name not in root.searched.told:
                by_name.setdefault(missing.name, []).append(missing)
    for _, found in sorted(by_name.items()):
        yield _unreachable(root, found)
    required = [one for one in closures if one.program.path in root.searched.required]
    for place, lacks in group_lacking(
        (_place(root, closure.program.path), lack)
        for closure in required
        for lack in closure.lacking
    ):
        yield version_problem(place, lacks, is_required=True)


def unreachable(root: Root, library_path: Sequence[str] = ()) -> list[Problem]:
    """Warnings of the libraries that a program needs and the image has where no loader looks.

    `library_path` has the directories of LD_LIBRARY_PATH, as they are set for every program. What
    planning found out about the image is taken from `root.searched`; without it, as of a directory
    of this machine, the programs are looked at.
    """
    if root.is_planned:
        return uncovered(root.searched.elsewhere, root, library_path)
    return uncovered(_elsewhere(root, library_path), root, library_path)


def uncovered(
    found: Iterable[Elsewhere], root: Root, library_path: Sequence[str] = ()
) -> list[Problem]:
    """Warnings of those that LD_LIBRARY_PATH does not lead to; asks `root` for paths alone."""
    return [
        one.problem(WARNING)
        for one in found
        if one.is_sure and not _is_covered(root, one.name, library_path)
    ]


def library_path_of(env: Iterable[str]) -> tuple[str, ...]:
    """The directories of LD_LIBRARY_PATH in a list of NAME=VALUE, of which the last one counts."""
    values = [value for name, _, value in (one.partition("=") for one in env) if name == VARIABLE]
    return tuple(one for one in values[-1].replace(";", ":").split(":") if one) if values else ()


def _is_covered(root: Root, name: str, library_path: Sequence[str]) -> bool:
    dirs = (one for one in library_path if one.startswith("/"))  # others depend on where one is
    return any(root.kind(posixpath.join(one, name)) == FILE for one in dirs)


def _elsewhere(root: Root, library_path: Sequence[str]) -> Iterator[Elsewhere]:
    needers: dict[str, list[str]] = {}
    for closure in _closures(root, library_path):
        for missing in closure.missing:
            needers.setdefault(missing.name, []).append(missing.chain[-1])
    for name, found in sorted(needers.items()):
        paths = _with_name(root, name)
        if paths and "/" not in name:
            yield Elsewhere(name, tuple(dict.fromkeys(found)), tuple(paths))


def _with_name(root: Root, name: str) -> list[str]:
    """The sorted paths of the ELF files of a name, and of links to some."""
    end = "/" + posixpath.basename(name)
    return [path for path in root.paths if path.endswith(end) and root.facts(path) is not None]


def _closures(root: Root, library_path: Sequence[str]) -> Iterator[Closure]:
    """Those of the programs of the image, and of other files that must find their libraries."""
    searched = root.searched
    linker = _linker(root, library_path)
    for path in root.files:
        entry = root.at(path)
        if entry is None or path in searched.left_alone:
            continue
        if path in searched.required or entry.mode & 0o111:
            facts = root.sources.facts(entry.source)
            if facts is not None and (facts.interpreter or path in searched.required):
                yield linker.close(path, path)


def _place(root: Root, path: str) -> Place | None:
    entry = root.at(path)
    return entry.origin.place if entry is not None else None


def _unreachable(root: Root, found: Sequence[Missing]) -> Problem:
    required = root.searched.required
    first = next((one for one in found if one.chain[0] in required), found[0])
    _, _, rest = first.problem().message.partition("\n")
    text = (
        f"library {first.name}, needed by {who(one.chain[-1] for one in found)}, is not where the "
        f"image's loader looks for it\n{rest.replace('searched:', 'searched in the image:')}"
    )
    paths = _with_name(root, first.name)
    hint = f"the image has it at {paths[0]}: give " if paths else "give "
    hint += "who needs it a RUNPATH that leads to it, or copy it to one of these directories; "
    hint += ALONE
    # A file that the BOM puts in the place of a library is the user's to judge.
    is_taken = any(one.reason == NO_LIBRARY for one in first.tried)
    severity = ERROR if first.chain[0] in required and not is_taken else WARNING
    return Problem(CODE, text, _place(root, first.chain[0]), hint, severity=severity)


def _linker(root: Root, library_path: Sequence[str]) -> Linker:
    """A linker that searches the image as its loaders will, with LD_LIBRARY_PATH set."""
    sources = _RootSources(root)
    config = tuple(SearchDir(one, VARIABLE) for one in library_path if one[:1] == "/")
    beside_libc = tuple(posixpath.dirname(path) for path in root.paths if path.endswith(f"/{LIBC}"))

    def dirs_of(loader: Interpreter) -> SystemDirs:
        found = root.find(loader.source) if loader.source else None
        # A loader is known by where it was installed, whatever its place in the image.
        own = posixpath.dirname(found.source) if found is not None else ""
        if loader.is_musl:
            listed = read_musl_path(sources, musl_path_file(loader.path))
            beside = (own,) if own.startswith("/") else ()
            default = _dirs((*MUSL_SYSTEM_DIRS, *beside)) if listed is None else ()
            return SystemDirs(config=config, configured=listed or (), default=default)
        cache = read_cache(root.read(LD_SO_CACHE) or b"")
        return SystemDirs(
            config=config,
            default=_dirs((*glibc_default_dirs(own), *beside_libc)),
            lib=lib_token(own),
            cached={
                name: tuple(SearchDir(posixpath.dirname(path), LD_SO_CACHE) for path in paths)
                for name, paths in cache.items()
            },
        )

    return Linker(sources, LoaderConfig(), dirs_of=dirs_of)


def _dirs(paths: Sequence[str]) -> tuple[SearchDir, ...]:
    return tuple(SearchDir(path, DEFAULT_RULE) for path in dict.fromkeys(paths))


class _RootSources:
    """A root file system as sources to search; every path is absolute and in it."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def expect(self, path: str, *, tree: bool = False) -> None:
        """Nothing to prepare: what stands where is known."""

    def lstat(self, path: str) -> SourceStat | None:
        entry = self._root.at(path)
        if entry is None:
            return SourceStat(DIR) if path == "/" else None
        return SourceStat(entry.kind, entry.mode, entry.size, entry.target)

    def facts(self, path: str) -> ElfFacts | None:
        return self._root.facts(path)

    def read(self, path: str) -> bytes | None:
        return self._root.read(path)

    def archive(self, path: str) -> Archive | None:
        return self._root.archive(path)

    def script(self, path: str) -> Script | None:
        return self._root.script(path)

    def names(self, path: str) -> Sequence[str]:
        raise NotImplementedError(path)

    def sha256(self, path: str) -> str:
        raise NotImplementedError(path)

    def malformed(self, path: str) -> str:
        raise NotImplementedError(path)
