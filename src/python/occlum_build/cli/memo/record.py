"""Writes the memo of a run of `copy-bom`, for the next one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Callable, Optional

from occlum_build.cli.copy_bom_plan import ExistingImage, what_stands_at
from occlum_build.cli.memo import find
from occlum_build.cli.memo.left import next_tick, note_left
from occlum_build.cli.memo.looks import Variables, WatchedSources
from occlum_build.cli.memo.model import Memo
from occlum_build.cli.memo.store import store
from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.image.entries import DIR, FILE, SYMLINK
from occlum_build.image.plan import ImagePlan
from occlum_build.image.write import Written

_TYPES = {FILE: stat.S_IFREG, DIR: stat.S_IFDIR, SYMLINK: stat.S_IFLNK}
# Plans over what an image holds, None for nothing, whatever it holds.
Plan = Callable[[Optional[ExistingImage], Report], ImagePlan]


class Recorder:
    """Watches one run: its sources, its variables and what it finds in the image `root`.

    `paths` are those that the run looks up by itself.
    """

    def __init__(self, root: str, sysroot: str, paths: Iterable[str]) -> None:
        self.sources = WatchedSources(sysroot, root)
        self.variables = Variables()
        self._root = root
        # Not `abspath`: a link before a `..` counts.
        self._ways = [os.path.join(os.getcwd(), path) for path in paths]
        self._was_there = os.path.lexists(root)
        self._base: ExistingImage | None = None
        self._plan: Plan | None = None
        self._warnings: list[Problem] = []
        self._left_ns = 0

    def planned(self, base: ExistingImage | None, plan: Plan, report: Report) -> None:
        """The plan is made, and the report has what it told."""
        self._base, self._plan, self._warnings = base, plan, list(report.warnings)

    def written(self, result: Written) -> None:
        """The image is written, and nobody else has written to it yet."""
        # What was only compared was as it is from before on.
        is_new = result.written or result.removed
        self._left_ns = next_tick() if is_new else self.sources.started_ns

    def finish(self, plan: ImagePlan, told: str, others: Sequence[str]) -> None:
        """Write the memo, if all is surely known; `others` is what the image holds besides."""
        memo = Memo()
        memo.root, memo.told = self._root, told
        with suppress(OcclumError, OSError, OverflowError, UnicodeError):
            if not self._is_known(memo, plan):
                return
            self._note_entries(memo, plan)
            memo.of_none = not self._was_there and not self._found_any()
            memo.of_own = note_left(memo, plan.followed, others, self._left_ns) and (
                self._finds_the_same() or self._plans_the_same(plan)
            )
            store(memo, find.memo_file)

    def _is_known(self, memo: Memo, plan: ImagePlan) -> bool:
        missing = plan.searched.told - {one.name for one in plan.searched.elsewhere}
        if missing and os.environ.get("LD_LIBRARY_PATH"):
            return False  # along which they were looked for
        return self.sources.note_into(memo, self._ways) and self.variables.note_into(memo)

    def _note_entries(self, memo: Memo, plan: ImagePlan) -> None:
        place = {path: number for number, path in enumerate(memo.files)}
        for entry in plan.entries:
            source = self.sources.os_path(entry.source) if entry.source else ""
            memo.entries.append((entry.path, entry.target))
            known = place[source] if source and entry.kind != SYMLINK else -1
            memo.entry_numbers += (_TYPES[entry.kind] | entry.mode, entry.size, known)

    def _found_any(self) -> bool:
        return self._base is not None and any(self._base.found.values())

    def _finds_the_same(self) -> bool:
        """Would the same run find in the image what this one found, and so plan the same?"""
        if self._base is None:
            return True
        return not self._base.was_searched and all(
            what_stands_at(os.path.join(self._root, path)) == before
            for path, before in self._base.found.items()
        )

    def _plans_the_same(self, plan: ImagePlan) -> bool:
        """Does it plan the same over what it left, and look at nothing else?"""
        if self._plan is None:
            return False
        report, looked = Report(), self.sources.looked
        again = self._plan(ExistingImage(self._root), report)
        is_same = again == plan and not report.errors and report.warnings == self._warnings
        return is_same and self.sources.looked == looked
