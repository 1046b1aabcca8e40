from __future__ import annotations

import os

from occlum_build.bom.names import is_utf8


def test_names_of_the_file_system() -> None:
    for name, good in ((b"a", True), ("ü€😀".encode(), True), (b"a\xff", False), (b"\xc3", False)):
        assert is_utf8(os.fsdecode(name)) is good
