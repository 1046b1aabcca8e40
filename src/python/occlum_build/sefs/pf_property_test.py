"""Protected files around the boundaries of their nodes: what was written is read, no less."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.errors import OcclumError
from occlum_build.sefs.keys import DerivedFileKeys, UserKey
from occlum_build.sefs.pf_crypto import (
    DecryptingOpener,
    EncryptingSealer,
    IntegrityOnly,
    Opener,
    Sealer,
)
from occlum_build.sefs.pf_format import (
    DATA_PER_MHT,
    GROUP_SIZE,
    INLINE_SIZE,
    NODE_SIZE,
    Layout,
)
from occlum_build.sefs.pf_reader import PfReader
from occlum_build.sefs.pf_writer import BytesSource, PfWriter

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

_KEY = UserKey(bytes(range(16)))
_NODES = st.sampled_from([0, 1, 2, DATA_PER_MHT - 1, DATA_PER_MHT, DATA_PER_MHT + 1])
_NEAR = st.builds(
    lambda nodes, off: max(0, INLINE_SIZE + nodes * NODE_SIZE + off), _NODES, st.integers(-2, 2)
)
SIZES = st.integers(0, 2) | st.integers(GROUP_SIZE - 2, GROUP_SIZE + 2) | _NEAR
Mode = Callable[[], "tuple[Sealer, Opener]"]


def integrity_only() -> tuple[Sealer, Opener]:
    return IntegrityOnly(), IntegrityOnly()


def encrypted() -> tuple[Sealer, Opener]:
    return EncryptingSealer(_KEY, DerivedFileKeys(b"key of the file")), DecryptingOpener(_KEY)


def content_of(size: int) -> bytes:
    """Every node another one."""
    return b"".join(number.to_bytes(4, "little") for number in range(size // 4 + 1))[:size]


def written(folder: str, content: bytes, sealer: Sealer) -> Path:
    path = Path(folder, "f")
    PfWriter().write(path, b"f", BytesSource(content), sealer)
    return path


@pytest.mark.parametrize("mode", [integrity_only, encrypted])
@given(SIZES, st.data())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_what_was_written_is_read(mode: Mode, size: int, data: st.DataObject) -> None:
    sealer, opener = mode()
    content = content_of(size)
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, content, sealer)
        assert path.stat().st_size == Layout(size).host_length
        with PfReader(path, opener) as reader:
            assert reader.size == size
            assert reader.read_all() == content
            start = data.draw(st.integers(0, size))
            length = data.draw(st.integers(0, size - start))
            assert reader.read(start, length) == content[start : start + length]


@pytest.mark.parametrize("mode", [integrity_only, encrypted])
@given(SIZES, st.data())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_one_bit_that_differs_is_told(mode: Mode, size: int, data: st.DataObject) -> None:
    """In the node of the metadata only what is used counts: what follows is padding."""
    sealer, opener = mode()
    content = content_of(size)
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, content, sealer)
        file = bytearray(path.read_bytes())
        position = data.draw(st.integers(0, len(file) - 1))
        file[position] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(file)
        try:
            with PfReader(path, opener) as reader:
                assert reader.read_all() == content
                assert position < NODE_SIZE
        except OcclumError as error:
            assert error.code.startswith("pf-")
