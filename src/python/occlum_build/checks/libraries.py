"""Whether the programs of an image find their libraries in it, as the image's own loader looks.

What planning found stands where the system's loader finds it; this asks the loader's rules again,
over the image alone, where no cache and no configuration of the system is left.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from occlum_build.checks.linker import VARIABLE, image_linker
from occlum_build.checks.refusal import elf_refusal
from occlum_build.checks.root import Root
from occlum_build.elf.closure import Closure, Lacking, Missing, group_lacking
from occlum_build.elf.search import expanded
from occlum_build.errors import ERROR, WARNING, Place, Problem
from occlum_build.image.missing import ALONE, Elsewhere, library_path_setting, version_problem
from occlum_build.shown import Lines, who
from occlum_build.sources.model import DIR, FILE

CODE = "library-unreachable"
MAX_LIBRARY_PATH = 1_000  # directories of LD_LIBRARY_PATH that are looked at
MAX_LOOKS = 2_000_000  # for all libraries: what they leave open counts as not found


def library_problems(root: Root) -> Iterator[Problem]:
    """Libraries that a program's loader will not find in the image, or finds too old.

    Errors for the files that must find theirs, and warnings for others. What planning has told of
    is not told again.
    """
    by_name: dict[str, list[Missing]] = {}
    lacking: list[tuple[Place | None, Lacking]] = []
    for closure in _closures(root, ()):  # none of them is kept
        path = closure.program.path
        for missing in closure.missing:
            if missing.name not in root.searched.told:
                by_name.setdefault(missing.name, []).append(missing)
        if path in root.searched.required:
            lacking += [(_place(root, path), lack) for lack in closure.lacking]
    for _, found in sorted(by_name.items()):
        yield _unreachable(root, found)
    for place, lacks in group_lacking(lacking):
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
    path = _LibraryPath(root, library_path)
    return [one.problem(WARNING) for one in found if one.is_sure and not path.covers(one)]


def library_path_of(env: Iterable[str]) -> tuple[str, ...]:
    """The directories of LD_LIBRARY_PATH in a list of NAME=VALUE, of which the last one counts."""
    values = [value for name, _, value in (one.partition("=") for one in env) if name == VARIABLE]
    parts = values[-1].replace(";", ":").split(":") if values else ()
    return tuple(dict.fromkeys(filter(None, parts)))[:MAX_LIBRARY_PATH]


class _LibraryPath:
    """LD_LIBRARY_PATH in an image, whose programs start in the root directory.

    $ORIGIN is the program's directory. It is not known whom a shared object is loaded by.
    """

    def __init__(self, root: Root, entries: Sequence[str]) -> None:
        self._root = root
        self._left = MAX_LOOKS
        self._of_origin = [one for one in entries if "$" in one]
        self._of_all = self._existing([one for one in entries if "$" not in one], "/")
        self._by_origin: dict[str, list[str]] = {}

    def covers(self, library: Elsewhere) -> bool:
        """Whether it leads each program to a library."""
        if self._has(self._of_all, library.name):
            return True
        for origin in library.origins or ("/",):
            if origin not in self._by_origin:
                self._by_origin[origin] = self._existing(self._of_origin, origin)
            if not self._has(self._by_origin[origin], library.name):
                return False
        return True

    def _existing(self, entries: Sequence[str], origin: str) -> list[str]:
        """The directories of the image that entries lead to, each once."""
        found = dict.fromkeys(
            posixpath.normpath(posixpath.join("/", directory))
            for entry in entries
            for directory in expanded(entry, origin)
        )
        self._left -= len(found)
        return [one for one in found if self._left > 0 and self._root.kind(one) == DIR]

    def _has(self, directories: Sequence[str], name: str) -> bool:
        self._left -= len(directories)
        return self._left > 0 and any(
            self._root.kind(posixpath.join(one, name)) == FILE for one in directories
        )


def _elsewhere(root: Root, library_path: Sequence[str]) -> Iterator[Elsewhere]:
    lacks: dict[str, list[Missing]] = {}
    for closure in _closures(root, library_path):
        for missing in closure.missing:
            lacks.setdefault(missing.name, []).append(missing)
    for name, found in sorted(lacks.items()):
        paths = _with_name(root, name)
        if paths and "/" not in name:
            needers = tuple(dict.fromkeys(one.chain[-1] for one in found))
            origins = tuple(sorted({posixpath.dirname(one.chain[0]) for one in found}))
            yield Elsewhere(name, needers, tuple(paths), origins=origins)


def _with_name(root: Root, name: str) -> list[str]:
    """The sorted paths of the ELF files of a name, and of links to some."""
    named = root.named(posixpath.basename(name), links=True)
    return [path for path in named if root.facts(path) is not None]


def _closures(root: Root, library_path: Sequence[str]) -> Iterator[Closure]:
    """Those of the programs of the image, and of other files that must find their libraries."""
    searched = root.searched
    linker = image_linker(root, library_path)
    for path in root.files:
        entry = root.at(path)
        if entry is None or path in searched.left_alone:
            continue
        if path in searched.required or entry.mode & 0o111:
            facts = root.sources.facts(entry.source)
            if facts is None or not (facts.interpreter or path in searched.required):
                continue
            if elf_refusal(root, path, facts) is None:  # else it is that which is told
                yield linker.close(path, path)


def _place(root: Root, path: str) -> Place | None:
    entry = root.at(path)
    return entry.origin.place if entry is not None else None


def _unreachable(root: Root, found: Sequence[Missing]) -> Problem:
    required = root.searched.required
    first = next((one for one in found if one.chain[0] in required), found[0])
    _, *rest = first.text().lines
    text = Lines(
        f"library {first.name}, needed by {who(one.chain[-1] for one in found)}, is not where the "
        "image's loader looks for it",
        *(line.replace("searched:", "searched in the image:") for line in rest),
    )
    paths = _with_name(root, first.name) if "/" not in first.name else []
    hint = "give who needs it a RUNPATH that leads to it, or copy it to one of these directories"
    if paths:
        hint = f"the image has it at {paths[0]}: {library_path_setting(paths[0])}, {hint}"
    # A file that the BOM puts in the place of a library is the user's to judge, and one that it
    # puts elsewhere may be there for LD_LIBRARY_PATH.
    is_users = first.has_other
    is_users |= any((one := root.at(path)) and not one.is_library for path in paths)
    severity = ERROR if first.chain[0] in required and not is_users else WARNING
    place = _place(root, first.chain[0])
    return Problem(CODE, text, place, f"{hint}; {ALONE}", severity=severity)
