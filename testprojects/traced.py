"""Runs a program under ptrace, and may answer its system calls in place of the kernel (x86-64)."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_TRACEME, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS = 0, 12, 13, 24, 0x4200
_TRACESYSGOOD, _EXITKILL = 1, 1 << 20
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_NO_SYSCALL = 2**64 - 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class _Registers(ctypes.Structure):
    """struct user_regs_struct of sys/user.h."""

    _fields_ = tuple(
        (name, ctypes.c_ulonglong)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx"),
            *("rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base"),
            *("gs_base", "ds", "es", "fs", "gs"),
        )
    )


@dataclass(frozen=True)
class Call:
    """A system call that a program is about to make: its number, arguments, and its process."""

    number: int
    args: tuple[int, ...]
    process: int

    def memory(self, address: int, size: int) -> bytes:
        """Bytes of the program's memory."""
        with open(f"/proc/{self.process}/mem", "rb") as memory:
            memory.seek(address)
            return memory.read(size)

    def number_at(self, address: int) -> int:
        """The 64-bit number at an address."""
        return int(struct.unpack("<Q", self.memory(address, 8))[0])

    def text(self, address: int) -> str | None:
        """The string at an address, None for NULL."""
        found = b""
        while address and not found.endswith(b"\0"):
            found += self.memory(address + len(found), 1)
        return found[:-1].decode() if address else None

    def texts(self, address: int) -> list[str] | None:
        """The strings of an array that ends with NULL, None for NULL."""
        if not address:
            return None
        found: list[str] = []
        while (text := self.text(self.number_at(address + 8 * len(found)))) is not None:
            found.append(text)
        return found

    def has_in_memory(self, wanted: bytes) -> bool:
        """Are these bytes anywhere in what the program may write to?"""
        for line in Path(f"/proc/{self.process}/maps").read_text().splitlines():
            span, flags = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if flags.startswith("rw") and wanted in self.memory(start, end - start):
                return True
        return False


# What a call is answered with, as the kernel would (-errno for an error); None lets it happen.
Answer = Callable[[Call], Optional[int]]


def run_traced(argv: Sequence[str | Path], answer: Answer, stderr: Path) -> int:
    """Run a program to its end, with its standard error in a file; its exit status.

    Raises OSError, PermissionError when this machine does not permit ptrace.
    """
    process = os.fork()
    if process == 0:
        _become_traced([str(arg) for arg in argv], str(stderr))
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status):
        raise OSError(os.WEXITSTATUS(status), "no ptrace here, or no such program")
    _ptrace(_SETOPTIONS, process, _TRACESYSGOOD | _EXITKILL)
    answered: int | None = None
    is_entry, pending = True, 0
    while True:
        _ptrace(_SYSCALL, process, pending)
        _, status = os.waitpid(process, 0)
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        if os.WIFSIGNALED(status):
            return -os.WTERMSIG(status)
        if os.WSTOPSIG(status) != _SYSCALL_STOP:
            pending = os.WSTOPSIG(status)
            continue
        pending = 0
        answered = _stopped(process, answer, is_entry, answered)
        is_entry = not is_entry


def _stopped(process: int, answer: Answer, is_entry: bool, answered: int | None) -> int | None:
    """At the entry of a call ask for its answer, at its exit give that."""
    registers = _Registers()
    _ptrace(_GETREGS, process, ctypes.addressof(registers))
    if is_entry:
        names = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
        args = tuple(int(getattr(registers, name)) for name in names)
        answered = answer(Call(int(registers.orig_rax), args, process))
        if answered is not None:
            registers.orig_rax = _NO_SYSCALL
            _ptrace(_SETREGS, process, ctypes.addressof(registers))
        return answered
    if answered is not None:
        registers.rax = answered % 2**64
        _ptrace(_SETREGS, process, ctypes.addressof(registers))
    return None


def _become_traced(argv: list[str], stderr: str) -> None:
    """In the child: nothing but system calls, and never a return."""
    try:
        descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 2)
        _ptrace(_TRACEME, 0, 0)
        os.execv(argv[0], argv)
    except OSError as error:
        os._exit(error.errno or 1)


def _ptrace(request: int, process: int, data: int) -> None:
    if _libc.ptrace(request, process, None, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace: {os.strerror(error)}")
