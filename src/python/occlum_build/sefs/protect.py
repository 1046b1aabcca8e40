"""Single integrity-only protected files, as Occlum uses one for its configuration (section 3.1)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from occlum_build.errors import OcclumError
from occlum_build.sefs.hostio import READ_FLAGS, changing, opened, os_errors, place_of
from occlum_build.sefs.pf_crypto import IntegrityOnly
from occlum_build.sefs.pf_format import clean_file_name
from occlum_build.sefs.pf_reader import PfReader
from occlum_build.sefs.pf_writer import BytesSource, DescriptorSource, PfWriter

PROTECTED_SUFFIX = ".protected"


def protect_file(path: Path) -> tuple[Path, bytes]:
    """Write `<path>.protected`, replacing it; its path and its MAC (16 bytes)."""
    target = path.with_name(path.name + PROTECTED_SUFFIX)
    name = clean_file_name(str(target))
    flags = READ_FLAGS | os.O_NONBLOCK  # a fifo is not waited for
    with changing(target) as change, opened(path, flags) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OcclumError("sefs-io", "is not a regular file", place=place_of(path))
        temporary = change.part(target)
        source = DescriptorSource(descriptor, path)
        mac = PfWriter().write(temporary, name, source, IntegrityOnly())
        source.check_unchanged()
    return target, mac


def protect_bytes(data: bytes, name: str) -> tuple[bytes, bytes]:
    """The content and the MAC (16 bytes) of the protected file `<name>.protected`."""
    import tempfile  # takes longer to load than `protect` runs

    clean = clean_file_name(name + PROTECTED_SUFFIX)
    with os_errors(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        mac = PfWriter().write_to(file.fileno(), clean, BytesSource(data), IntegrityOnly())
        return file.read(), mac


def show_file(path: Path) -> Iterator[memoryview]:
    """The content of an integrity-only protected file in pieces, each checked before it is given.

    A piece is valid until the next is asked for. Raises what PfReader raises.
    """
    with PfReader(path, IntegrityOnly()) as reader:
        yield from reader.chunks()


def file_mac(path: Path) -> bytes:
    """The MAC (16 bytes) of an integrity-only protected file; only node 0 is checked."""
    with PfReader(path, IntegrityOnly()) as reader:
        return reader.mac
