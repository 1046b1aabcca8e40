"""Writes an image that is not there by a plan that a memo knows, without planning anew."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from occlum_build.cli.memo.find import tell
from occlum_build.cli.memo.left import next_tick, note_left
from occlum_build.cli.memo.model import ENTRY_FIELDS, FIELDS, Memo
from occlum_build.cli.memo.store import store
from occlum_build.cli.start import Stopped, clean_up_when_stopped, end_at_once_again, finish
from occlum_build.errors import OcclumError, Place
from occlum_build.files.source import Identity
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.write import ImageWriter, Written

_TYPE, _KINDS = 0o170000, {0o040000: DIR, 0o100000: FILE, 0o120000: SYMLINK}


class _Plan(NamedTuple):
    entries: Sequence[Entry]


class _Sources:
    """The files of a memo, by their paths on this machine."""

    def __init__(self, memo: Memo) -> None:
        self._numbers = memo.file_numbers
        self._places = {path: number * FIELDS for number, path in enumerate(memo.files)}

    def os_path(self, path: str) -> str:
        return path

    def identity(self, path: str) -> Identity | None:
        place = self._places.get(path)
        if place is None:
            return None
        device, inode, _, size, mtime, ctime = self._numbers[place : place + FIELDS]
        return Identity(device, inode, size, mtime, ctime)

    def known_sha256(self, path: str) -> str:
        """Not asked for: a file whose hash is due is the one whose hash was right."""
        return ""


def write_image(memo: Memo, file: str) -> int | None:
    """The exit code; None where it cannot be written so: the usual run does it, or tells why."""
    gc.disable()  # what is made here all stays
    try:
        clean_up_when_stopped()
        try:
            moment_ns = _write(_Plan(_entries(memo)), ImageWriter(memo.root, _Sources(memo)))
        except (OcclumError, OSError):
            end_at_once_again()
            return None
        with suppress(OSError, OverflowError, UnicodeError):
            if note_left(memo, (), (), moment_ns):
                store(memo, file)
    except KeyboardInterrupt as stop:
        return stop.exit_code if isinstance(stop, Stopped) else 130
    finish()
    tell(memo.told)
    return 0


def _entries(memo: Memo) -> list[Entry]:
    origin = Origin(Place(""))
    columns = [memo.entry_numbers[one::ENTRY_FIELDS] for one in range(ENTRY_FIELDS)]
    sources = [*memo.files, ""]  # the last is that of no source
    return [
        Entry(path, _KINDS[mode & _TYPE], origin, mode & ~_TYPE, sources[place], size, target)
        for (path, target), mode, size, place in zip(memo.entries, *columns)
    ]


def _write(plan: _Plan, writer: ImageWriter) -> int:
    """The time up to which nobody else can have written to the image, as `next_tick` has it."""
    moment_ns = 0

    def finished(_: Written) -> None:
        nonlocal moment_ns
        moment_ns = next_tick(time.time_ns())

    if not os.isatty(2):
        writer.write(plan, finished=finished)
        return moment_ns
    from occlum_build.cli.output import Progress

    progress = Progress("copy", sum(entry.size for entry in plan.entries if entry.kind == FILE))
    writer.write(plan, progress=lambda entry: progress.advance(entry.size), finished=finished)
    progress.close()
    return moment_ns
