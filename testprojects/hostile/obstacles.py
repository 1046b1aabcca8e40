"""What may stand where a file is read, and the command in a process of little memory and time."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from occlum_build.cli import main as command

# What the verbs import when they run, once for all of their copies.
for _name in (
    *(f"cli.{module}" for module in {*command.VERBS.values(), "signing_options"}),
    *("occlum.build", "occlum.fresh", "sgx.sign", "elf.archive", "bom.yaml_nodes", "image.plan"),
):
    importlib.import_module(f"occlum_build.{_name}")
importlib.import_module("yaml")

MEMORY_BYTES, FILE_BYTES, SECONDS = 2 << 30, 1 << 30, 60

Obstacle = Callable[[Path], None]


def _sparse(path: Path) -> None:
    with open(path, "xb") as file:
        file.truncate(6 << 30)
    path.chmod(0o600)


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # a long path is no address
    os.close(folder)


def _text(text: str | bytes) -> Obstacle:
    def write(path: Path) -> None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o600)  # a key file must be

    return write


SPECIAL: dict[str, Obstacle] = {
    "6 GB": _sparse,
    "fifo": os.mkfifo,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "directory": Path.mkdir,
    "missing": lambda path: None,
    "socket": _socket,
    "link to itself": lambda path: path.symlink_to(path.name),
}
# What no reader takes, whatever it reads.
TEXTS: dict[str, Obstacle] = {
    "100,000 lists": _text("[" * 100_000),
    "100,000 lists, closed": _text("[" * 100_000 + "]" * 100_000),
    "100,000 objects": _text('{"a":' * 100_000),
    "half a character": _text('{"schema": 1, "x": "\\ud800"}'),
    "not UTF-8": _text(b'{"\xff": "\xfe"}\n' * 1000),
    "a long number": _text("9" * 500_000),
    "zeros": _text(bytes(100_000)),
    "a list": _text("[]"),
    "null": _text("null"),
    "a schema alone": _text('{"schema": 1}'),
    "another schema": _text('{"schema": 1e400, "entries": []}'),
    "inputs of lists": _text('{"schema": 1, "mrenclave": "a", "inputs": {"image": []}}'),
    "entries of numbers": _text('{"schema": 1, "entries": [1]}'),
    "entries of nothing": _text('{"schema": 1, "entries": [{}]}'),
}
ALL = {**SPECIAL, **TEXTS}
LARGE, MISSING, FOLDER = "6 GB", "missing", "directory"


class Ended(NamedTuple):
    """How the command ended: its exit code, negative for a signal, and what it told."""

    code: int
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


def run(arguments: Sequence[str], cwd: Path) -> Ended:
    """The command in a copy of this process, as its imports take longer than what is tried."""
    err = cwd.with_name(f"{cwd.name}.stderr")
    pid = os.fork()
    if pid == 0:
        _be_the_command(arguments, cwd, err)
    _, status = os.waitpid(pid, 0)
    told = err.read_text("utf-8", "backslashreplace")
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return Ended(code, told)


def _be_the_command(arguments: Sequence[str], cwd: Path, err: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        sys.stdout = TextIOWrapper(os.fdopen(1, "wb", 0), write_through=True)
        sys.stderr = TextIOWrapper(os.fdopen(2, "wb", 0), errors="backslashreplace")
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        code = command.main(arguments)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
