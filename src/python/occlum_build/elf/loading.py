"""What a loader would load with one program, breadth first, on files that are never run."""

from __future__ import annotations

import itertools
import posixpath
from collections import deque
from collections.abc import Iterator
from typing import Callable, NamedTuple, Optional

from occlum_build.elf.closure import ALREADY_LOADED, Closure, Edge, Lacking, Missing, Node
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import Interpreter
from occlum_build.elf.lookup import (
    MAX_TRIED,
    Found,
    Lookup,
    Remembered,
    SearchPath,
    mismatch,
)
from occlum_build.elf.placement import image_directory, library_path
from occlum_build.elf.search import (
    DEPENDS_ON_CWD,
    Loaded,
    SearchDir,
    SystemDirs,
    glibc_dirs,
    is_musl_reserved,
    musl_dirs,
    needed_path,
)
from occlum_build.errors import Problem
from occlum_build.sources.model import Sources, regular_file

MAX_PLACES = 200_000  # directories that the libraries of one program are looked for in, together
MAX_DEPTH = 500  # objects of which each needs the next

# Tells which source file lies at an absolute path of the image, None for no file.
ImageLookup = Callable[[str], Optional[str]]


class ImageView(NamedTuple):
    """What the image holds anyway: libraries, and directories, by absolute paths."""

    source: ImageLookup
    has_dir: Callable[[str], bool]


