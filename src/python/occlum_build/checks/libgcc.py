"""The library that glibc opens by itself when a thread is cancelled or ends itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from occlum_build.checks.root import Root
from occlum_build.elf.facts import LIBC
from occlum_build.errors import NOTE, Problem
from occlum_build.shown import who

LIBGCC = "libgcc_s.so.1"
OWN = ("libpthread.so.0",)  # where these functions were before glibc 2.34


def libgcc_problems(root: Root) -> Iterator[Problem]:
    """A note of the files that may call such a function, where the image has no libgcc_s.so.1.

    Which of them a program calls, and when, its file does not tell.
    """
    if not root.named(LIBC) or root.named(LIBGCC, links=True):
        return
    found = [path for path in root.files if _unwinds(root, path)]
    if found:
        directory = posixpath.dirname(root.named(LIBC)[0])
        yield Problem(
            "libgcc",
            f"the image has no {LIBGCC}, which glibc opens for pthread_exit, pthread_cancel and "
            f"backtrace, named by {who(found)}: without it the first two abort",
            hint=f"copy {LIBGCC} to {directory} where threads end so",
            severity=NOTE,
        )


def _unwinds(root: Root, path: str) -> bool:
    entry = root.at(path)
    name = path.rpartition("/")[2]
    if entry is None or name in OWN or not (entry.mode & 0o111 or ".so" in name):
        return False
    facts = root.sources.facts(entry.source)
    return facts is not None and facts.unwinds
