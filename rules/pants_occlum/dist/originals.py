"""Contents for a tree, read from files that have to be what they are said to be."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from occlum_build.files.handles import CREATE, OPEN_DIR, remove_entry
from pants_occlum.dist.entries import TreeEntry

# Without O_NONBLOCK, a fifo that took the place of a file would hang us.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
COPY_BYTES = 1 << 20


class OtherContentError(Exception):
    """A file has not the content that is wanted."""


def chunks_of(source: bytes, size: int, offset: int | None) -> Iterator[bytes]:
    """A whole file that should have so many bytes, or with an offset so many bytes of it.

    Raises OtherContentError where it cannot be read, is no regular file, or has more.
    """
    try:
        with open(os.open(source, READ), "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OtherContentError
            file.seek(offset or 0)
            while chunk := file.read(min(size, COPY_BYTES)):
                yield chunk
                size -= len(chunk)
            if offset is None and file.read(1):
                raise OtherContentError
    except OSError as error:
        raise OtherContentError from error


@contextmanager
def own_directory(fd: int, prefix: bytes) -> Iterator[int]:
    """A new directory in another one, for new files: one at a time can make them in each."""
    name = prefix + b"-%d" % threading.get_ident()
    os.mkdir(name, 0o700, dir_fd=fd)
    try:
        own = os.open(name, OPEN_DIR, dir_fd=fd)
        try:
            yield own
        finally:
            os.close(own)
    finally:
        with suppress(FileNotFoundError):
            remove_entry(fd, name)


def write_slice(
    source: int, entry: TreeEntry, offset: int, own: int, fd: int | None, name: bytes
) -> os.stat_result | None:
    """Write a file that is a part of another one; None for other bytes.

    It is made in the directory `own`, and moved to `fd` from there.
    """
    try:
        content = os.pread(source, entry.size, offset)
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        return None
    new = os.open(name, CREATE, entry.mode, dir_fd=own)
    try:
        while content:
            content = content[os.write(new, content) :]
        found = os.fstat(new)
        if stat.S_IMODE(found.st_mode) != entry.mode:  # for the umask, or the write
            os.fchmod(new, entry.mode)
            found = os.fstat(new)
        if fd is None:
            return found
        os.rename(name, name, src_dir_fd=own, dst_dir_fd=fd)
        return os.lstat(name, dir_fd=fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=own)
        raise
    finally:
        os.close(new)
