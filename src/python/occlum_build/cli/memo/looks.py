"""What a run of `copy-bom` looks at, with the stat data that it had before."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from occlum_build.cli.memo.clock import Numbers, file_clock_ns, is_settled, stat_fields
from occlum_build.cli.memo.find import hashed_values
from occlum_build.cli.memo.model import Memo
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.sources.model import DIR, FILE, SourceStat
from occlum_build.sources.os import OsSources

# What another machine's clock, whose file system is mounted, may be behind.
_CLOCKS_DIFFER_NS = 100_000_000


class WatchedSources(OsSources):
    """Sources that know at the end what was looked at."""

    def __init__(self, sysroot: str, image: str) -> None:
        super().__init__(sysroot, image=image)
        self.started_ns = file_clock_ns()
        self._listed: dict[str, os.stat_result] = {}
        self._was_read: set[str] = set()

    @property
    def looked(self) -> tuple[int, ...]:
        """How much was looked at; what is looked at once more does not count."""
        known = len(self._stats), len(self._listed), len(self._was_read)
        return *known, len(self._facts), len(self._hashes)

    def names(self, path: str) -> Sequence[str]:
        if path not in self._listed:
            try:
                self._listed[path] = os.lstat(self.os_path(path))
            except OSError:
                self._was_read.add(path)  # and so there is no memo
        return super().names(path)

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes:
        self._was_read.add(path)
        return super().read(path, limit)

    def note_into(self, memo: Memo, ways: Iterable[str]) -> bool:
        """Write into a memo what was looked at, and all that leads to `ways`.

        False where that may have changed since the run began. May raise OSError.
        """
        looks = _Looks(self.started_ns - _CLOCKS_DIFFER_NS)
        known = self._stats.keys()
        if not known >= self._was_read or not known >= self._facts.keys() | self._hashes.keys():
            return False
        for path in self._listed.keys() - known:
            self._stats[path] = SourceStat(DIR)
        for path, found in self._stats.items():
            os_path = self.os_path(path)
            if found is None:
                looks.absent[os_path] = None
            elif found.kind == FILE:
                identity = self.identity(path)
                if identity is None:
                    return False
                device, inode, size, mtime, ctime = identity
                numbers = device, inode, stat.S_IFREG | found.mode, size, mtime, ctime
                looks.files[os_path] = numbers
            elif path in self._listed:
                looks.files[os_path] = stat_fields(self._listed[path])
            elif found.kind == DIR:
                looks.others[os_path] = stat.S_IFDIR | found.mode
            elif not looks.look_again(os_path, found):
                return False
        for path in _modules():
            looks.look_at_file(path)
        for way in ways:
            looks.look_at_way(way, memo.root)
        return looks.note_into(memo)


class _Looks:
    """By path what was found there."""

    def __init__(self, moment_ns: int) -> None:
        self.moment_ns = moment_ns
        self.files: dict[str, Numbers] = {}
        self.others: dict[str, int] = {}
        self.absent: dict[str, None] = {}

    def look_again(self, path: str, before: SourceStat) -> bool:
        """Look at what is no file and no directory; is it as it was?"""
        found = os.lstat(path)
        self.files[path] = stat_fields(found)
        target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
        return (stat.S_IMODE(found.st_mode), target) == (before.mode, before.target)

    def look_at_file(self, path: str) -> None:
        self.files[path] = stat_fields(os.lstat(path))

    def look_at_way(self, path: str, end: str) -> None:
        """Look at all that leads to a path, links included, but not at `end` itself."""
        pending, here = path.split("/")[::-1], "/"
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            here = os.path.normpath(os.path.join(here, name))
            if here == end:
                continue
            found = os.lstat(here)
            if not stat.S_ISLNK(found.st_mode):
                self.others[here] = found.st_mode
                continue
            self.files[here] = stat_fields(found)
            links += 1
            if links > 40:
                raise OSError
            target = os.readlink(here)
            pending += target.split("/")[::-1]
            here = "/" if target.startswith("/") else os.path.dirname(here)

    def note_into(self, memo: Memo) -> bool:
        if not all(is_settled(numbers[-1], self.moment_ns) for numbers in self.files.values()):
            return False
        others = {path: one for path, one in self.others.items() if path not in self.files}
        memo.files, memo.others = list(self.files), list(others)
        memo.file_numbers = [one for numbers in self.files.values() for one in numbers]
        memo.other_modes = list(others.values())
        memo.absent = list(self.absent)
        return True


def _modules() -> Iterator[str]:
    """The files that the program itself was read from, but for Python's own."""
    library = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    yield f"{library}/bom/base.yaml"
    own = os.path.dirname(os.__file__) + "/"
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and (not file.startswith(own) or "/site-packages/" in file):
            yield file


class Variables(Mapping[str, str]):
    """The environment, which knows at the end which variables were asked for."""

    def __init__(self) -> None:
        self._asked = dict.fromkeys(("LD_LIBRARY_PATH", "OCCLUM_LOG_LEVEL"))
        self._is_listed = False

    def __getitem__(self, name: str) -> str:
        self._asked[name] = None
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        self._is_listed = True
        return iter(os.environ)

    def __len__(self) -> int:
        self._is_listed = True
        return len(os.environ)

    def note_into(self, memo: Memo) -> bool:
        """Write the variables into a memo, their values hashed; False where all were asked for."""
        memo.variables = list(self._asked)
        memo.values = hashed_values(memo.variables)
        return not self._is_listed
