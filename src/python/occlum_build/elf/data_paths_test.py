from __future__ import annotations

import io

from occlum_build.elf.data_paths import data_paths

PATHS = b"/usr/share/nodejs/acorn/dist/acorn.js\0node:/usr/share/nodejs/cjs/lexer.js\0/usr/x.js"


def test_paths_in_the_data_of_a_library() -> None:
    found = ("/usr/share/nodejs/acorn/dist/acorn.js", "/usr/share/nodejs/cjs/lexer.js")
    assert data_paths(io.BytesIO(PATHS), "libnode.so.108") == found
    for start in range((1 << 20) - 60, (1 << 20) + 5, 7):  # across the border of two chunks
        assert data_paths(io.BytesIO(bytes(start) + PATHS), "libnode.so.108") == found


def test_other_libraries_are_not_read() -> None:
    stream = io.BytesIO(PATHS)
    assert data_paths(stream, "libc.so.6") == data_paths(stream, "") == ()
    assert stream.tell() == 0
