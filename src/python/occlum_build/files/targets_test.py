from __future__ import annotations

import errno
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.targets import at
from occlum_build.files.testing import files_of_at_most


def test_what_write_does_not_name(tmp_path: Path) -> None:
    part, too_large = tmp_path / "part", pytest.raises(OSError, match="File too large")
    with files_of_at_most(9), too_large as raised, at("place"), open(part, "xb") as file:
        file.write(b"0123456789")
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, "place")


def test_another_path() -> None:
    with pytest.raises(FileNotFoundError) as raised, at(Path("place")):
        raise FileNotFoundError(errno.ENOENT, "gone", "part", None, "other")
    assert (raised.value.filename, raised.value.filename2) == ("place", None)


def test_other_errors() -> None:
    with pytest.raises(OcclumError, match="x"), at("place"):
        raise OcclumError("x", "x")
