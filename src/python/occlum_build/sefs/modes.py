"""Mode bits that a secure file system does not keep: all but 0777."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence

from occlum_build.errors import NOTE, WARNING, Problem
from occlum_build.shown import some
from occlum_build.sources.model import DIR, FILE

_SET_ID = stat.S_ISUID | stat.S_ISGID


def lost_modes(entries: Iterable[tuple[str, str, int]]) -> Iterator[Problem]:
    """What is lost of files and directories, each given by its path, kind and mode.

    A warning "sefs-mode" for programs that change their user, a note for all other bits.
    """
    programs, others = [], []
    for path, kind, mode in entries:
        if kind == FILE and mode & _SET_ID and mode & 0o111:
            programs.append(f"/{path}")
        elif kind in (DIR, FILE) and mode & 0o7000:
            others.append(f"/{path}")
    if programs:
        yield Problem(
            "sefs-mode",
            f"{_shown(programs)} without the set-user-ID or set-group-ID bit: a secure file "
            "system keeps only the bits 0777",
            hint="a program that needs the bit does not work in an enclave: leave it out, or run "
            "it as the user that it needs",
            severity=WARNING,
        )
    if others:
        text = f"{_shown(others)} without the bits beyond 0777, as a secure file system keeps none"
        yield Problem("sefs-mode", text, severity=NOTE)


def _shown(paths: Sequence[str]) -> str:
    return f"{some(sorted(paths))} {'are' if len(paths) > 1 else 'is'}"
