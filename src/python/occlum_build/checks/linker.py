"""A linker that searches an image alone, as the loaders in it will."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from occlum_build.checks.root import Root
from occlum_build.elf.facts import LIBC, Archive, ElfFacts, Script
from occlum_build.elf.interpreter import Interpreter
from occlum_build.elf.ld_so_cache import read_cache
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.elf.search import MUSL_SYSTEM_DIRS, SearchDir, SystemDirs
from occlum_build.elf.system_dirs import (
    DEFAULT_RULE,
    LD_SO_CACHE,
    glibc_default_dirs,
    lib_token,
    musl_path_file,
    read_musl_path,
)
from occlum_build.files.bounds import CONFIG_BYTES, LD_SO_CACHE_BYTES
from occlum_build.sources.model import DIR, SourceStat

VARIABLE = "LD_LIBRARY_PATH"


def image_linker(root: Root, library_path: Sequence[str]) -> Linker:
    """A linker that searches the image as its loaders will, with LD_LIBRARY_PATH set."""
    sources = RootSources(root)
    config = tuple(SearchDir(one, VARIABLE) for one in library_path if one[:1] == "/")
    beside_libc = tuple(posixpath.dirname(path) for path in root.named(LIBC, links=True))

    def dirs_of(loader: Interpreter) -> SystemDirs:
        found = root.find(loader.source) if loader.source else None
        # A loader is known by where it was installed, whatever its place in the image.
        own = posixpath.dirname(found.source) if found is not None else ""
        if loader.is_musl:
            listed = read_musl_path(sources, musl_path_file(loader.path))
            beside = (own,) if own.startswith("/") else ()
            default = _dirs((*MUSL_SYSTEM_DIRS, *beside)) if listed is None else ()
            return SystemDirs(config=config, configured=listed or (), default=default)
        cache = read_cache(root.read(LD_SO_CACHE, LD_SO_CACHE_BYTES) or b"")
        return SystemDirs(
            config=config,
            default=_dirs((*glibc_default_dirs(own), *beside_libc)),
            lib=lib_token(own),
            cached={
                name: tuple(SearchDir(posixpath.dirname(path), LD_SO_CACHE) for path in paths)
                for name, paths in cache.items()
            },
        )

    cpu_level = root.searched.cpu_level
    return Linker(sources, LoaderConfig(), cpu_level=cpu_level, dirs_of=dirs_of)


def _dirs(paths: Sequence[str]) -> tuple[SearchDir, ...]:
    return tuple(SearchDir(path, DEFAULT_RULE) for path in dict.fromkeys(paths))


class RootSources:
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

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        return self._root.read(path, limit)

    def archive(self, path: str) -> Archive | None:
        return self._root.archive(path)

    def script(self, path: str) -> Script | None:
        return self._root.script(path)

    def names(self, path: str) -> Sequence[str]:
        return ()  # neither this nor a digest is what a linker asks for

    def sha256(self, path: str) -> str:
        return ""

    def malformed(self, path: str) -> str:
        return self._root.malformed(path)
