"""The readers of what runs asked for: lines of strace, and records, which anybody may write."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hostile.fuzzing.workplace import SEPARATOR, fresh_directory, parts_of
from occlum_build.checks.root import Root
from occlum_build.sources.os import OsSources
from occlum_build.trace.calls import Calls
from occlum_build.trace.missing import find_missing
from occlum_build.trace.output import missing_json, missing_lines, unused_json, unused_lines
from occlum_build.trace.processes import Processes
from occlum_build.trace.record import Record, add_to_file, read_record
from occlum_build.trace.unused import find_unused

_IMAGE = ("bin/app", "lib/a", "lib/b")
_ROOT = (*_IMAGE, "lib/c", "usr/lib/x/d", "usr/lib/x/e", "etc/localtime")


def trace(data: bytes) -> None:
    """A record, added to what the lines tell, compared with an image and a root."""
    kept, lines = parts_of(data, 2)
    calls, processes = Calls(), Processes(1, "/bin/app")
    record = Record(runs=1)
    for line in lines.decode("latin-1").split("\n"):
        event = calls.event(line)
        for ask in processes.asks(event) if event is not None else ():
            record.add(ask)
    with fresh_directory() as directory:
        for top, names in (("image", _IMAGE), ("root", _ROOT)):
            for name in names:
                path = directory / top / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"#!/usr/lib/x/d\n")
        (directory / "image/lib/link").symlink_to("/usr/lib/x")
        path = directory / "record.json"
        add_to_file(path, record)
        if kept:
            path.write_bytes(kept)
            record.merge(read_record(path))
        image = Root.of_directory(str(directory / "image"))
        missing = find_missing(record, image, OsSources(str(directory / "root")))
        unused = find_unused(record, image)
    json.dumps([missing_json("image", record, missing), unused_json("image", record, unused)])
    told = [*missing_lines(record, missing, "/"), *unused_lines(record, unused, None)]
    if any("\n" in line for line in told):
        raise AssertionError("a name breaks a line")


def seeds() -> Iterator[tuple[str, bytes]]:
    """Inputs for it."""
    asks = [
        {"path": path, "by": "/bin/app", "kind": kind, "found": found}
        for path, kind, found in (
            ("/lib/link/d", "open", True),
            ("/lib/c", "exec", False),
            ("/usr/lib/x", "list", True),
            ("/usr/lib/../lib/x/e", "look", False),
            ("/usr/lib/x/new", "create", False),
            ("/etc/localtime", "open", False),
            ("/lib/link", "link", True),
            ("/usr/lib", "enter", True),
            ("/nowhere", "look", False),
        )
    ]
    record = {"schema": 1, "runs": 2, "incomplete": False, "asks": asks}
    lines = (
        b'1  execve("/python", [...], 0x7f /* 3 vars */) = 0',
        b"1  clone(child_stack=NULL, flags=SIGCHLD) = 2 /* 7 in strace's PID NS */",
        b'7  execve("/bin/app", [...], 0x7f /* 3 vars */ <unfinished ...>',
        b"7  <... execve resumed>) = 0",
        b'7  openat(AT_FDCWD</usr>, "lib/x/d", O_RDONLY) = 3</usr/lib/x/d>',
        b'7  openat(3</lib>, "c\\303\\244", O_RDONLY|O_DIRECTORY) = -1 ENOENT (No such file)',
        b'7  chdir("/lib") = 0',
        b"7  clone3({flags=CLONE_VM|CLONE_THREAD, ...}, 88) = 8",
        b'8  readlink("link", ""..., 4096) = 5',
        b"7  +++ superseded by execve in pid 8 +++",
        b"7  +++ exited with 0 +++",
        b"9  execve(0x7f2b, 0x7f2c, 0x7f2d) = 0",
        b'9  mkdir("x", 0777) = -1 ENOENT (No such file or directory)',
        b"9  fchdir(3</usr>) = 0",
    )
    yield "trace", json.dumps(record).encode() + SEPARATOR + b"\n".join(lines)
    yield "trace", json.dumps(record).encode()
    for number in range(1, len(lines)):
        yield "trace", SEPARATOR + b"\n".join(lines[:4] + lines[number:])
