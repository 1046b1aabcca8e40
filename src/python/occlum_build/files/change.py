"""Files and directories that are made beside their places and take them together, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.journal import carry_out, is_decided
from occlum_build.files.known_names import KnownNames
from occlum_build.files.locks import locked
from occlum_build.files.moves import Move, look
from occlum_build.files.recovery import sweep
from occlum_build.files.stages import Stage, make_stage
from occlum_build.files.targets import at

# What a file system answers that has no hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class _Part:
    """Something in a stage and the place that it is for, which may have to be free."""

    path: Path
    target: Path
    must_be_new: bool


class Change:
    """`with Change() as change:` make the parts, then `commit`; without it nothing happens.

    What a run leaves that is killed before or after its commit, the next one in that directory
    removes; one that is killed within, the next one completes (files.journal).
    """

    def __init__(self) -> None:
        self._stages: dict[Path, Stage] = {}
        self._parts: dict[Path, _Part] = {}
        self._swept: set[Path] = set()
        self.names = KnownNames()  # in which errors are told

    def __enter__(self) -> Change:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self.names.tell(error)
        # What could not be undone is left to the next run.
        is_left = any(is_decided(part.path.parent) for part in [*self._parts.values()][:1])
        for stage in self._stages.values():
            stage.close() if is_left else stage.remove()

    def stage_in(self, directory: Path) -> Path:
        """The stage in this directory, where there is room for whatever; raises OSError."""
        real = Path(os.path.realpath(directory))
        self._sweep(real)
        if real not in self._stages:
            with at(directory):
                self._stages[real] = make_stage(real)
            self.names.add(self._stages[real].path, directory)
        return self._stages[real].path

    def part(self, target: Path, *, must_be_new: bool = False) -> Path:
        """Where to make what is for `target`. Raises FileExistsError, and OSError at `target`.

        Raises OcclumError `output-same` for a second part with one target.
        """
        with at(target):
            real = Path(os.path.realpath(target.parent), target.name)
            self._sweep(real.parent)
            if must_be_new:
                _check_free(real)
            stage = self.stage_in(real.parent)
        if real in self._parts:
            message = "both outputs have this name"
            raise OcclumError("output-same", message, place=Place(str(target)))
        path = stage / f"part{len(self._parts)}"
        self._parts[real] = _Part(path, target, must_be_new)
        self.names.add(path, target)
        return path

    def _sweep(self, directory: Path) -> None:
        """First, and whatever comes of this change: a place may be free only then, or taken."""
        if directory not in self._swept:
            sweep(directory)
            self._swept.add(directory)

    def write(
        self, target: Path, data: bytes, mode: int | None = None, *, must_be_new: bool = False
    ) -> None:
        """Make a file of these permission bits, or of 0666 less the umask; raises as `part`."""
        with at(target):
            if target.exists() and not target.is_file():
                raise OSError(errno.EINVAL, "not a regular file")
        path = self.part(target, must_be_new=must_be_new)
        with at(target):
            created = 0o666 if mode is None else 0o600
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(path, flags, created), "wb") as file:
                file.write(data)
                if mode is not None:
                    os.fchmod(file.fileno(), mode)

    def commit(self) -> None:
        """Put all parts in their places; what was there before is removed with the stages.

        Raises FileExistsError for a place that must be free, OSError at a target, OcclumError
        `locked`; then all places are as they were.
        """
        parts = list(self._parts.items())
        if len(parts) == 1 and not _is_directory(parts[0][0]):
            with at(parts[0][1].target):
                _put(*parts[0])
            return
        with ExitStack() as stack:
            for directory in sorted(self._stages):
                stack.enter_context(locked(directory))
            moves = [_move(real, part) for real, part in parts]
            stack.enter_context(_held_signals())
            try:
                carry_out(moves)
            except OSError as error:  # at a target, or at a journal, which nobody knows
                known = {str(real): str(part.target) for real, part in parts}
                where = known.get(str(error.filename), str(parts[0][1].target))
                raise OSError(error.errno, error.strerror, where) from error


def _move(real: Path, part: _Part) -> Move:
    with at(part.target):
        if part.must_be_new:
            _check_free(real)
        old, new = look(real), look(part.path)
        if new is None:
            raise FileNotFoundError(errno.ENOENT, "was not made")
        if old is not None and _is_directory(real) and not _is_directory(part.path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return Move(part.path.parent, part.path.name, real.name, new, old)


def _put(real: Path, part: _Part) -> None:
    """One rename is all or nothing, without a journal."""
    if part.must_be_new and not _is_directory(part.path):
        try:
            os.link(part.path, real)  # unlike a rename it replaces nothing
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
    if part.must_be_new:
        _check_free(real)
    try:
        os.rename(part.path, real)
    except OSError as error:
        # A directory replaces nothing but an empty one.
        if part.must_be_new and error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        raise


def _check_free(path: Path) -> None:
    if look(path) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _is_directory(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


@contextmanager
def _held_signals() -> Iterator[None]:
    """Signals that end us wait until all is in place."""
    import signal  # most changes are one rename, and need it not

    ends_us = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends_us)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
