"""The archive of stand-ins in testprojects/toolchain is what its maker makes."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

from toolchain.make_toolchain import make_archive, make_toolchain

ARCHIVE = Path("testprojects/toolchain/stand_in.tar.xz")


def test_archive_is_what_the_maker_makes(tmp_path: Path) -> None:
    # The modes of directories are those that the umask leaves.
    before = os.umask(0o022)
    try:
        make_toolchain(tmp_path / "system")
        make_archive(tmp_path / "system", tmp_path / "made.tar.xz")
    finally:
        os.umask(before)
    # Another version of liblzma may compress the same archive to other bytes.
    made, kept = (
        lzma.decompress(path.read_bytes()) for path in (tmp_path / "made.tar.xz", ARCHIVE)
    )
    assert made == kept
