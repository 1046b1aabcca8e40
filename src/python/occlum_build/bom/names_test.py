from __future__ import annotations

import os

from occlum_build.bom.names import is_utf8, printable


def test_names_of_the_file_system() -> None:
    for name, good in ((b"a", True), ("ü€😀".encode(), True), (b"a\xff", False), (b"\xc3", False)):
        assert is_utf8(os.fsdecode(name)) is good


def test_printable() -> None:
    assert printable(os.fsdecode(b"\xc3\xbc\xff")) == "ü\\udcff"
    assert printable("plain") == "plain"
