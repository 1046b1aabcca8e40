"""What cannot be started, each with the reason, by a kernel and by the libOS."""

from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.checks.refusal import refusal
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import Archive, ElfFacts, Malformed
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.image.testing import SHARED_OBJECT, Files, library, program

PROGRAM = program("libc.so.6")
EXECUTABLE = replace(SHARED_OBJECT, type="ET_EXEC")
FILES: Files = {
    GLIBC_LOADER: library(),
    "/bin/bash": PROGRAM,
    "/bin/sh": "-> bash",
    "/usr/bin/env": PROGRAM,
    "/usr/bin/python3": PROGRAM,
    "/bin/relative": "-> ../usr/bin/python3",
    "/bin/dangling": "-> /opt/none",
    "/bin/noexec": PROGRAM,
    "/bin/static": replace(EXECUTABLE, is_dynamic=False),
    "/bin/no-pie": replace(PROGRAM, type="ET_EXEC"),
    "/bin/static-pie": SHARED_OBJECT,
    "/bin/object": replace(SHARED_OBJECT, type="ET_REL"),
    "/bin/musl": program(interpreter="/lib/ld-musl-x86_64.so.1"),
    "/bin/arm": replace(PROGRAM, machine="EM_AARCH64"),
    "/bin/i386": ElfFacts("ET_DYN", "EM_386", 32),
    "/bin/arm32": ElfFacts("ET_EXEC", "EM_ARM", 32),
    "/bin/junk": Malformed("bad class"),
    "/bin/text": b"echo\n",
    "/bin/empty": b"",
    "/bin/strange-loader": program(interpreter="/bin/text"),
    "/app/good": b"#!/bin/sh\n",
    "/app/blank": b"#! \t/bin/bash\n",
    "/app/env": b"#!/usr/bin/env python3\n",
    "/app/option": b"#!/bin/sh -e\n",
    "/app/tab": b"#!/bin/sh\t-e\n",
    "/app/trailing": b"#!/bin/sh \n",
    "/app/crlf": b"#!/bin/sh\r\necho\r\n",
    "/app/env-crlf": b"#!/usr/bin/env python3\r\n",
    "/app/absent": b"#!/bin/zsh\n",
    "/app/dangles": b"#!/bin/dangling\n",
    "/app/noexec": b"#!/bin/noexec\n",
    "/app/nested": b"#!/app/good\n",
    "/app/loop": b"#!/app/loop\n",
    "/app/static": b"#!/bin/static\n",
    "/app/none": b"#!\n",
    "/app/unended": b"#!/bin/sh",
    "/app/long": b"#!/" + b"./" * 65 + b"bin/sh\n",
    "/app/there": b"#!/" + b"./" * 58 + b"bin/sh\n",
    "/app/relative": b"#!gone/sh\n",
    "/app/pex": Archive("/usr/bin/env python3"),
    "/app/zip": Archive(),
    "/app/data": b"data",
}
NO_EXECUTE = {"/bin/noexec": 0o644, "/app/data": 0o644}
MODES = {**dict.fromkeys(FILES, 0o755), **NO_EXECUTE}
ROOT = root_of(FILES, MODES)

