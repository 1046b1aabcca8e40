"""What has changed in large trees since they were last looked at, told by `find`.

Python needs 4 µs for the status of a file, `find` half of that, and on a core of its own, as it
does not hold Python's lock. What it prints is compared as a whole. Only a list of differing
directories comes of it, which are then read as ever: where `find` is missing, is not GNU's or meets
an error, all of them are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress

from occlum_build.files.bounds import MIB

# Fewer files than this are looked at before `find` has started.
MANY_FILES = 2_000
_MOST_TOPS = 200
_MOST_BYTES = 256 * MIB  # a million files or more
_PLACES = "/usr/bin:/bin"
# Type, device, inode, mode, size (bytes), times of content and of inode (ns), path.
_FORMAT = r"%y %D %i %m %s %T@ %C@ %p\0"
_PATH_FIELD = 7
# Of files where a change of anything changes the time of the inode. It begins with a digit.
_FORMAT_OF_FILES = r"%i %m %s %C@ %p\0"
_PATH_FIELD_OF_FILES = 4
_KEEP_TIMES = frozenset(
    (b"btrfs", b"ext2", b"ext3", b"ext4", b"f2fs", b"overlay", b"tmpfs", b"xfs", b"zfs")
)
_MOUNTS = "/proc/self/mountinfo"


class Glance:
    """A look at all below some directories that has begun; `close` ends it at any time.

    What it tells is of a moment after it began, for each directory another one.
    """

    def __init__(self, tops: Sequence[bytes]) -> None:
        self._tops = tuple(sorted(tops))
        self._process: subprocess.Popen[bytes] | None = None
        program = shutil.which("find", path=_PLACES)
        if program is None or not 0 < len(tops) <= _MOST_TOPS:
            return
        with ExitStack() as stack, suppress(OSError):
            # A file, as a pipe would have to be read while Python does other work.
            output = stack.enter_context(tempfile.TemporaryFile())
            # Without close_fds the process starts without a copy of this one's page tables.
            self._process = subprocess.Popen(
                [program, *self._tops, *_printed(self._tops)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C"},
                close_fds=False,
            )
            self._output = output
            stack.pop_all()

    def found(self) -> bytes:
        """All that was found, in an order that changes with the files alone; b"" for unknown."""
        process = self._process
        if process is None:
            return b""
        process.wait()
        self._output.seek(0)  # from where the process, which shares it, has left it
        text = self._output.read(_MOST_BYTES)
        self.close()
        is_whole = process.returncode == 0 and len(text) < _MOST_BYTES
        return text if is_whole and self._is_exact(text) else b""

    def close(self) -> None:
        """End the process, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._output.close()
            self._process = None

    def _is_exact(self, text: bytes) -> bool:
        """Does it tell of the first directory what lstat tells, times to the nanosecond?"""
        expected = b""
        with suppress(OSError):
            found = os.lstat(self._tops[0])
            times = b" ".join(_time(ns) for ns in (found.st_mtime_ns, found.st_ctime_ns))
            head = b"d %d %d %o %d" % (
                *(found.st_dev, found.st_ino, found.st_mode & 0o7777, found.st_size),
            )
            expected = b" ".join((head, times, self._tops[0])) + b"\0"
        return bool(expected) and text.startswith(expected)


def glance_again(
    tops: Sequence[bytes], files: int, before: bytes
) -> tuple[bytes, Collection[bytes] | None]:
    """A glance at directories with so many known files, and what is touched since that `before`."""
    if files < MANY_FILES:
        return b"", None
    glance = Glance(tops)
    try:
        found = glance.found()
    finally:
        glance.close()
    return found, touched(before, found)


def touched(before: bytes, now: bytes) -> Collection[bytes] | None:
    """The directories whose status or entries differ between two glances; None for unknown.

    None of their paths ends in a slash, but `/` itself.
    """
    if not before or not now:
        return None
    if before == now:
        return ()
    # Mostly the rows that differ are few and near each other: only what is between is looked at.
    start = before.rfind(b"\0", 0, _common(before, now)) + 1
    before, now = before[start:], now[start:]
    _, _, alike = before[len(before) - _common(before, now, from_end=True) :].partition(b"\0")
    before, now = (text[: len(text) - len(alike)] for text in (before, now))
    rows = set(before.split(b"\0")) ^ set(now.split(b"\0"))
    paths = [without_slash(_path_of(row)) for row in rows if row]
    return {*paths, *map(os.path.dirname, paths)}


def _printed(tops: Iterable[bytes]) -> list[str]:
    """What `find` is to print of each entry: a tenth of its time goes by what is left out."""
    every = ["-printf", _FORMAT]
    if _keep_times(tops):
        return ["-type", "f", "-printf", _FORMAT_OF_FILES, "-o", *every]
    return every


def _keep_times(tops: Iterable[bytes]) -> bool:
    """Do the file systems of some directories, and of all below, keep the time of each change?

    Elsewhere, as with FAT, that time of an inode may stay when a content changes. What a file
    system that was mounted later hides counts, too.
    """
    try:
        with open(_MOUNTS, "rb") as stream:
            mounts = [_mount(line) for line in stream]
        reals = [os.path.realpath(top) for top in tops]
    except (OSError, LookupError, ValueError):
        return False
    kinds = {
        kind
        for place, kind in mounts
        if any(_is_in(real, place) or _is_in(place, real) for real in reals)
    }
    return bool(kinds) and kinds <= _KEEP_TIMES


def _mount(line: bytes) -> tuple[bytes, bytes]:
    """Place and type of a mounted file system, as /proc/self/mountinfo has it."""
    fields = line.split()
    place = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), fields[4])
    return place, fields[fields.index(b"-", 6) + 1]


def _is_in(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _path_of(row: bytes) -> bytes:
    field = _PATH_FIELD_OF_FILES if row[:1].isdigit() else _PATH_FIELD
    return row.split(b" ", field)[field]


def without_slash(path: bytes) -> bytes:
    """A path as those have it that are below its parent; that of a whole root ends in a slash."""
    return path.rstrip(b"/") or b"/"


def _common(one: bytes, other: bytes, *, from_end: bool = False) -> int:
    """How many bytes two texts have in common, at their beginning or at their end."""
    alike, different = 0, min(len(one), len(other)) + 1
    while different - alike > 1:
        middle = (alike + different) // 2
        if from_end:
            begins = len(one) - middle, len(other) - middle
            is_alike = one[begins[0] : len(one) - alike] == other[begins[1] : len(other) - alike]
        else:
            is_alike = one[alike:middle] == other[alike:middle]
        alike, different = (middle, different) if is_alike else (alike, middle)
    return alike


def _time(ns: int) -> bytes:
    """As GNU find prints it, with a digit more than there is."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return b"%d.%09d0" % (seconds, rest)
