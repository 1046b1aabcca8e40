"""The program that a run names, checked before anything is started."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Sequence
from dataclasses import replace

from occlum_build.checks.enclave import start_problem
from occlum_build.checks.refusal import EXECUTE, program_problem
from occlum_build.checks.root import Root
from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.run.spec import Mount

CODE = "run"
_MOST_NAMES = 20_000  # that are compared with a wrong one
_LONGEST_NAME = 255
_NAMED = 3


def check_program(root: Root, program: str, entry_points: Sequence[str] | None) -> None:
    """Raise OcclumError where a program cannot be started.

    `entry_points` are those of an enclave, whose libOS would have to start it, too; None where
    there is no enclave.
    """
    if not program.startswith("/"):
        text = f"the program {program} is no absolute path in the image"
        raise OcclumError(CODE, text, hint=_meant(root, program) or "name it as `/bin/program`")
    if entry_points is None:
        found = program_problem(root, program, libos=False)
    else:
        found = start_problem(root, program, entry_points)
    if found is None:
        return
    if not root.kind(program):
        found = replace(found, hint=_meant(root, program) or found.hint)
    raise OcclumError.of([found])


def lacking_places(root: Root, mounts: Sequence[Mount]) -> list[Problem]:
    """A warning where the image lacks directories that something is to be mounted on."""
    targets = ["/proc", "/dev", *(one.target for one in mounts)]
    lacking = [one for one in dict.fromkeys(targets) if root.kind(one) != "dir"]
    if not lacking:
        return []
    names = ", ".join(lacking)
    text = f"the image lacks directories to mount on, so this is not mounted: {names}"
    hint = "make them in a BOM by `mkdirs`: the libOS fails at boot without them"
    return [Problem(CODE, text, hint=hint, severity=WARNING)]


def _meant(root: Root, program: str) -> str:
    """A hint that names what may have been meant; "" where nothing is like it."""
    name = posixpath.basename(program)
    same = [path for path in root.named(name, links=True) if _can_be_run(root, path)]
    if same:
        return f"did you mean {', '.join(same[:_NAMED])}?"
    if len(name) > _LONGEST_NAME:
        return ""
    names: dict[str, str] = {}
    for path in root.files:
        if len(names) == _MOST_NAMES:
            break
        if _can_be_run(root, path) and ".so" not in posixpath.basename(path):
            names.setdefault(posixpath.basename(path), path)
    close = difflib.get_close_matches(name, names, _NAMED)
    return f"did you mean {', '.join(names[one] for one in close)}?" if close else ""


def _can_be_run(root: Root, path: str) -> bool:
    found = root.find(path)
    return found is not None and found.kind == "file" and bool(found.mode & EXECUTE)
