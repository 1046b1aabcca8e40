"""Writes the memo of a run of `copy-bom`, for the next one."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Callable, Optional

from occlum_build.cli.copy_bom_plan import ExistingImage, what_stands_at
from occlum_build.cli.memo import find
from occlum_build.cli.memo.left import next_tick, note_left
from occlum_build.cli.memo.looks import Variables, WatchedSources
from occlum_build.cli.memo.model import Memo
from occlum_build.cli.memo.store import store
from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.files.shared_work import Meanwhile
from occlum_build.image.entries import DIR, FILE, SYMLINK
from occlum_build.image.plan import ImagePlan
from occlum_build.image.write import Written
from occlum_build.sources.model import SourceStat

_TYPES = {FILE: stat.S_IFREG, DIR: stat.S_IFDIR, SYMLINK: stat.S_IFLNK}
# Plans over what an image holds, None for nothing, whatever it holds.
Plan = Callable[[Optional[ExistingImage], Report], ImagePlan]


class _Unwritten(Exception):
    """It was asked for the content of what is not written yet."""


class _ImageOf(ExistingImage):
    """What an image will hold: the entries of a plan, over what it holds before."""

    def __init__(self, root: str, plan: ImagePlan) -> None:
        super().__init__(root)
        self._entries = {entry.path: entry for entry in plan.entries}

    def lstat(self, path: str) -> SourceStat | None:
        entry = self._entries.get(path)
        if entry is None:
            return super().lstat(path)
        return SourceStat(entry.kind, entry.mode if entry.kind == DIR else 0, target=entry.target)

    def source(self, path: str) -> str:
        if path in self._entries:
            raise _Unwritten
        return super().source(path)

    def named(self, name: str) -> Collection[str]:
        raise _Unwritten


class Recorder:
    """Watches one run: its sources, its variables and what it finds in the image `root`.

    `paths` are those that the run looks up by itself. To be used as a context manager.
    """

    def __init__(self, root: str, sysroot: str, paths: Iterable[str]) -> None:
        self.sources = WatchedSources(sysroot, root)
        self.variables = Variables()
        self._root = root
        # Not `abspath`: a link before a `..` counts.
        self._ways = [os.path.join(os.getcwd(), path) for path in paths]
        self._was_there = os.path.lexists(root)
        self._base: ExistingImage | None = None
        self._plan_over: Plan | None = None
        self._plan = ImagePlan(())
        self._warnings: list[Problem] = []
        self._again: Meanwhile | None = None
        self._memo: Memo | None = None
        self._left_ns = 0

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        if self._again is not None:
            self._again.__exit__(*error)

    def planned(
        self, plan: ImagePlan, base: ExistingImage | None, plan_over: Plan, report: Report
    ) -> None:
        """The plan is made, over `base`, and the report has what it told.

        While the image is checked and written, a copy of this process plans it once more.
        """
        self._plan, self._base, self._plan_over = plan, base, plan_over
        self._warnings = list(report.warnings)
        if base is None or base.was_searched or report.errors:
            return
        image = _ImageOf(self._root, plan)
        with suppress(OcclumError, OSError):
            if not self._finds_the_same(image.lstat):
                self._again = Meanwhile(lambda: (self._plans_the_same(image),))

    def written(self, result: Written) -> None:
        """The image is written, and nobody else has written to it yet."""
        before_ns = time.time_ns()
        self._memo = self._begun()  # now, while the clock goes on by itself
        # What was only compared was as it is from before on.
        is_new = result.written or result.removed
        self._left_ns = next_tick(before_ns) if is_new else self.sources.started_ns

    def finish(self, told: str, others: Sequence[str]) -> None:
        """Write the memo, if all is surely known; `others` is what the image holds besides."""
        memo = self._memo
        if memo is None:
            return
        memo.told = told
        with suppress(OcclumError, OSError, OverflowError, UnicodeError):
            memo.of_none = not self._was_there and not self._found_any()
            memo.of_own = (
                note_left(memo, self._plan.followed, others, self._left_ns) and self._is_of_own()
            )
            store(memo, find.memo_file)

    def _begun(self) -> Memo | None:
        """A memo with what led to the plan, and its entries; None where not all is surely known."""
        memo = Memo()
        memo.root = self._root
        with suppress(OcclumError, OSError, OverflowError, UnicodeError):
            if self._is_known(memo):
                self._note_entries(memo)
                return memo
        return None

    def _is_known(self, memo: Memo) -> bool:
        searched = self._plan.searched
        missing = searched.told - {one.name for one in searched.elsewhere}
        if missing and os.environ.get("LD_LIBRARY_PATH"):
            return False  # along which they were looked for
        return self.sources.note_into(memo, self._ways) and self.variables.note_into(memo)

    def _note_entries(self, memo: Memo) -> None:
        place = {path: number for number, path in enumerate(memo.files)}
        for entry in self._plan.entries:
            source = self.sources.os_path(entry.source) if entry.source else ""
            memo.entries.append((entry.path, entry.target))
            known = place[source] if source and entry.kind != SYMLINK else -1
            memo.entry_numbers += (_TYPES[entry.kind] | entry.mode, entry.size, known)

    def _found_any(self) -> bool:
        return self._base is not None and any(self._base.found.values())

    def _is_of_own(self) -> bool:
        """Would the same run over what this one left, which is as planned, plan the same?"""
        if self._finds_the_same(lambda path: what_stands_at(os.path.join(self._root, path))):
            return True
        found = self._again.found() if self._again is not None else None
        return bool(found[0]) if found else self._plans_the_same(ExistingImage(self._root))

    def _finds_the_same(self, look: Callable[[str], SourceStat | None]) -> bool:
        """Does who looks find in the image what this run found, and so plan the same?"""
        if self._base is None:
            return True
        return not self._base.was_searched and all(
            look(path) == before for path, before in self._base.found.items()
        )

    def _plans_the_same(self, image: ExistingImage) -> bool:
        """Does it plan the same over an image, and look at nothing else?"""
        if self._plan_over is None:
            return False
        report, looked = Report(), self.sources.looked
        again = self._plan_over(image, report)
        is_same = again == self._plan and not report.errors and report.warnings == self._warnings
        return is_same and self.sources.looked == looked
