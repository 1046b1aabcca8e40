"""The system calls that give a process a root file system of its own; Python has no names for them.

Each raises OSError, whose filename says what was tried.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

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
_END_WITH_PARENT, _DROP_BOUND, _NO_NEW_PRIVILEGES = 1, 24, 38
_SYS_ADMIN = 21
_DETACH = 2
_KILL = 9
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
    """Show a directory with what is mounted below it, or a file, at another path."""
    mount(source, target, flags=BIND | RECURSIVE)
    if read_only:
        found = os.statvfs(target).f_flag
        kept = sum(flag for have, flag in _KEPT if found & have)
        mount("", target, flags=BIND | REMOUNT | READ_ONLY | kept)


def enter_root(path: str) -> None:
    """Make a mounted directory the root and working directory, and let go of the old root."""
    os.chdir(path)
    _call("a root of its own", _libc.pivot_root(b".", b"."))
    _call("the old root", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it has gone."""
    _prctl(_END_WITH_PARENT, _KILL)


def give_up_mounting() -> None:
    """Programs that are started from now on get no more rights, and cannot change the mounts."""
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_DROP_BOUND, _SYS_ADMIN)


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
