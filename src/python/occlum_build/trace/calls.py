"""Reads the lines that strace writes, strace(1): which process asked for which path, and in vain?

Of each system call the first path counts. What a program could have made up in a name stays in that
name: a line tells of one call, whatever is in it.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

OPEN, EXEC, LOOK, LINK, LIST, ENTER, CREATE = (
    "open", "exec", "look", "link", "list", "enter", "create",
)  # fmt: skip
# `look` tells whether something is there, `link` does not follow a link, `list` and `enter` are of
# directories, `create` makes what is not there.
KINDS = (CREATE, ENTER, EXEC, LINK, LIST, LOOK, OPEN)
START, END = "start", "end"  # of processes

_CALLS = {
    **dict.fromkeys(("open", "openat", "openat2", "truncate"), OPEN),
    **dict.fromkeys(("execve", "execveat"), EXEC),
    **dict.fromkeys(
        ("stat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "statfs", "getxattr",
         "listxattr"), LOOK,
    ),
    **dict.fromkeys(("lstat", "readlink", "readlinkat", "lgetxattr", "llistxattr"), LINK),
    **dict.fromkeys(("creat", "mkdir", "mkdirat", "mknod", "mknodat"), CREATE),
    "chdir": ENTER,
}  # fmt: skip
# As strace has them; a question mark is for what a kernel may not know.
TRACED = ",".join(
    sorted(f"?{name}" for name in [*_CALLS, "bind", "fchdir", "clone", "clone3", "fork", "vfork"])
)
_NOT_FOUND = ("ENOENT", "ENOTDIR")

_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
# Of a thread that executes a program the number is another's then.
_UNFINISHED = re.compile(r" <(?:unfinished|pid changed to \d+) \.\.\.>$")
_ANGLES = r"<((?:[^<>\\]|\\.)*)>(?:\(deleted\))?"
_CALL = re.compile(
    rf'(\w+)\((?:(?:AT_FDCWD|-?\d+)(?:{_ANGLES})?, )?"((?:[^"\\]|\\.)*)"(.*)\) += (-?\d+)(.*)'
)
_BIND = re.compile(
    r'bind\([^{]*\{sa_family=AF_UNIX, sun_path="((?:[^"\\]|\\.)*)"\}.*\) += (-?\d+)(.*)'
)
_FCHDIR = re.compile(rf"fchdir\(\d+{_ANGLES}\) += 0")
# Of a process that nobody may look into, as ours are to an ordinary user.
_UNREADABLE_EXEC = re.compile(r"execve\(0x[0-9a-f]+, .*\) += (-?\d+)(.*)")
_FORK = re.compile(r"(?:clone3?|v?fork)\((.*)\) += (\d+)(?: /\* (\d+) in strace's PID NS \*/)?$")
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+) \+\+\+")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(.))")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "f": "\f"}


class Event(NamedTuple):
    """What a process did: a kind of KINDS with a path, as it was asked for, or of its own life.

    `base` is what the path is relative to, "" for the working directory. Of START `path` is the
    number of the new process, and `is_found` whether it is a thread. Of EXEC it is "" where strace
    could not read it.
    """

    pid: int
    kind: str
    path: str = ""
    base: str = ""
    is_found: bool = True


class Calls:
    """Puts the lines together: a call that takes a while has two."""

    def __init__(self) -> None:
        self._unfinished: dict[int, str] = {}

    def event(self, line: str) -> Event | None:
        """What a line tells; None for nothing that counts, or not yet."""
        found = _LINE.match(line)
        if found is None:
            return None
        pid, text = int(found[1]), found[2]
        unfinished = _UNFINISHED.search(text)
        if unfinished is not None:
            self._unfinished[pid] = text[: unfinished.start()]
            return None
        resumed = _RESUMED.match(text)
        if resumed is not None:
            text = self._unfinished.pop(pid, "") + resumed[1]
        elif text.startswith("+++"):
            replaced = _SUPERSEDED.match(text)
            self._unfinished.pop(pid, None)
            if replaced is None:
                return Event(pid, END)
            # A thread goes on under the number of its process: what it executes was there.
            text = self._unfinished.pop(int(replaced[1]), "") + ") = 0"
        return _event_of(pid, text)


def _event_of(pid: int, text: str) -> Event | None:
    found = _CALL.match(text)
    if found is not None:
        name, base, path, rest, result, error = found.groups()
        kind = _CALLS.get(name)
        if kind is None or not path:
            return None
        is_found = _is_found(result, error)
        return Event(pid, _kind(kind, rest), _unescaped(path), _unescaped(base or ""), is_found)
    bound = _BIND.match(text)
    if bound is not None:
        path, result, error = bound.groups()
        return Event(pid, CREATE, _unescaped(path), is_found=_is_found(result, error))
    unreadable = _UNREADABLE_EXEC.match(text)
    if unreadable is not None:
        return Event(pid, EXEC, is_found=unreadable[1] == "0")
    entered = _FCHDIR.match(text)
    if entered is not None:
        return Event(pid, ENTER, _unescaped(entered[1]))
    started = _FORK.match(text)
    if started is not None:
        flags, number, outside = started.groups()
        return Event(pid, START, outside or number, is_found="CLONE_THREAD" in flags)
    return None


def _is_found(result: str, error: str) -> bool:
    return not (result.startswith("-") and error.strip().startswith(_NOT_FOUND))


def _kind(kind: str, rest: str) -> str:
    """What the flags of a call make of it."""
    if kind == OPEN:
        if "O_CREAT" in rest:
            return CREATE
        if "O_PATH" in rest:
            return LOOK
        return LIST if "O_DIRECTORY" in rest else OPEN
    return LINK if kind == LOOK and "AT_SYMLINK_NOFOLLOW" in rest else kind


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(
        lambda one: chr(int(one[1], 8) & 0xFF) if one[1] else _PLAIN.get(one[2], one[2]), text
    )
    return os.fsdecode(plain.encode("latin-1"))
