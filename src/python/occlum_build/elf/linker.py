"""Closures of programs: all that their loaders would load."""

from __future__ import annotations

from typing import Callable

from occlum_build.elf.budget import Budget
from occlum_build.elf.closure import Closure, Node
from occlum_build.elf.interpreter import Interpreter, choose_interpreter
from occlum_build.elf.loader_config import LoaderConfig, default_config
from occlum_build.elf.loading import ImageLookup, ImageView, Loading
from occlum_build.elf.lookup import Lookup, SearchPath
from occlum_build.elf.search import SystemDirs, hwcaps_subdirs
from occlum_build.elf.system_dirs import other_dirs, system_dirs
from occlum_build.errors import WARNING, Problem
from occlum_build.sources.model import Sources, regular_file

DirsOf = Callable[[Interpreter], SystemDirs]


class Linker:
    """Closes the programs of one run over sources that do not change meanwhile.

    `config` None stands for an absent file: Occlum's default lines whose loaders exist.
    `cpu_level` is a key of CPU_LEVELS. `image_lookup` is asked for a library that the sources do
    not have, `image_has_dir` whether that may be there. `dirs_of` tells what a loader searches for
    every program, where that is not what a system is configured to. `budget` is that of the run.
    """

    def __init__(
        self,
        sources: Sources,
        config: LoaderConfig | None,
        *,
        cpu_level: str = "baseline",
        image_lookup: ImageLookup | None = None,
        image_has_dir: Callable[[str], bool] = lambda _: True,
        dirs_of: DirsOf | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._sources = sources
        self._dirs_of = dirs_of or self._configured_dirs
        if config is None:
            config = default_config(lambda path: regular_file(sources, path) is not None)
        self._config = config
        self._image_lookup, self._image_has_dir = image_lookup, image_has_dir
        self._lookup = Lookup(sources, hwcaps_subdirs(cpu_level), budget)
        self._system: dict[Interpreter | None, SystemDirs] = {}
        self._others: dict[Interpreter, SearchPath] = {}

    def close(self, program: str, image_path: str, companion: str = "") -> Closure:
        """The closure of a file (source path) that will lie at `image_path`; empty if no program.

        `companion` is the interpreter of the programs that a shared object is copied with.
        Raises for nothing that it finds, but TooMuch: every error is in the closure, and a lookup
        that fails does not end the others, so that sources which learn what they are asked for see
        all of it.
        """
        real = regular_file(self._sources, program)
        facts = self._sources.facts(real) if real is not None else None
        node = Node(program, real or program, image_path, facts)
        if facts is None:
            return Closure(node)
        loader, problem = choose_interpreter(self._sources, facts, program, self._config, companion)
        if loader is None:
            return Closure(node)
        self._lookup.budget.programs += 1
        image = None
        if self._image_lookup is not None:
            image = ImageView(self._image_lookup, self._image_has_dir)
        over = self._sources, self._lookup, image
        walk = Loading(*over, node, facts, loader, self._dirs(loader))
        if problem is not None:
            walk.problems.append(problem)
        return walk.run()

    def has_loader(self, loader: str) -> bool:
        """Whether the sources have a loader, or the one that the config puts in its place."""
        entry = self._config.for_interpreter(loader)
        return regular_file(self._sources, entry.loader if entry else loader) is not None

    def _dirs(self, loader: Interpreter) -> SystemDirs:
        key = loader._replace(image_path="")
        if key not in self._system:
            self._system[key] = self._dirs_of(loader)
        return self._system[key]

    def _configured_dirs(self, loader: Interpreter) -> SystemDirs:
        lookup = self._image_lookup
        return system_dirs(
            self._sources, loader, lambda path: bool(lookup and lookup(path) is not None)
        )

    def unread(self) -> list[Problem]:
        """A warning for each file of the configuration so far that is no file to be read."""
        found = {path: kind for dirs in self._system.values() for path, kind in dirs.unread.items()}
        return [
            Problem(
                "libraries",
                f"{path} is a {kind} and is not read: where it says that libraries are, none is "
                "looked for",
                severity=WARNING,
            )
            for path, kind in found.items()
        ]

    def elsewhere(self, name: str, closure: Closure) -> str:
        """The path of a library of the sources, where the loader of a closure does not look."""
        if closure.interpreter is None or closure.program.facts is None or "/" in name:
            return ""
        key = closure.interpreter._replace(image_path="")
        if key not in self._others:
            dirs = other_dirs(self._sources, key)
            self._others[key] = SearchPath(self._lookup, dirs, hwcaps=False)
        found = self._lookup.find(name, self._others[key], closure.program.facts)
        return found.path if found is not None else ""
