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


def test_longest_path_of_a_run_and_runs_without_one() -> None:
    start = b"/usr/share/nodejs/"
    data = start + b"a.js/b.js.map\0" + start + b".js\0" + start + start + b"c.js"
    due = ("/usr/share/nodejs//usr/share/nodejs/c.js", "/usr/share/nodejs/a.js/b.js")
    assert data_paths(io.BytesIO(data), "libnode.so.108") == due


def test_a_library_full_of_what_begins_as_a_path() -> None:
    """Where each of them was followed to the end, this took a day."""
    assert data_paths(io.BytesIO(b"/usr/share/nodejs/" * 100_000), "libnode.so.108") == ()