class Loading:
    """Loads one program, without running it."""

    def __init__(
        self,
        sources: Sources,
        lookup: Lookup,
        image: ImageView | None,
        program: Node,
        facts: ElfFacts,
        loader: Interpreter,
        dirs: SystemDirs,
    ) -> None:
        self._sources, self._lookup, self._image = sources, lookup, image
        self._program, self._facts, self._loader, self._dirs = program, facts, loader, dirs
        self._is_musl, self._budget = loader.is_musl, lookup.budget
        self._image_paths = {program.path: program.image_path}
        self._by_name: dict[str, Node] = {}
        self._by_real: dict[str, Node] = {}
        self._queue: deque[Loaded] = deque()
        self._edges: list[Edge] = []
        self._missing: list[Missing] = []
        self._missing_names: set[str] = set()
        self._paths: dict[Loaded, SearchPath] = {}
        self._within: dict[SearchPath, Remembered[str]] = {}  # directories of the image
        self._places = self._told = 0
        self._is_ended = False
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
            for name in () if self._is_musl else needer.facts.filters:
                self._need(needer, name)
            for name in () if self._is_musl else needer.facts.auxiliaries:
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
        if node.facts is not None and node.facts.soname and not self._is_musl:
            self._by_name.setdefault(node.facts.soname, node)

    def _add(self, node: Node, loaded: Loaded | None) -> None:
        self._by_real[node.real] = node
        self._image_paths.setdefault(node.path, node.image_path)
        if node is self._program:
            self._name(node, node.path)
        if loaded is not None and not self._is_ended:
            self._queue.append(loaded)

    def _need(self, needer: Loaded, name: str, *, optional: bool = False) -> None:
        if self._is_ended:
            return
        self._budget.need(needer.path)
        node = self._by_name.get(name)
        if node is None and self._is_musl and is_musl_reserved(name):
            node = self._interpreter
        if node is not None:
            self._edge(needer, name, node.path, node, node.image_path, ALREADY_LOADED)
            return
        if name in self._missing_names:
            return  # told once, as the loader stops at the first
        direct = needed_path(name, needer, self._dirs)
        path = self._search_path((direct,), name) if direct else self._path_for(name, needer)
        if not self._may_look(len(path.dirs), name):
            return
        found = self._lookup.find(posixpath.basename(name), path, self._facts)
        if found is not None:
            self._load(needer, name, found)
        elif not self._take_from_image(needer, name, path) and not optional:
            self._missing_names.add(name)
            self._missing.append(self._miss(needer, name, direct, path))

    def _path_for(self, name: str, needer: Loaded) -> SearchPath:
        """Where a library is looked for: the same for every name that no cache has."""
        rules = musl_dirs if self._is_musl else glibc_dirs
        if name in self._dirs.cached:
            return self._search_path(rules(name, needer, self._dirs), name)
        if needer not in self._paths:
            self._paths[needer] = self._search_path(rules(name, needer, self._dirs), name)
            self._may_look(len(self._paths[needer].dirs), name)
        return self._paths[needer]

    def _search_path(self, dirs: tuple[SearchDir, ...], name: str) -> SearchPath:
        hwcaps = "/" not in name and not self._is_musl
        return SearchPath(self._lookup, dirs, hwcaps=hwcaps)

    def _may_look(self, places: int, name: str) -> bool:
        """Count the places that are looked at; False, and an error, when there are too many."""
        self._places += places
        self._budget.look(places, name)
        if self._places <= MAX_PLACES:
            return True
        if not self._is_ended:
            self._end(
                f"its libraries would be looked for at more than {MAX_PLACES:,} places",
                "are there so many directories in an RPATH, a RUNPATH or a configuration?",
            )
        return False

    def _end(self, message: str, hint: str) -> None:
        self.problems.append(Problem("libraries", f"{self._program.path}: {message}", hint=hint))
        self._is_ended = True
        self._queue.clear()

    def _load(self, needer: Loaded, name: str, found: Found) -> None:
        image_path = library_path(found, name, self._loader.entry, self._image_paths)
        if image_path is None:
            self._leaves(needer, name, found)
        node = self._by_real.get(found.real)
        if node is None:
            node = Node(found.path, found.real, image_path or found.path, found.facts)
            origin, depth = posixpath.dirname(found.path), needer.depth + 1
            if depth > MAX_DEPTH and not self._is_ended:
                hint = "is it made to have no end?"
                self._end(f"its libraries need more than {MAX_DEPTH} others in a row", hint)
            self._add(node, Loaded(found.path, origin, found.facts, needer, depth))
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

    def _take_from_image(self, needer: Loaded, name: str, path: SearchPath) -> bool:
        """Use a library that the image holds anyway where the loader will look for it."""
        if self._image is None:
            return False
        if path not in self._within:
            self._within[path] = Remembered(self._image_dirs(path))
        own = () if "/" in name or self._loader.entry is None else (self._loader.entry.image_dir,)
        for directory in itertools.chain(self._within[path], own):
            at = posixpath.join(directory, posixpath.basename(name))
            source = self._image.source(at)
            real = regular_file(self._sources, source) if source is not None else None
            facts = self._sources.facts(real) if real is not None else None
            if source and real and facts and not mismatch(facts, self._facts):
                self._provide(needer, name, Node(source, real, at, facts, provided=True), facts)
                return True
            self._budget.looked_in_vain(at)
        return False

    def _image_dirs(self, path: SearchPath) -> Iterator[str]:
        """The directories of the image that a path leads to, and that are there."""
        for one in path.dirs:
            within = None if one.refusal else image_directory(one, self._image_paths)
            if within and self._image is not None and self._image.has_dir(within):
                yield within

    def _provide(self, needer: Loaded, name: str, found: Node, facts: ElfFacts) -> None:
        source, image_path = found.path, found.image_path
        node = self._by_real.get(found.real)
        if node is None:
            node = found
            origin, depth = posixpath.dirname(source), needer.depth + 1
            self._add(node, Loaded(source, origin, facts, needer, depth))
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

    def _miss(
        self, needer: Loaded, name: str, direct: SearchDir | None, path: SearchPath
    ) -> Missing:
        base, budget = posixpath.basename(name), self._budget
        most = budget.may_tell(MAX_TRIED - self._told)
        tried = self._lookup.tried(base, path, self._facts, most)
        self._told += len(tried)
        budget.told += len(tried)
        hint = ""
        if direct is not None and direct.refusal == DEPENDS_ON_CWD:
            hint = (
                f"DT_NEEDED has the relative path {name}, which depends on the working directory; "
                "link with a library that has a soname"
            )
        elif path.depends_on_cwd:
            hint = "make the relative RPATH or RUNPATH absolute, or start it with $ORIGIN"
        more = len(path.dirs) - len(tried) if len(tried) == most else 0
        chain = tuple(one.path for one in reversed(needer.chain()))
        has_other = self._lookup.has_other(base, path)
        return Missing(name, chain, tried, hint, more, has_other)

    def _lacking(self, libraries: tuple[Node, ...]) -> Iterator[Lacking]:
        """Versions that an object needs of a library which does not define them (glibc only)."""
        known: dict[str, frozenset[str]] = {}
        for node in () if self._is_musl else (self._program, *libraries):
            for file, versions in node.facts.version_needs if node.facts else ():
                library = self._by_name.get(file)
                if library is None or library.facts is None:
                    continue
                defined = library.facts.version_defs
                self._budget.compare(len(versions), library.path)
                if library.real not in known:
                    self._budget.compare(len(defined), library.path)
                    known[library.real] = frozenset(defined)
                lacking = tuple(one for one in versions if one not in known[library.real])
                if lacking:
                    yield Lacking(library.path, lacking, node.path, is_fatal=bool(defined))
