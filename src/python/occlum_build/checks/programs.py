"""Programs of an image that nothing could start: one line for each reason, however many there are.

Only files are looked at that are there to be run: those that a BOM names, and those in a directory
of programs. A library's directory is full of scripts that nobody starts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from occlum_build.checks.refusal import CARRIAGE_RETURN, EXECUTE, Refusal, refusal, shown
from occlum_build.checks.root import Root
from occlum_build.elf.facts import Script
from occlum_build.errors import NOTE, WARNING, Problem
from occlum_build.image.entries import FILE, Entry
from occlum_build.image.shebang import PROGRAM_DIRECTORIES, lacking_interpreter, lacking_program


def program_problems(root: Root) -> Iterator[Problem]:
    """Programs that no kernel starts, as far as planning has not told of them."""
    scripts: dict[str, list[Entry]] = {}
    others: dict[Refusal, list[Entry]] = {}
    for entry, why in _unstartable(root):
        if isinstance(why, Refusal):
            others.setdefault(why, []).append(entry)
        else:
            scripts.setdefault(why, []).append(entry)
    for lacking, entries in sorted(scripts.items()):
        script = root.script(f"/{entries[0].path}")
        line = shown(script.line.strip()) if script is not None else ""
        who = _who(entries, "starts", "start")
        yield _told(lacking_interpreter(who, line, shown(lacking), f"/{entries[0].path}"), entries)
    for reason, entries in others.items():
        yield _told(reason.problem(_who(entries, "", "each")), entries)


def told_programs(root: Root) -> set[tuple[str, str]]:
    """The path of each program that planning or `program_problems` tells of, with the code."""
    found = {
        (f"/{entry.path}", why.code if isinstance(why, Refusal) else "interpreter")
        for entry, why in _unstartable(root)
    }
    return found.union(
        (path, code) for path in root.searched.refused for code in ("interpreter", "program")
    )


def is_to_be_run(entry: Entry) -> bool:
    """Whether a file was named by a BOM, or lies in a directory of programs; no library."""
    if entry.origin.in_tree and not _is_in_program_directory(entry):
        return False
    return not entry.is_library and ".so" not in posixpath.basename(entry.path)


def _unstartable(root: Root) -> Iterator[tuple[Entry, Refusal | str]]:
    """Each program that no kernel starts, and why: a text is what its `#!` line starts in vain."""
    for path in root.files:
        entry = root.at(path)
        if entry is None or not is_to_be_run(entry):
            continue
        why: Refusal | str | None = None
        if not entry.mode & EXECUTE:
            if not entry.origin.in_tree and _is_program(root, path):
                why = refusal(root, path, libos=False)
        elif root.facts(path) is not None:
            if path not in root.searched.refused:
                why = refusal(root, path, libos=False)
        elif (script := _script(root, path)) is not None:
            why = _of_script(root, path, script)
        if why:
            yield entry, why


def _of_script(root: Root, path: str, script: Script) -> Refusal | str | None:
    if script.line.endswith("\r"):
        return CARRIAGE_RETURN
    if not script.line.strip():
        return refusal(root, path, libos=False)
    return lacking_program(script.line, lambda program: _can_run(root, program))


def _is_in_program_directory(entry: Entry) -> bool:
    return entry.path.rpartition("/")[0].rpartition("/")[2] in PROGRAM_DIRECTORIES


def _is_program(root: Root, path: str) -> bool:
    """Whether a file without an execute bit was meant to be run."""
    entry = root.at(path)
    if entry is None or not _is_in_program_directory(entry):
        return False
    facts = root.facts(path)
    if facts is None:
        return root.script(path) is not None
    return bool(facts.interpreter) or facts.type == "ET_EXEC"


def _script(root: Root, path: str) -> Script | None:
    """The `#!` line of a file that is no archive: those are looked at where they are planned."""
    return None if root.archive(path) is not None else root.script(path)


def _can_run(root: Root, path: str) -> bool:
    found = root.find(path)
    return found is not None and found.kind == FILE and bool(found.mode & EXECUTE)


def _who(entries: list[Entry], one: str, many: str) -> str:
    first = f"/{entries[0].path}"
    if len(entries) == 1:
        return f"{first} {one}".rstrip()
    return f"{len(entries)} files, {first} among them, {many}"


def _told(problem: Problem, entries: list[Entry]) -> Problem:
    """A note where all of them came with a directory, of which a part may be what is wanted."""
    severity = NOTE if all(entry.origin.in_tree for entry in entries) else WARNING
    place = entries[0].origin.place
    return Problem(problem.code, problem.message, place, problem.hint, severity=severity)
