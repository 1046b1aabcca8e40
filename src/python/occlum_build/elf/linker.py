"""Compute closures: breadth first, with the loader's rules, on files that are never run."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Callable, Optional

from occlum_build.elf.closure import ALREADY_LOADED, Closure, Edge, Lacking, Missing, Node
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import Interpreter, choose_interpreter
from occlum_build.elf.loader_config import LoaderConfig, default_config
from occlum_build.elf.lookup import Found, Lookup, Tried, mismatch
from occlum_build.elf.placement import image_directory, library_path
from occlum_build.elf.search import (
    DEPENDS_ON_CWD,
    Loaded,
    SearchDir,
    SystemDirs,
    glibc_dirs,
    hwcaps_subdirs,
    is_musl_reserved,
    musl_dirs,
    needed_path,
)
from occlum_build.elf.system_dirs import other_dirs, system_dirs
from occlum_build.errors import Problem
from occlum_build.sources.model import Sources, regular_file

# Tells which source file lies at an absolute path of the image, None for no file.
ImageLookup = Callable[[str], Optional[str]]
DirsOf = Callable[[Interpreter], SystemDirs]


class Linker:
    """Closes the programs of one run over sources that do not change meanwhile.

    `config` None stands for an absent file: Occlum's default lines whose loaders exist.
    `cpu_level` is a key of CPU_LEVELS. `image_lookup` is asked for a library that the sources do
    not have. `dirs_of` tells what a loader searches for every program, where that is not what a
    system is configured to.
    """

    def __init__(
        self,
        sources: Sources,
        config: LoaderConfig | None,
        *,
        cpu_level: str = "baseline",
        image_lookup: ImageLookup | None = None,
        dirs_of: DirsOf | None = None,
    ) -> None:
        self._sources = sources
        self._dirs_of = dirs_of or self._configured_dirs
        if config is None:
            config = default_config(lambda path: regular_file(sources, path) is not None)
        self._config = config
        self._image_lookup = image_lookup
        self._lookup = Lookup(sources, hwcaps_subdirs(cpu_level))
        self._system: dict[Interpreter | None, SystemDirs] = {}

    def close(self, program: str, image_path: str, companion: str = "") -> Closure:
        """The closure of a file (source path) that will lie at `image_path`; empty if no program.

        `companion` is the interpreter of the programs that a shared object is copied with.
        Never raises for what it finds: every error is in the closure, and a lookup that fails does
        not end the others, so that sources which learn what they are asked for see all of it.
        """
        real = regular_file(self._sources, program)
        facts = self._sources.facts(real) if real is not None else None
        node = Node(program, real or program, image_path, facts)
        if facts is None:
            return Closure(node)
        loader, problem = choose_interpreter(self._sources, facts, program, self._config, companion)
        if loader is None:
            return Closure(node)
        walk = _Walk(self, node, facts, loader, self._dirs(loader))
        if problem is not None:
            walk.problems.append(problem)
        return walk.run()

    def has_loader(self, loader: str) -> bool:
        """Whether the sources have a loader, or the one that the config puts in its place."""
        entry = self._config.for_interpreter(loader)
        return regular_file(self._sources, entry.loader if entry else loader) is not None

    def _dirs(self, loader: Interpreter) -> SystemDirs:
        key = replace(loader, image_path="")
        if key not in self._system:
            self._system[key] = self._dirs_of(loader)
        return self._system[key]

    def _configured_dirs(self, loader: Interpreter) -> SystemDirs:
        lookup = self._image_lookup
        return system_dirs(
            self._sources, loader, lambda path: bool(lookup and lookup(path) is not None)
        )

    def elsewhere(self, name: str, closure: Closure) -> str:
        """The path of a library of the sources, where the loader of a closure does not look."""
        if closure.interpreter is None or closure.program.facts is None or "/" in name:
            return ""
        dirs = other_dirs(self._sources, closure.interpreter)
        found, _ = self._lookup.find(name, dirs, closure.program.facts, hwcaps=False)
        return found.path if found is not None else ""


class _Walk:
    """The state of one closure."""

    def __init__(
        self, linker: Linker, program: Node, facts: ElfFacts, loader: Interpreter, dirs: SystemDirs
    ) -> None:
        self._sources, self._lookup = linker._sources, linker._lookup
        self._image_lookup = linker._image_lookup
        self._program, self._facts, self._loader, self._dirs = program, facts, loader, dirs
        self._image_paths = {program.path: program.image_path}
        self._by_name: dict[str, Node] = {}
        self._by_real: dict[str, Node] = {}
        self._queue: deque[Loaded] = deque()
        self._edges: list[Edge] = []
        self._missing: list[Missing] = []
        self._missing_names: set[str] = set()
        self.problems: list[Problem] = []

    def run(self) -> Closure:
        """Load the program and the interpreter, then all that is needed, breadth first."""
        path, real = self._program.path, self._program.real
        self._add(self._program, Loaded(path, posixpath.dirname(real), self._facts))
        loader = self._loader
        facts = self._sources.facts(loader.source) if loader.source else None
        self._interpreter = Node(
            loader.path, loader.source or loader.path, loader.image_path, facts
        )
        for name in (loader.image_path or loader.path, posixpath.basename(loader.path)):
            self._name(self._interpreter, name)
        while self._queue:
            needer = self._queue.popleft()
            for name in needer.facts.needed:
                self._need(needer, name)
            for name in () if loader.is_musl else needer.facts.filters:
                self._need(needer, name)
            for name in () if loader.is_musl else needer.facts.auxiliaries:
                self._need(needer, name, optional=True)
        libraries = tuple(self._by_real.values())[1:]
        return Closure(
            program=self._program,
            interpreter=loader,
            libraries=libraries,
            edges=tuple(self._edges),
            missing=tuple(self._missing),
            problems=tuple(self.problems),
            lacking=tuple(self._lacking(libraries)),
        )

    def _name(self, node: Node, name: str) -> None:
        self._by_name.setdefault(name, node)
        if node.facts is not None and node.facts.soname and not self._loader.is_musl:
            self._by_name.setdefault(node.facts.soname, node)

    def _add(self, node: Node, loaded: Loaded | None) -> None:
        self._by_real[node.real] = node
        self._image_paths.setdefault(node.path, node.image_path)
        if node is self._program:
            self._name(node, node.path)
        if loaded is not None:
            self._queue.append(loaded)

    def _need(self, needer: Loaded, name: str, *, optional: bool = False) -> None:
        node = self._by_name.get(name)
        if node is None and self._loader.is_musl and is_musl_reserved(name):
            node = self._interpreter
        if node is not None:
            self._edge(needer, name, node.path, node, node.image_path, ALREADY_LOADED)
            return
        if name in self._missing_names:
            return  # told once, as the loader stops at the first
        direct = needed_path(name, needer, self._dirs)
        rules = musl_dirs if self._loader.is_musl else glibc_dirs
        dirs = (direct,) if direct else rules(name, needer, self._dirs)
        base = posixpath.basename(name)
        hwcaps = direct is None and not self._loader.is_musl
        found, tried = self._lookup.find(base, dirs, self._facts, hwcaps=hwcaps)
        if found is not None:
            self._load(needer, name, found)
        elif not self._take_from_image(needer, name, dirs) and not optional:
            self._missing_names.add(name)
            self._missing.append(_missing(needer, name, direct, tried))

    def _load(self, needer: Loaded, name: str, found: Found) -> None:
        image_path = library_path(found, name, self._loader.entry, self._image_paths)
        if image_path is None:
            self._leaves(needer, name, found)
        node = self._by_real.get(found.real)
        if node is None:
            node = Node(found.path, found.real, image_path or found.path, found.facts)
            loaded = Loaded(found.path, posixpath.dirname(found.path), found.facts, needer)
            self._add(node, loaded)
        self._name(node, name)
        directory = found.directory
        moved = bool(directory.image)
        self._edge(needer, name, found.path, node, image_path or "", directory.rule, moved=moved)

    def _leaves(self, needer: Loaded, name: str, found: Found) -> None:
        self.problems.append(
            Problem(
                "libraries",
                f"{self._program.path}: library {name}, found by {found.directory.rule} at "
                f"{found.path}, would lie outside the image",
                hint=f"give {needer.path} a place deeper in the image than "
                f"{self._image_paths[needer.path]}",
            )
        )

    def _take_from_image(self, needer: Loaded, name: str, dirs: tuple[SearchDir, ...]) -> bool:
        """Use a library that the image holds anyway where the loader will look for it."""
        if self._image_lookup is None:
            return False
        within = [image_directory(one, self._image_paths) for one in dirs if not one.refusal]
        if "/" not in name and self._loader.entry is not None:
            within.append(self._loader.entry.image_dir)
        for directory in filter(None, within):
            path = posixpath.join(directory, posixpath.basename(name))
            source = self._image_lookup(path)
            real = regular_file(self._sources, source) if source is not None else None
            facts = self._sources.facts(real) if real is not None else None
            if source and real and facts and not mismatch(facts, self._facts):
                self._provide(needer, name, Node(source, real, path, facts, provided=True), facts)
                return True
        return False

    def _provide(self, needer: Loaded, name: str, found: Node, facts: ElfFacts) -> None:
        source, image_path = found.path, found.image_path
        node = self._by_real.get(found.real)
        if node is None:
            node = found
            self._add(node, Loaded(source, posixpath.dirname(source), facts, needer))
        self._name(node, name)
        self._edge(needer, name, source, node, image_path, f"in the image at {image_path}")

    def _edge(
        self,
        needer: Loaded,
        name: str,
        path: str,
        node: Node,
        image_path: str,
        rule: str,
        *,
        moved: bool = False,
    ) -> None:
        self._edges.append(Edge(needer.path, name, path, node.real, image_path, rule, moved))

    def _lacking(self, libraries: tuple[Node, ...]) -> Iterator[Lacking]:
        """Versions that an object needs of a library which does not define them (glibc only)."""
        for node in () if self._loader.is_musl else (self._program, *libraries):
            for file, versions in node.facts.version_needs if node.facts else ():
                library = self._by_name.get(file)
                if library is None or library.facts is None:
                    continue
                defined = library.facts.version_defs
                lacking = tuple(one for one in versions if one not in defined)
                if lacking:
                    yield Lacking(library.path, lacking, node.path, is_fatal=bool(defined))


def _missing(
    needer: Loaded, name: str, direct: SearchDir | None, tried: tuple[Tried, ...]
) -> Missing:
    chain = tuple(one.path for one in reversed(needer.chain()))
    hint = ""
    if direct is not None and direct.refusal == DEPENDS_ON_CWD:
        hint = (
            f"DT_NEEDED has the relative path {name}, which depends on the working directory; "
            "link with a library that has a soname"
        )
    elif any(one.reason == DEPENDS_ON_CWD for one in tried):
        hint = "make the relative RPATH or RUNPATH absolute, or start it with $ORIGIN"
    return Missing(name, chain, tried, hint)