# Path -> why a kernel does not start it; nor does the libOS.
BY_ALL = {
    "/bin/none": "is not in the image",
    "/bin/bash/x": "is not in the image",
    "/opt/python3": "is not in the image",
    "/bin/dangling": "is a link to /opt/none, which is not in the image",
    "/bin": "is a directory",
    "/bin/noexec": "has no execute bit (its mode is 0644)",
    "/app/data": "has no execute bit (its mode is 0644)",
    "/bin/object": "is no program, its type is ET_REL",
    "/bin/musl": "needs the loader /lib/ld-musl-x86_64.so.1, which is not in the image",
    "/bin/strange-loader": "needs the loader /bin/text, which is no ELF file",
    "/bin/arm": "is for aarch64 (EM_AARCH64), not x86-64",
    "/bin/arm32": "is for arm (EM_ARM), not x86-64",
    "/bin/junk": "looks like an ELF file but is none: bad class",
    "/bin/text": "is neither an ELF program nor a script with a `#!` line",
    "/bin/empty": "is neither an ELF program nor a script with a `#!` line",
    "/app/zip": "is neither an ELF program nor a script with a `#!` line",
    "/app/absent": "starts with `#!/bin/zsh`, but /bin/zsh is not in the image",
    "/app/dangles": "but /bin/dangling is a link to /opt/none, which is not in the image",
    "/app/noexec": "but /bin/noexec has no execute bit (its mode is 0644)",
    "/app/crlf": "has a carriage return at the end of its `#!` line",
    "/app/none": "names no interpreter in its `#!` line",
    "/app/loop": "is started by scripts that start each other",
    "/app/relative": "starts with `#!gone/sh`, but gone/sh is not in the image",
}
# Path -> why only the libOS does not start it.
BY_LIBOS = {
    "/bin/static": "is not position-independent (ET_EXEC)",
    "/bin/no-pie": "is not position-independent (ET_EXEC)",
    "/bin/static-pie": "names no loader (PT_INTERP)",
    "/bin/i386": "is a 32-bit program",
    "/app/env": "starts with `#!/usr/bin/env python3`: the libOS takes all of it for a path",
    "/app/env-crlf": "starts with `#!/usr/bin/env python3`: the libOS takes all of it for a path",
    "/app/option": "starts with `#!/bin/sh -e`: the libOS takes all of it for a path",
    "/app/tab": "the libOS takes all of it for a path, the argument",
    "/app/trailing": "the libOS takes all of it for a path, the blank at its end",
    "/app/nested": "starts with `#!/app/good`, and /app/good is a script itself",
    "/app/static": "starts with `#!/bin/static`, but /bin/static is not position-independent",
    "/app/unended": "and the libOS wants a line end in the first 127 bytes",
    "/app/long": "and the libOS wants a line end in the first 127 bytes",
    "/app/pex": "starts with `#!/usr/bin/env python3`: the libOS takes all of it for a path",
}


def test_an_argument_is_what_is_told_of_the_libos() -> None:
    root = root_of({"/app/run": b"#!/usr/bin/env python3\n"}, {"/app/run": 0o755})
    found = refusal(root, "/app/run", libos=True)
    assert found is not None and found.code == "libos-program"
    found = refusal(root, "/app/run", libos=False)
    assert found is not None and found.code == "interpreter"


def test_a_line_of_bytes_that_are_no_text() -> None:
    path = "/" + "\udcff" * 100
    files: Files = {**FILES, path: PROGRAM, "/app/run": b"#!/" + b"\xff" * 100 + b"\n"}
    root = root_of(files, {"/app/run": 0o755, path: 0o755})
    assert refusal(root, "/app/run", libos=True) is None
    found = refusal(root_of({**files, path: b""}, {"/app/run": 0o755}), "/app/run", libos=True)
    assert found is not None and found.reason.isascii()


STARTED = ("/bin/bash", "/bin/sh", "/bin/relative", "/app/good", "/app/blank", "/app/there")


@pytest.mark.parametrize("path", BY_ALL)
def test_what_nothing_starts(path: str) -> None:
    for libos in (False, True):
        found = refusal(ROOT, path, libos=libos)
        assert found is not None
        assert found.code in ("program", "interpreter")
        assert BY_ALL[path] in found.reason
        assert str(found.problem(path)).startswith(f"{path} {found.reason}")


@pytest.mark.parametrize("path", BY_LIBOS)
def test_what_the_libos_alone_does_not_start(path: str) -> None:
    assert refusal(ROOT, path, libos=False) is None
    found = refusal(ROOT, path, libos=True)
    assert found is not None
    assert found.code == "libos-program"
    assert BY_LIBOS[path] in found.reason
    assert found.hint


@pytest.mark.parametrize("path", STARTED)
def test_what_both_start(path: str) -> None:
    assert refusal(ROOT, path, libos=False) is None
    assert refusal(ROOT, path, libos=True) is None


def test_the_loader_itself_is_let_through() -> None:
    assert refusal(ROOT, GLIBC_LOADER, libos=True) is None


def test_where_the_image_has_a_program_of_the_name() -> None:
    found = refusal(ROOT, "/opt/python3", libos=True)
    assert found is not None
    assert found.hint == "the image has /usr/bin/python3"
