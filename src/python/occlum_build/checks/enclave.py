"""What the libOS would refuse of an image with an Occlum.json: mounts, entry points, programs."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from occlum_build.checks.environment import environment_problems
from occlum_build.checks.libraries import library_path_of, unreachable
from occlum_build.checks.mounts import mount_problems
from occlum_build.checks.programs import is_to_be_run, told_programs
from occlum_build.checks.refusal import EXECUTE, Refusal, elf_refusal, program_problem, refusal
from occlum_build.checks.root import Root
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.errors import ERROR, NOTE, WARNING, Problem
from occlum_build.image.entries import DIR, FILE
from occlum_build.sgx.config.default import default_config
from occlum_build.sgx.config.findings import path_text, place_of, shown
from occlum_build.sgx.config.jsontext import Node, Object, plain
from occlum_build.sgx.config.model import OcclumConfig

OCCLUM_GLIBC = "/opt/occlum/glibc/lib"  # with a loader of Occlum's, libraries lie there
MKE2FS = "/sbin/mke2fs"
_CODE, _LOADER = "libos-entry-point", "loader"
_NAMED = 5  # of the programs that are refused for one reason


def check_enclave(
    root: Root,
    document: Node,
    config: OcclumConfig,
    *,
    mounts_image: bool,
    strict: bool = False,
    of_image: Collection[Problem] | None = None,
) -> list[Problem]:
    """What is wrong with an image as the root file system of an enclave.

    `document` is the Occlum.json, `config` what was read of it. `mounts_image`: the enclave's init
    is Occlum's own, which mounts this image, so that what is certain to fail is an error. With
    `strict` a warning that is about Occlum.json is an error too. `of_image` is what is told of the
    image itself, and here not again; None where nobody has checked the image.
    """
    found = [*mount_problems(root, document, config.mount), *_entry_points(root, document, config)]
    if strict:
        found = [replace(one, severity=ERROR) for one in found]
    env = default_env(config)
    told = told_programs(root) if of_image is not None else set()
    found += _programs(root, config, told)
    if all(one.code != _LOADER for one in of_image or ()):
        found += _other_loader(root, config)
    found += _ext2(root, config)
    found += [*unreachable(root, library_path_of(env)), *environment_problems(root, env)]
    if not mounts_image:
        found = [replace(one, severity=WARNING) if one.severity == ERROR else one for one in found]
    return found


def entry_points_of(config: OcclumConfig) -> list[str]:
    """The absolute ones; whatever else there is was told when the configuration was read."""
    given = plain(config.entry_points)
    texts = given if isinstance(given, list) else []
    return [text for text in texts if isinstance(text, str) and text.startswith("/")]


def default_env(config: OcclumConfig) -> list[str]:
    """The NAME=VALUE texts that each program starts with; what else there is was told before."""
    node = config.env.get("default") if isinstance(config.env, Object) else None
    texts = plain(node) if node is not None else []
    return [one for one in texts if isinstance(one, str)] if isinstance(texts, list) else []


def start_problem(root: Root, program: str, entry_points: Sequence[str]) -> Problem | None:
    """Why the libOS would not run a program for the host: its path, entry points, what it is."""
    parts = program.split("/")
    if ".." in parts:
        text = f"the program {program} has `..` in its path, which the libOS does not run"
        return Problem(_CODE, text, hint="write the path that it leads to")
    if not any(_is_below(program, entry) for entry in entry_points):
        text = f"the program {program} is below no entry point: {', '.join(entry_points) or 'none'}"
        return Problem(_CODE, text, hint="add its directory to `entry_points` of Occlum.json")
    return program_problem(root, program, libos=True)


def _is_below(path: str, entry: str) -> bool:
    """As the libOS compares them, by components, no link followed."""
    wanted = _components(entry)
    return _components(path)[: len(wanted)] == wanted


def _within(path: str, targets: set[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Those of the targets, each by its components, that a path is or lies below."""
    parts = tuple(_components(path))
    for depth in {len(target) for target in targets}:
        if depth <= len(parts) and parts[:depth] in targets:
            yield parts[:depth]


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _entry_points(root: Root, document: Node, config: OcclumConfig) -> Iterator[Problem]:
    """Entry points that lead to nothing, and files among them that the libOS does not start."""
    given = entry_points_of(config)
    targets = {tuple(_components(mount.target)) for mount in config.mount} - {()}
    known = [one for one in given if not any(_within(one, targets))]
    absent = [one for one in known if not root.kind(one)]
    place = place_of(document, ("entry_points",))
    if absent:
        names = ", ".join(map(shown, absent))
        message = f"{path_text(('entry_points',))}: the image has no {names}"
        hint = "name directories of programs, or programs, that the image has"
        is_chosen = given != _default_entry_points()
        is_certain = len(absent) == len(given)
        message += ": nothing can be run" if is_certain else ""
        severity = ERROR if is_certain and is_chosen else WARNING
        yield Problem(_CODE, message, place, hint, severity=severity)
    yield from _hidden_entry_points(document, config)
    asked = set(known)
    for index, path in enumerate(plain(config.entry_points) if known else ()):
        if not isinstance(path, str) or path not in asked or root.kind(path) != FILE:
            continue
        if why := refusal(root, path, libos=True):
            where = ("entry_points", index)
            yield why.problem(f"{path_text(where)}: {shown(path)}", place_of(document, where))


