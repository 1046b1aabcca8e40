"""Two copied directories that are merged: of one name, a file here, a directory there."""

from __future__ import annotations

from occlum_build.errors import OcclumError, Place, Report
from occlum_build.image.conflicts import Overrides, check_kind
from occlum_build.image.entries import DIR, Entry
from occlum_build.image.tree import ImageTree


class Merging:
    """Checks entries of copied directories against those of others, and of the last run.

    `copies` are the places of the copies of directories so far.
    """

    def __init__(self, tree: ImageTree, overrides: Overrides) -> None:
        self._tree, self._overrides = tree, overrides
        self.copies: set[Place] = set()
        # What cannot take the place of a directory from before, if none comes there again.
        self._blocked: dict[str, OcclumError] = {}

    def replace(self, before: Entry, entry: Entry, path: str) -> None:
        """Check an entry that takes the place of a planned one of another kind."""
        if before.origin.place not in self.copies or not _may_merge(self._tree, entry):
            check_kind(self._tree, entry, path)
        self._overrides.note_merge(before, entry, path)

    def add(self, entry: Entry, path: str) -> None:
        """Check an entry against the image from before.

        What stands in the way of a file may be of the last run, in which a directory of another
        copied one took the place of this file.
        """
        try:
            check_kind(self._tree, entry, path)
        except OcclumError as error:
            if entry.kind == DIR:
                raise
            self._blocked[entry.path] = error

    def report_blocked(self, report: Report) -> None:
        """Tell of copied entries that stand where the image has a directory from before."""
        for path, error in self._blocked.items():
            if not self._tree.is_dir(path):
                report.errors.extend(error.problems)


def _may_merge(tree: ImageTree, entry: Entry) -> bool:
    """May an entry of one copied directory take the place of another kind of another one's?

    As with rsync a directory may, and what is none may where the directory is empty.
    """
    return entry.kind == DIR or not tree.has_below(entry.path)
