"""A BOM and all that it includes, in the order in which they are applied."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple, Optional

from occlum_build.bom.model import Bom, Text
from occlum_build.bom.parse import parse_bom
from occlum_build.bom.variables import UNDEFINED, expand
from occlum_build.bom.yaml_nodes import invalid
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.files.bounds import BOM_BYTES, shown_bytes
from occlum_build.shown import quoted, shown_chain
from occlum_build.sources.model import Sources, join, regular_file, resolve, why_no_file

TEMPLATES = "/opt/occlum/etc/template"
BASE_BOM = f"{TEMPLATES}/base.yaml"
# The BOMs that Occlum brings.
_TEMPLATE = re.compile(r"base\.yaml|java-[0-9]+-(openjdk(-amd64)?|alibaba-dragonwell)\.yaml")

MAX_BOMS = 10_000
MAX_BOM_BYTES = 64 << 20  # of all together; through links to directories one is many

# The bytes of a BOM by its source path; None where there is no such regular file.
Reader = Callable[[str], Optional[bytes]]


def load_boms(
    path: str, include_dirs: Sequence[str], env: Mapping[str, str], read: Reader, report: Report
) -> tuple[Bom, ...]:
    """The BOM at `path` first, then what it includes, breadth-first; each once, at its last place.

    Later BOMs override earlier ones, so an included BOM beats the one that includes it. Mistakes go
    into the report; the BOMs that could be read are returned all the same.
    """
    loader = _Loader(tuple(include_dirs), env, read, report)
    if not loader.parse(path, None):
        return ()
    with report:
        loader.load_includes(path)
        if not loader.report_cycle(path):
            return tuple(loader.boms[name] for name in loader.order(path))
    return ()


class _Include(NamedTuple):
    path: str
    place: Place


class _Loader:
    def __init__(
        self,
        include_dirs: tuple[str, ...],
        env: Mapping[str, str],
        read: Reader,
        report: Report,
    ) -> None:
        self.include_dirs = include_dirs
        self.env = env
        self.read = read
        self.report = report
        self.boms: dict[str, Bom] = {}
        self.failed: dict[str, None] = {}
        self.includes: dict[str, list[_Include]] = {}
        self.there: dict[str, bool] = {}
        self.bytes = 0

    def parse(self, path: str, place: Place | None) -> bool:
        """Parse the BOM at `path` once; False when there is none or it is invalid."""
        if path in self.boms or path in self.failed:
            return path in self.boms
        try:
            data = self.read(path)
            if data is None:
                raise OcclumError(
                    "bom-missing",
                    f"there is no BOM file {path}",
                    place=place,
                    hint="correct the name of the BOM, or of the directory that it is in",
                    missing=(path,),
                )
            self.bytes += len(data)
            self.boms[path] = parse_bom(data, path)
        except OcclumError as error:
            self.failed[path] = None
            self.report.errors.extend(error.problems)
            return False
        return True

    def load_includes(self, top: str) -> None:
        pending = [top]
        while pending:
            path = pending.pop()
            if path in self.includes:
                continue
            found = [self.find(path, name) for name in self.boms[path].includes]
            self.includes[path] = []
            for include in filter(None, found):
                if self.parse(include.path, include.place):
                    self.includes[path].append(include)
                self.check_bounds(include)
            pending.extend(include.path for include in self.includes[path])

    def check_bounds(self, last: _Include) -> None:
        if len(self.boms) > MAX_BOMS or self.bytes > MAX_BOM_BYTES:
            bounds = f"more than {MAX_BOMS:,} BOMs, or more than {MAX_BOM_BYTES:,} bytes of them"
            raise OcclumError(
                "bom-invalid",
                f"with {quoted(last.path)} {bounds}, include one another",
                place=last.place,
                hint="does a link lead back to a directory above the BOMs?",
            )

    def find(self, bom: str, name: Text) -> _Include | None:
        value = expand(name, self.env, self.report)
        if UNDEFINED in value:
            return None
        if not value:
            self.report.error("bom-invalid", "the include is empty", name.place)
            return None
        tried = include_candidates(bom, value, self.include_dirs)
        for candidate in tried:
            if self.exists(candidate):
                return _Include(candidate, name.place)
        folders = ", ".join(posixpath.dirname(candidate) or "." for candidate in tried)
        self.report.error(
            "bom-missing",
            f"include {quoted(value)} was not found",
            name.place,
            f"searched: {folders}{_template_hint(value, tried)}",
            tuple(tried),
        )
        return None

    def exists(self, path: str) -> bool:
        if path not in self.there:
            try:
                self.there[path] = path in self.boms or self.read(path) is not None
            except OcclumError:
                self.there[path] = True  # parse tells why it cannot be read
        return self.there[path]

    def report_cycle(self, top: str) -> bool:
        """Depth-first search for a chain of includes that comes back to itself."""
        done: set[str] = set()
        chain: dict[str, None] = {top: None}
        stack = [iter(self.includes[top])]
        while stack:
            include = next(stack[-1], None)
            if include is None:
                stack.pop()
                done.add(chain.popitem()[0])
            elif include.path in chain:
                above = list(chain)
                cycle = [*above[above.index(include.path) :], include.path]
                self.report.error(
                    "bom-invalid",
                    f"BOMs include one another: {shown_chain(cycle)}",
                    include.place,
                    "leave one of these includes out",
                )
                return True
            elif include.path not in done:
                chain[include.path] = None
                stack.append(iter(self.includes[include.path]))
        return False

    def order(self, top: str) -> list[str]:
        """Breadth-first with repeats, the last occurrence kept.

        The last level that a BOM occurs in is the length of the longest chain of includes to it,
        and there it stems from BOMs whose last level is the one before.
        """
        levels = self.last_levels(top)
        order: list[str] = []
        level = [top]
        while level:
            order += level
            following: dict[str, None] = {}
            for path in level:
                for include in self.includes[path]:
                    if levels[include.path] == levels[path] + 1:
                        following.pop(include.path, None)
                        following[include.path] = None
            level = list(following)
        return order

    def last_levels(self, top: str) -> dict[str, int]:
        """The length of the longest chain of includes to each BOM; there is no cycle."""
        waiting = Counter(include.path for found in self.includes.values() for include in found)
        levels = {top: 0}
        ready = [top]
        while ready:
            path = ready.pop()
            for include in self.includes[path]:
                levels[include.path] = max(levels.get(include.path, 0), levels[path] + 1)
                waiting[include.path] -= 1
                if not waiting[include.path]:
                    ready.append(include.path)
        return levels


def _template_hint(name: str, tried: Sequence[str]) -> str:
    """What to add to the hint where a BOM of Occlum's is included and not found."""
    if not _TEMPLATE.fullmatch(posixpath.basename(name)):
        return ""
    if f"{TEMPLATES}/{name}" in tried:
        return "; Occlum brings it, which is not installed here"
    return f"; it is one of Occlum's: add --include-dir {TEMPLATES} (under Pants `include_dirs`)"


def include_candidates(bom: str, include: str, include_dirs: Sequence[str]) -> list[str]:
    """Where an include is looked for: beside the including BOM, then in each include directory."""
    if include.startswith("/"):
        candidates = [join("/", include)]
    else:
        candidates = [join(base, include) for base in (posixpath.dirname(bom), *include_dirs)]
    return [path for path in dict.fromkeys(candidates) if path is not None]


def reader_of(sources: Sources) -> Reader:
    """Reads BOMs from source paths, links followed; Occlum's base BOM is always there."""

    def read(path: str) -> bytes | None:
        real = regular_file(sources, path)
        if real is not None:
            found = sources.lstat(real)
            if found is not None and found.size > BOM_BYTES:
                raise invalid(f"larger than {shown_bytes(BOM_BYTES)}", Place(path))
            try:
                return sources.read(real, BOM_BYTES)
            except OcclumError as error:
                raise OcclumError("bom-missing", error.problems[0].message) from None
        if path == BASE_BOM:
            import pkgutil  # few BOMs include that one

            return pkgutil.get_data("occlum_build.bom", "base.yaml")
        if resolve(sources, path) is None:
            return None
        raise OcclumError("bom-missing", why_no_file(sources, path, "BOM file", path))

    return read