def _hidden_entry_points(document: Node, config: OcclumConfig) -> Iterator[Problem]:
    """Entry points in a file system of memory that is mounted over them, empty at boot."""
    below: dict[tuple[str, ...], list[str]] = {}
    targets = {tuple(_components(mount.target)) for mount in config.mount}
    for one in entry_points_of(config):
        for target in _within(one, targets):
            below.setdefault(target, []).append(one)
    for mount in config.mount:
        over = below.get(tuple(_components(mount.target)))
        if mount.type == "ramfs" and mount.target.rstrip("/") and over:
            message = f"{path_text(('entry_points',))}: {', '.join(map(shown, over))} lies in the "
            message += f"ramfs on {shown(mount.target)}, which is empty at boot"
            place = place_of(document, ("entry_points",))
            hint = "mount it elsewhere"
            yield Problem(_CODE, message, place, hint, severity=WARNING)


def _default_entry_points() -> list[str]:
    default = default_config()
    node = default.get("entry_points") if isinstance(default, Object) else None
    return list(plain(node)) if node is not None else []


def _programs(
    root: Root, config: OcclumConfig, told: Collection[tuple[str, str]]
) -> Iterator[Problem]:
    """The programs in the directories that are entry points: what of them the libOS refuses."""
    refused: dict[str, list[tuple[str, Refusal]]] = {}
    for path in _candidates(root, entry_points_of(config)):
        facts = root.facts(path)
        if root.script(path) is None if facts is None else _is_library(facts):
            continue
        found = refusal(root, path, libos=True)
        if found is not None and (path, found.code) not in told:
            refused.setdefault(found.hint, []).append((path, found))
    for several in refused.values():
        yield _refused(root, several)


def _other_loader(root: Root, config: OcclumConfig) -> Iterator[Problem]:
    """Programs in the directories that are entry points whose glibc is not Occlum's."""
    if root.kind(OCCLUM_GLIBC) == DIR:
        return
    for path in _candidates(root, entry_points_of(config)):
        facts = root.facts(path)
        if facts is None or facts.interpreter != GLIBC_LOADER:
            continue
        if elf_refusal(root, path, facts) is None:
            yield Problem(
                _LOADER,
                f"programs use the distribution's own loader, as {path} does, and not that of "
                "Occlum's glibc: such an image suits a chroot, not Occlum's libOS",
                hint="copy them with Occlum's loader config, which comes with an installed Occlum",
                severity=WARNING,
            )
            return


def _is_library(facts: ElfFacts) -> bool:
    """Whether nobody starts it: a shared object, not a static program, or what is not linked."""
    if not facts.loadable:
        return True
    return facts.interpreter is None and bool(facts.soname or facts.needed)


def _refused(root: Root, several: list[tuple[str, Refusal]]) -> Problem:
    path, why = several[0]
    entry = root.find(path)
    place = entry.origin.place if entry is not None and entry.origin.place.line else None
    # Scripts of another place come with many a directory, and are not why it was copied.
    is_usual = all(one.code == "interpreter" and not root.facts(name) for name, one in several)
    problem = why.problem(path, place, NOTE if is_usual else WARNING)
    others = [name for name, _ in several[1:]]
    if not others:
        return problem
    names = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
    return replace(problem, message=f"{problem.message}; likewise {len(others)} more: {names}")


def _candidates(root: Root, entry_points: Sequence[str]) -> Iterator[str]:
    """The files of the entry points that are there to be run."""
    tops = {root.resolve(one) for one in entry_points if root.kind(one) == DIR}
    for top in sorted(one for one in tops if one is not None):
        for path in root.below(top):
            entry = root.at(path)
            if entry is None or not entry.mode & EXECUTE:
                continue
            if posixpath.dirname(path) == top or is_to_be_run(entry):
                yield path


def _ext2(root: Root, config: OcclumConfig) -> Iterator[Problem]:
    """Occlum copies mke2fs of the machine that builds into an image that needs it; we do not."""
    if all(mount.type != "ext2" for mount in config.mount):
        return
    found = refusal(root, MKE2FS, libos=True)
    if found is not None:
        message = f"an ext2 file system is mounted, and the program to make it, {MKE2FS}, "
        hint = "name /usr/sbin/mke2fs in a BOM, target /sbin"
        yield Problem("ext2", message + found.reason, hint=hint, severity=WARNING)
