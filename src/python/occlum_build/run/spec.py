"""What a program of an image is run with, as values that can be written as JSON."""

from __future__ import annotations

from dataclasses import dataclass

# The root file system: as it is and read-only; below a layer for what is written, which is thrown
# away; or to be written to itself.
READ_ONLY, SCRATCH, IN_PLACE = "read-only", "scratch", "in-place"

READY = ("file", "tcp", "unix")  # what `wait_for` can wait for: `file:/path`, `tcp:80`

EXIT_NOT_STARTED = 127  # as a shell has it
EXIT_SIGNAL = 128  # and the number of the signal


@dataclass(frozen=True)
class Mount:
    """What is mounted in the image: a directory of the host, or an empty one where it is ""."""

    target: str
    source: str = ""


@dataclass(frozen=True)
class RootSpec:
    """The root file system that a program gets: a directory, and what is mounted in it in order.

    Mounts whose target the image lacks are left out. `access` is READ_ONLY, SCRATCH or IN_PLACE.
    `below` is a root file system that shows, read-only, where the directory has nothing, but for
    the paths `hidden`, relative to it.
    """

    directory: str
    mounts: tuple[Mount, ...] = ()
    access: str = READ_ONLY
    has_network: bool = True
    below: str = ""
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """A program in that root: argv, of which the first is its path, and environment NAME=VALUE.

    `memory_bytes` limits the address space of each of its processes, None not at all.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    memory_bytes: int | None = None
