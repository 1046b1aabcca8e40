from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.checks.libgcc import libgcc_problems
from occlum_build.checks.testing import root_of
from occlum_build.errors import NOTE
from occlum_build.image.testing import SHARED_OBJECT, Files, library, program

UNWINDS = replace(program("libc.so.6"), unwinds=True)
IMAGE: Files = {"/lib/libc.so.6": SHARED_OBJECT, "/bin/app": UNWINDS}


def test_a_program_that_may_end_its_threads() -> None:
    (found,) = libgcc_problems(root_of(IMAGE))
    assert (found.code, found.severity) == ("libgcc", NOTE)
    assert "named by /bin/app: " in found.message
    assert found.hint.startswith("copy libgcc_s.so.1 to /lib ")


@pytest.mark.parametrize(
    "files",
    [
        {**IMAGE, "/lib/libgcc_s.so.1": library()},
        {**IMAGE, "/lib/libgcc_s.so.1": "-> libgcc_s-12.so.1", "/lib/libgcc_s-12.so.1": library()},
        {**IMAGE, "/bin/app": program("libc.so.6")},
        {"/bin/app": UNWINDS},  # of another libc, or without one
        {"/lib/libc.so.6": SHARED_OBJECT, "/lib/libpthread.so.0": UNWINDS},
    ],
)
def test_images_that_are_right(files: Files) -> None:
    assert list(libgcc_problems(root_of(files))) == []
