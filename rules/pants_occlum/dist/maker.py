"""Files of a tree that somebody makes in place: not from the store, nor as copies of others."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Awaitable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Callable

from occlum_build.files.handles import remove_entry
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.errors import dist_errors
from pants_occlum.dist.pieces import batches
from pants_occlum.dist.tree import TreeWriter
from pants_occlum.process.quiet_gc import quiet_gc

# So much may stand in dist twice, as files take their places when others of their group are made.
MADE_BYTES = 2 << 30


@dataclass(frozen=True)
class Maker:
    """Makes files of some contents, given by SHA-256.

    `make` is awaited with the path of a directory and the entries of files that are wanted in that,
    under the last parts of their paths. It compares what it makes, and raises OcclumError.
    """

    contents: Collection[str]
    make: Callable[[str, Sequence[TreeEntry]], Awaitable[None]]


async def make_files(
    writer: TreeWriter,
    entries: Sequence[TreeEntry],
    maker: Maker,
    turn: Callable[[], AbstractContextManager[None]],
) -> list[TreeEntry]:
    """The entries, sorted, that the maker does not make, when it has made the others."""
    wanted = [entry for entry in entries if entry.sha256 in maker.contents]
    for folder, group in groupby(wanted, key=lambda entry: posixpath.dirname(entry.path)):
        for files in batches(group, MADE_BYTES):
            with ExitStack() as opened:
                with turn():
                    directory, take = opened.enter_context(_made_outside(writer, folder, files))
                try:
                    await maker.make(directory, files)
                except Exception:  # whatever is met where another owner removed the directory
                    with turn():
                        raise
                with turn(), quiet_gc():
                    take()
    with turn():
        writer.place()
    return [entry for entry in entries if entry.sha256 not in maker.contents]


@contextmanager
def _made_outside(
    writer: TreeWriter, folder: str, entries: Iterable[TreeEntry]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The path of a directory for files, and what gives them their places when all are there.

    After an error in the body nothing stays of them.
    """
    with dist_errors(writer.path(folder)), writer.for_files(folder) as (own, fd):
        try:
            path = os.readlink(f"/proc/self/fd/{own}")
            yield path, partial(_take, writer, folder, entries, own, fd)
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell
                for name in os.listdir(own):
                    remove_entry(own, os.fsencode(name))
            raise


def _take(
    writer: TreeWriter, folder: str, entries: Iterable[TreeEntry], own: int, fd: int | None
) -> None:
    for entry in entries:
        name = posixpath.basename(entry.path).encode("utf-8")
        with dist_errors(writer.path(entry.path)):
            if fd is not None:
                os.rename(name, name, src_dir_fd=own, dst_dir_fd=fd)
            found = os.lstat(name, dir_fd=own if fd is None else fd)
        writer.written(folder, name, found, entry)
