"""Where the files of an image come from: a read-only view of source trees.

A source path is a string. An absolute one is looked up in the sysroot (the host, or a directory
that stands for it); a relative one is a file of the project (the build root under Pants). Both are
in normal form: no empty, `.` or `..` component, no trailing slash; the project's root is "".
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import CONFIG_BYTES

if TYPE_CHECKING:
    from occlum_build.elf.facts import Archive, ElfFacts, Script

FILE, DIR, SYMLINK, FIFO, OTHER = "file", "dir", "symlink", "fifo", "other"
MAX_LINKS = 40  # as the kernel's MAXSYMLINKS
MOST_COMPARED = 20_000  # names of a directory that are compared with one that is not there
MOST_COMPARISONS = 20  # problems of a run that are worth one


def kind_name(kind: str) -> str:
    """How messages call a kind of entry."""
    return "device or socket" if kind == OTHER else kind


class SourceStat(NamedTuple):
    """What lstat tells of one source; a tuple, because an image may have 50,000.

    mode is the permission bits (0 to 0o7777), size in bytes, target that of a symlink, verbatim.
    Of a regular file whose content was read before, sha256 is its lower-case hex digest, and
    is_elf_or_zip tells whether it begins as an ELF file does, or is a zip archive, which may hold
    some; "" and None where nobody looked. xattrs are the names of extended attributes that count,
    holes the bytes of a large sparse file that take no space: what no image holds (sources.extras).
    """

    kind: str
    mode: int = 0
    size: int = 0
    target: str = ""
    sha256: str = ""
    is_elf_or_zip: bool | None = None
    xattrs: tuple[str, ...] = ()
    holes: int = 0


class Sources(Protocol):
    """A read-only view of the source files. Every path is in normal form."""

    def expect(self, path: str, *, tree: bool = False) -> bool | None:
        """Told before a path (or a directory with all below it) is looked at.

        A view that has to ask for what it does not know can then ask for all of it at once, and
        gives True where that is so.
        """

    def lstat(self, path: str) -> SourceStat | None:
        """The entry itself, links not followed; None where there is none."""

    def names(self, path: str) -> Sequence[str]:
        """The sorted names in a directory (not a link to one)."""

    def sha256(self, path: str) -> str:
        """The lower-case hex digest of a regular file."""

    def facts(self, path: str) -> ElfFacts | None:
        """The ELF facts of a regular file; None when it is no ELF file, or a malformed one."""

    def malformed(self, path: str) -> str:
        """What is wrong with a file that has the magic number of ELF and junk after it, else ""."""

    def archive(self, path: str) -> Archive | None:
        """What a zip archive holds of ELF files; None for any other file."""

    def script(self, path: str) -> Script | None:
        """The `#!` line of a regular file that is no archive; None for any other file."""

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        """The content of a regular file; None where it cannot be known.

        Raises OcclumError `file` when it has more than `limit` bytes.
        """


def weigh(sources: Sources, path: str) -> None:
    """Tell sources that keep what was asked of them that the size of a file has counted.

    Whoever decides by `Entry.size` of an image, which no source is asked for, calls it before.
    """
    told = getattr(sources, "weigh", None)
    if told is not None:
        told(path)


def regular_file(sources: Sources, path: str) -> str | None:
    """The real path of a regular file, links followed; None where there is none."""
    real = resolve(sources, path)
    found = sources.lstat(real) if real is not None else None
    return real if found is not None and found.kind == FILE else None


def why_no_file(sources: Sources, path: str, what: str, shown: str) -> str:
    """What to say where `regular_file` found none: nothing is there, or something else."""
    real = resolve(sources, path)
    if real is None or sources.lstat(real) is None:
        return f"there is no {what} {shown}"
    return f"the {what} {shown} is not a regular file"


def join(base: str, path: str) -> str | None:
    """`path` seen from directory `base`, in normal form; None when it leaves the project's root."""
    joined = posixpath.normpath(posixpath.join(base, path))
    if joined.startswith("//"):
        joined = joined[1:]
    if joined == ".":
        return ""
    return None if joined == ".." or joined.startswith("../") else joined


def resolve(sources: Sources, path: str, *, follow_last: bool = True) -> str | None:
    """Follow the links in `path` within the sources; None for a dangling or looping one.

    The result names an existing entry, all of whose parent directories are real. An absolute link
    target is looked up in the sysroot, also from a link of the project.
    """
    sources.expect(path)
    pending = _components(path)
    here = "/" if path.startswith("/") else ""
    links = 0
    while pending:
        name = pending.pop()
        if name == "..":
            if here == "":
                return None
            here = posixpath.dirname(here)
            continue
        child = posixpath.join(here, name)
        found = sources.lstat(child)
        if found is None:
            return None
        if found.kind == SYMLINK and (pending or follow_last):
            links += 1
            if links > MAX_LINKS:
                return None
            pending.extend(_components(found.target))
            if found.target.startswith("/"):
                here = "/"
            continue
        if pending and found.kind != DIR:
            return None
        here = child
    return here


def hint_for_missing(sources: Sources, path: str, base: str, known: int = 0) -> str:
    """What to do about a source that does not exist: a similar name, or where it is looked for.

    `base` is the directory that the path was joined to, `known` how many problems there are.
    """
    near = _nearest(sources, path) if known < MOST_COMPARISONS else ""
    if near:
        return f"did you mean {near}?"
    if path.startswith("/"):
        return "an absolute path is looked up in the sysroot: install it there, or correct it"
    return f"relative names start at {base or 'the build root'} here"


def _nearest(sources: Sources, path: str) -> str:
    """A path with the same directory and a similar name that exists, "" where there is none."""
    directory, name = posixpath.split(path)
    real = resolve(sources, directory)
    found = sources.lstat(real) if real else None
    if real is None or (real and (found is None or found.kind != DIR)):
        return ""
    try:
        names = sources.names(real)
    except OcclumError:  # no hint is not worth an error that hides the one it is for
        return ""
    near = similar_name(name, names)
    return posixpath.join(directory, near) if near else ""


def similar_name(name: str, names: Sequence[str]) -> str:
    """The most similar of the names in a directory; "" for none, or where there are very many."""
    import difflib

    near = difflib.get_close_matches(name, names, n=1) if len(names) <= MOST_COMPARED else []
    return near[0] if near else ""


def _components(path: str) -> list[str]:
    """The components of a path, last first, as a stack."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
