"""The plugin's files as Pants loaded them: tools run these, and a run with others is an error.

A process of Pants imports the rules once. pantsd ends when it sees that they have changed, but it
sees no file that `pants_ignore` or a .gitignore hides and none outside of the build root, it misses
a change now and then, and for about a second after one it still takes new runs. So we look, too.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

    from pants.engine.internals.session import RunId

PACKAGES = ("occlum_build", "pants_occlum")
_SUFFIXES = (".html", ".json", ".py", ".yaml")
# Where pantsd's files are by default below the build root: until Pants 2.18, and since 2.19.
_SUBPROCESS_DIRS = (".pids", ".pants.d/pids")

_Stat = tuple[int, int, int, int]


class PluginChanged(Exception):
    """Files of the plugin are not those that the running rules were loaded from."""


class LoadedSources:
    """The files of packages, without tests, as they were when this was made.

    contents: what each file held, by its path from the directory that its package is in. Files in
    an archive are taken not to change.
    """

    def __init__(self, packages: Sequence[str]) -> None:
        self._on_disk: dict[str, tuple[Path, _Stat]] = {}
        self._changed: tuple[str, ...] = ()
        self._run: RunId | None = None
        self._lock = threading.Lock()
        contents = {}
        for package in packages:
            for path, file in _source_files(importlib.resources.files(package), package):
                if isinstance(file, Path):
                    self._on_disk[path] = (file, _stat(file))
                contents[path] = file.read_bytes()
        self.contents: Mapping[str, bytes] = contents

    def start_run(self) -> None:
        """Look for changes. What changes later in the run, as by `fmt`, is for the next one."""
        with self._lock:
            self._run, self._changed = None, self._look()

    def require_unchanged(self, run_id: RunId) -> None:
        """Raise PluginChanged if a file had changed when the run began.

        To be called from rules that are not memoised. `--loop` makes many runs of one start.
        """
        with self._lock:
            if self._run is not None and self._run != run_id:
                self._changed = self._look()
            self._run = run_id
            changed = self._changed
        if changed:
            raise PluginChanged(_message(changed))

    def _look(self) -> tuple[str, ...]:
        found = tuple(str(file) for path, (file, _) in self._on_disk.items() if self._differs(path))
        if found:
            _let_pantsd_restart()
        return found

    def _differs(self, path: str) -> bool:
        file, known = self._on_disk[path]
        try:
            stat = _stat(file)
            if stat == known:
                return False
            if file.read_bytes() != self.contents[path]:
                return True
        except OSError:
            return True
        self._on_disk[path] = (file, stat)
        return False


def _source_files(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        path = f"{name}/{file.name}"
        if file.name.startswith(".") or file.name == "__pycache__":
            continue
        if file.name.endswith(_SUFFIXES):
            if not file.name.endswith("_test.py"):
                yield path, file
        elif file.is_dir():
            yield from _source_files(file, path)


def _stat(file: Path) -> _Stat:
    found = os.stat(file)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _let_pantsd_restart() -> None:
    """Have the next run start another pantsd, if this is one, as after a change of its options.

    Without its fingerprint Pants' client takes a pantsd for one that has other options.
    """
    # The working directory of pantsd is the build root.
    for folder in _SUBPROCESS_DIRS:
        for file in Path.cwd().glob(f"{folder}/*/pantsd/pid"):
            with contextlib.suppress(OSError):
                if file.read_text().strip() == str(os.getpid()):
                    file.with_name("fingerprint").unlink()


def _message(changed: Sequence[str]) -> str:
    others = len(changed) - 1
    more = f" and {others} more of the plugin's files" if others else ""
    return (
        f"{changed[0]}{more} changed after Pants had loaded the plugin pants-occlum: the old one "
        "would go on computing.\n"
        "  hint: run it again, which loads the new one. If this comes after each upgrade, "
        "[GLOBAL].pants_ignore in pants.toml hides the plugin from pantsd: name its folder in "
        f"build_ignore instead. If it does not go away, delete {' or '.join(_SUBPROCESS_DIRS)} in "
        "the build root, so that pantsd stops (docs/troubleshooting.md of pants-occlum)"
    )


LOADED = LoadedSources(PACKAGES)
