from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.image.testing_write import OLD


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name, content in (("a", b"1" * 10), ("b", b"2" * 3_000_000), ("empty", b"")):
        (source / name).write_bytes(content)
        os.utime(source / name, ns=(OLD, OLD))
    os.utime(source, ns=(OLD, OLD))
    return source


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image"
