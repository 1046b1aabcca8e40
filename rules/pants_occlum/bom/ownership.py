"""Files of the project that BOMs name and that no dependency owns: told with what to write."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import count

from pants.core.util_rules.distdir import DistDir
from pants.engine.addresses import Address
from pants.engine.fs import FileDigest, PathGlobs
from pants.engine.internals.build_files import BuildFileOptions
from pants.engine.internals.graph import OwnersRequest
from pants.engine.rules import Rule
from pants.engine.target import WrappedTargetRequest
from pants.util.frozendict import FrozenDict

from occlum_build.bom.excludes import Excluded, compile_excludes
from occlum_build.bom.looked import Looked
from occlum_build.bom.operations import CopyFile, Operations, has_wildcard
from occlum_build.bom.walk import walk_copy
from occlum_build.bom.wildcards import expand_wildcard
from occlum_build.errors import WARNING, Problem, Report, TooMuch, first_told
from occlum_build.shown import some
from occlum_build.sources.model import FILE, Sources, similar_name
from pants_occlum.bom.knowledge import Knowledge
from pants_occlum.bom.names import bom_of
from pants_occlum.bom.project_sources import ProjectFile, ProjectSources
from pants_occlum.bom.target_types import DEFAULT_WORKSPACE
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import find_owners, path_globs_to_paths, resolve_target
from pants_occlum.project_paths import Copy, copy_globs, literal, project_copies
from pants_occlum.sysroot.sysroots import Sysroot

_SHOWN_FILES = 3
_NO_CONTENT = ProjectFile(FileDigest("0" * 64, 0), False)


@dataclass(frozen=True)
class MissingSource:
    """A source path of the project that no dependency brings."""

    path: str
    is_bom: bool


@dataclass(frozen=True)
class Advice:
    """What to do about a missing source; empty where nothing is known."""

    text: str


async def _free_name(missing: MissingSource) -> str:
    """A name that no target of the directory has, for one that owns the source."""
    directory, name = bom_of(missing.path)
    first = free = name if missing.is_bom else "files"
    for number in count(2):
        try:
            address = Address(directory, target_name=free)
            await resolve_target(WrappedTargetRequest(address, "a hint"), **implicitly())
        except Exception:  # noqa: BLE001 - whatever Pants raises where there is no such target
            break
        free = f"{first}{number}"
    return free


@rule(desc="Find out why a file of the project is missing")
async def advise(missing: MissingSource, dist: DistDir) -> Advice:
    path = missing.path
    if path.startswith(f"{dist.relpath}/"):
        return Advice(
            f"no dependency's artefact is {path}: add the target that builds it to `dependencies`"
        )
    globs = [literal(path), path] if has_wildcard(path) else [literal(path)]
    found = await path_globs_to_paths(PathGlobs(globs))
    below = await path_globs_to_paths(PathGlobs(f"{glob}/**" for glob in globs))
    files = found.files or below.files
    if files:
        owners = await find_owners(OwnersRequest(tuple(map(literal, files))), **implicitly())
        if owners:
            shown = ", ".join(map(str, sorted(owners)[:_SHOWN_FILES]))
            return Advice(
                f"{path} exists, but its owner is no dependency: add {shown} to `dependencies`"
            )
        name = await _free_name(missing)
        return Advice(_advice_of_unowned(missing, name, is_file=bool(found.files)))
    if found.dirs:
        return Advice(
            f"the directory {path} exists, but has no files that Pants sees: list it under "
            "`mkdirs`, or check `.gitignore` and `[GLOBAL].pants_ignore`"
        )
    start, of_workspace, name = path.rpartition(f"{DEFAULT_WORKSPACE}/")
    if of_workspace and (not start or start.endswith("/")):
        there = await path_globs_to_paths(PathGlobs([literal(start + name)]))
        if there.files or there.dirs:
            return Advice(
                f"{start + name} lies beside the BOM, but names start at "
                f"{start}{DEFAULT_WORKSPACE} here: "
                'write `from: ..` before it, or have `workspace="./"` in the BUILD file'
            )
    directory, name = posixpath.split(path)
    beside = await path_globs_to_paths(PathGlobs([posixpath.join(literal(directory), "*")]))
    names = sorted(posixpath.basename(one) for one in (*beside.files, *beside.dirs))
    near = similar_name(name, names)
    return Advice(f"did you mean {posixpath.join(directory, near)}?" if near else "")


def _advice_of_unowned(missing: MissingSource, target_name: str, *, is_file: bool) -> str:
    path = missing.path
    directory, name = posixpath.split(path)
    if missing.is_bom:
        target = f'occlum_bom(name="{target_name}", source="{name}")'
    else:
        sources = name if is_file else posixpath.join(name, "**/*")
        target = f'files(name="{target_name}", sources=["{sources}"])'
    build = posixpath.join(directory, "BUILD")
    return f"{path} exists, but no target owns it: add {target} to {build}"


async def explain(problems: Iterable[Problem]) -> list[Problem]:
    """The problems, with what to do in the hints of those that are about missing sources."""
    known = first_told(problems)
    missing = list(dict.fromkeys(one for problem in known for one in _missing_sources(problem)))
    found = await concurrently(advise(one, **implicitly()) for one in missing)
    advice = {one: advised.text for one, advised in zip(missing, found)}
    return [_with_advice(problem, advice) for problem in known]


def _missing_sources(problem: Problem) -> list[MissingSource]:
    is_bom = problem.code == "bom-missing"
    return [
        MissingSource(path, is_bom) for path in problem.missing if path and not path.startswith("/")
    ]


def _with_advice(problem: Problem, advice: Mapping[MissingSource, str]) -> Problem:
    texts = [advice[one] for one in _missing_sources(problem) if advice[one]]
    if texts and problem.code != "bom-missing":
        return replace(problem, hint="; ".join(texts))
    return replace(problem, hint="; ".join(filter(None, [*texts, problem.hint])))


@dataclass(frozen=True)
class PartlyOwnedRequest:
    """The operations of BOMs, and the paths of the project's files that they can see."""

    operations: tuple[Operations, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class PartlyOwned:
    """A warning for each copy that leaves out files of the project, as nothing owns them."""

    warnings: tuple[Problem, ...]


@rule(desc="Find files that no target owns")
async def partly_owned(request: PartlyOwnedRequest, build_files: BuildFileOptions) -> PartlyOwned:
    on_disk = await path_globs_to_paths(PathGlobs(copy_globs(_several(request.operations))))
    paths = frozenset(request.paths)
    unowned = [path for path in on_disk.files if path not in paths]
    unowned = [path for path in unowned if not _is_build_file(path, build_files)]
    if not unowned:
        return PartlyOwned(())
    owned, everything = _project_of(request.paths), _project_of([*request.paths, *unowned])
    warnings: list[Problem] = []
    looked = Looked()  # what is not owned was not counted by the plan
    try:
        for operations in request.operations:
            excluded = compile_excludes(operations.excludes)
            for copy in _several([operations]):
                seen = set(_copied(copy, owned, excluded, Looked()))
                found = _copied(copy, everything, excluded, looked)
                left_out = [path for path in found if path not in seen]
                if seen and left_out:
                    warnings.append(_warning(copy, left_out))
    except TooMuch:
        pass  # the warnings so far say enough
    return PartlyOwned(tuple(dict.fromkeys(warnings)))


def _project_of(paths: Iterable[str]) -> Sources:
    known = Knowledge(Sysroot("/"))
    files = FrozenDict(dict.fromkeys(paths, _NO_CONTENT))
    known.add_project(ProjectSources(files, FrozenDict({})))
    return known.sources()


def _several(operations: Iterable[Operations]) -> list[Copy]:
    """The copies that may take several files of the project."""
    copies = project_copies(operations)
    return [copy for copy in copies if copy.wildcard or not isinstance(copy, CopyFile)]


def _copied(copy: Copy, sources: Sources, excluded: Excluded, looked: Looked) -> Iterator[str]:
    matched = [copy.source]
    if copy.wildcard:
        matched = expand_wildcard(sources, copy.source, copy.base, looked)
    if isinstance(copy, CopyFile):
        yield from matched
        return
    report = Report()  # of the plan, which tells it
    for source in matched:
        one = copy._replace(source=source)
        for entry in walk_copy(sources, one, excluded, report, looked=looked):
            if entry.stat.kind == FILE:
                yield entry.source


def _warning(copy: Copy, left_out: Sequence[str]) -> Problem:
    return Problem(
        "unowned",
        f"{copy.source or 'the project'} is copied without {some(left_out)}, "
        "as no dependency owns them",
        copy.place,
        "let a `files` target own them, or exclude them",
        severity=WARNING,
    )


def _is_build_file(path: str, options: BuildFileOptions) -> bool:
    name = posixpath.basename(path)
    return any(fnmatchcase(name, pattern) for pattern in options.patterns)


def rules() -> Iterable[Rule]:
    return collect_rules()
