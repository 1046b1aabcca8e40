"""The system calls that give a process a root file system of its own; Python has no names for them.

Each raises OSError, whose filename says what was tried.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import struct

from occlum_build.files.bounds import MIB, STATE_BYTES
from occlum_build.files.reading import read_file

# linux/sched.h
NEW_MOUNTS, NEW_IPC, NEW_USER = 0x00020000, 0x08000000, 0x10000000
NEW_PIDS, NEW_NETWORK = 0x20000000, 0x40000000
# linux/mount.h
READ_ONLY, NO_SETUID, NO_DEVICES, NO_EXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
RECURSIVE, PRIVATE = 16384, 1 << 18
_NO_ATIME, _NO_DIRATIME, _RELATIME = 1024, 2048, 1 << 21
# What the kernel keeps of a mount for those in other user namespaces: statvfs -> mount.
_KEPT = (
    (os.ST_NOSUID, NO_SETUID),
    (os.ST_NODEV, NO_DEVICES),
    (os.ST_NOEXEC, NO_EXEC),
    (os.ST_NOATIME, _NO_ATIME),
    (os.ST_NODIRATIME, _NO_DIRATIME),
    (os.ST_RELATIME, _RELATIME),
)
# linux/prctl.h and linux/capability.h
_END_WITH_PARENT, _SET_DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38
_IS_BOUND, _DROP_BOUND = 23, 24
_CAPABILITIES_VERSION, _CAPABILITIES_FORMAT = 0x20080522, "=6I"
# SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME, MKNOD, PERFMON, BPF: to change
# the mounts or the machine, and to look into processes that nobody may look into.
_REFUSED = (16, 17, 19, 21, 22, 25, 27, 38, 39)
# In /proc/PID/stat after the name: where argv begins and ends, and the environment, proc(5).
_START_FIELDS = slice(45, 49)
_DETACH = 2
_KILL = 9
_OCTAL = re.compile(rb"\\([0-7]{3})")  # as mountinfo has blanks
_MOST_MOUNTS_BYTES = 16 * MIB
# linux/sockios.h and linux/if.h
_SET_FLAGS, _UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(namespaces: int) -> None:
    """Leave the namespaces of these kinds for new ones; new processes are in the one of pids."""
    _call("new namespaces", _libc.unshare(namespaces))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system of a kind, or with BIND a directory or file, at a path."""
    texts = (os.fsencode(text) if text else None for text in (source, target, kind))
    done = _libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(options) if options else None)
    _call(f"mount on {target}", done)


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show a directory with what is mounted below it, or a file, at another path.

    Read-only holds for all of it. Raises OcclumError, too, where the mounts cannot be read.
    """
    mount(source, target, flags=BIND | RECURSIVE)
    if read_only:
        for path in _mounts_below(target):  # a remount is of one mount alone
            found = os.statvfs(path).f_flag
            kept = sum(flag for have, flag in _KEPT if found & have)
            mount("", path, flags=BIND | REMOUNT | READ_ONLY | kept)


def _mounts_below(target: str) -> list[str]:
    """The paths of what is mounted at a path and below it, proc(5)."""
    top = os.fsencode(os.path.realpath(target))
    rows = read_file("/proc/self/mountinfo", _MOST_MOUNTS_BYTES).splitlines()
    paths = {_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), row.split()[4]) for row in rows}
    below = (path for path in paths if path == top or path.startswith(top + b"/"))
    return [os.fsdecode(path) for path in sorted(below)]


def enter_root(path: str) -> None:
    """Make a mounted directory the root and working directory, and let go of the old root."""
    os.chdir(path)
    _call("a root of its own", _libc.pivot_root(b".", b"."))
    _call("the old root", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one that started it has gone, or end now.

    `parent` is its number here, 0 of one in another namespace, of which nobody can tell.
    """
    _prctl(_END_WITH_PARENT, _KILL)
    if os.getppid() != parent:  # it had gone before, of which the kernel does not tell
        os._exit(128 + _KILL)


def forget_start() -> None:
    """Overwrite the arguments and the environment that this process was started with.

    Anyone may read the first, /proc/PID/cmdline. Nothing may look for them any more.
    """
    fields = read_file("/proc/self/stat", STATE_BYTES).rpartition(b")")[2].split()
    starts = [int(one) for one in fields[_START_FIELDS]]
    for begin, end in zip(starts[::2], starts[1::2]):
        if begin:
            ctypes.memset(begin, 0, end - begin)


def give_up_rights() -> None:
    """Neither this process nor programs that it starts can change the mounts, or get more rights.

    They cannot look into this process either; execve makes a program visible again.
    """
    _prctl(_NO_NEW_PRIVILEGES, 1)
    for one in _REFUSED:
        if _libc.prctl(_IS_BOUND, ctypes.c_ulong(one)) == 1:  # an older kernel may not know it
            _prctl(_DROP_BOUND, one)
    _drop(sum(1 << one for one in _REFUSED))
    _prctl(_SET_DUMPABLE, 0)


def _drop(refused: int) -> None:
    """Take capabilities out of the own sets: their lower 32 bits, then their upper ones."""
    header = struct.pack("=II", _CAPABILITIES_VERSION, 0)
    sets = ctypes.create_string_buffer(struct.calcsize(_CAPABILITIES_FORMAT))
    _call("capget", _libc.capget(header, sets))
    words = struct.unpack(_CAPABILITIES_FORMAT, sets.raw)
    kept = (word & ~(refused >> 32 * (index // 3)) for index, word in enumerate(words))
    _call("capset", _libc.capset(header, struct.pack(_CAPABILITIES_FORMAT, *kept)))


def start_loopback() -> None:
    """Make 127.0.0.1 reachable in a new namespace of networks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def _prctl(option: int, value: int) -> None:
    rest = (ctypes.c_ulong(one) for one in (value, 0, 0, 0))
    _call("prctl", _libc.prctl(option, *rest))


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
