"""Files of an archive from its mirrors, tried in order, into a cache that is by SHA-256.

A mirror that does not answer, or answers with something else, twice is left out from then on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from threading import Event, Lock
from typing import Any, BinaryIO, NamedTuple

from occlum_build.errors import OcclumError, Problem
from occlum_build.files.bounds import ARCHIVE_RELEASE_BYTES, DOWNLOAD_BYTES, shown_bytes
from occlum_build.files.parts import new_part
from occlum_build.files.reading import chunks_of
from occlum_build.packages.urls import Wanted, check_mirror, location
from occlum_build.shown import Lines

STRIKES = 2
# So many bytes more have come, or fewer where they were the wrong ones; and so many more will.
Progress = Callable[[int, int], None]


def untold(_came: int, _expected: int) -> None:
    """A Progress that nobody looks at."""


class Failure(NamedTuple):
    """Why a mirror did not give a file; `where` is "" where there is no mirror.

    is_strike: it is the fault of the mirror itself. is_other: it gave something else.
    """

    where: str
    reason: str
    is_strike: bool = False
    is_other: bool = False


class Nowhere(Exception):
    """No mirror has a file; `failures` tells why."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__()
        self.failures = failures


class _Miss(Exception):
    """A mirror did not give a file."""

    def __init__(self, reason: str, *, is_strike: bool = True, is_other: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_strike, self.is_other = reason, is_strike, is_other


class Mirrors:
    """The mirrors of one archive in one run; may be used by several threads.

    Raises OcclumError `packages-mirror` for what is no mirror.
    """

    def __init__(
        self,
        templates: Sequence[str],
        progress: Progress = untold,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        for template in templates:
            check_mirror(template)
        self._templates = tuple(templates)
        self._strikes = dict.fromkeys(self._templates, 0)
        self._progress, self._environment = progress, environment
        self._lock = Lock()
        self._stopped = Event()
        self._parts: set[Path] = set()

    @cached_property
    def _opener(self) -> Any:
        from occlum_build.packages.http_files import make_opener  # ssl and more

        return make_opener(self._environment)

    def text(self, wanted: Wanted, check: Callable[[bytes], Any]) -> Any:
        """A file of which no digest is known, as `check` makes something of it.

        What `check` refuses by an OcclumError is a mirror's fault: the next one is asked. Raises
        the first such error, or Nowhere.
        """
        failures: list[Failure] = []
        refused: list[OcclumError] = []
        for template, where in self._places(wanted, failures):
            try:
                data = b"".join(self._chunks(where, wanted, ARCHIVE_RELEASE_BYTES))
                return check(data)
            except OcclumError as error:
                refused.append(error)
                failures.append(Failure(template, error.problems[0].message, True))
            except _Miss as miss:
                failures.append(Failure(template, miss.reason, miss.is_strike, miss.is_other))
            self._count(failures[-1])
        if refused:
            raise refused[0]
        raise Nowhere(failures)

    def file(self, wanted: Wanted, target: Path) -> list[Failure]:
        """Write a file of a known digest; failures, one at least, where it is not to be had."""
        failures: list[Failure] = []
        for template, where in self._places(wanted, failures):
            try:
                self._write(where, wanted, target)
                return []
            except _Miss as miss:
                failures.append(Failure(template, miss.reason, miss.is_strike, miss.is_other))
            self._count(failures[-1])
        return failures

    def _places(self, wanted: Wanted, failures: list[Failure]) -> Iterator[tuple[str, str]]:
        if not self._templates:
            failures.append(Failure("", "no mirror is named"))
        for template in self._templates:
            with self._lock:
                is_out = self._strikes[template] >= STRIKES
            where = location(template, wanted)
            if is_out:
                failures.append(Failure(template, f"left out after {STRIKES} failures"))
            elif not where:
                missing = "a date" if "{snapshot}" in template else "a SHA-256"
                failures.append(Failure(template, f"needs {missing}, which is not known here"))
            else:
                yield template, where

    def _count(self, failure: Failure) -> None:
        with self._lock:
            self._strikes[failure.where] += failure.is_strike

    def _write(self, where: str, wanted: Wanted, target: Path) -> None:
        """Raises _Miss, and OSError at the target."""
        digest, count = hashlib.sha256(), 0
        # Not files.change.Change, which is for one thread a directory.
        part = None
        try:
            with self._new(target.parent) as file:
                part = Path(file.name)
                limit = wanted.size if wanted.size >= 0 else DOWNLOAD_BYTES
                for chunk in self._chunks(where, wanted, limit):
                    digest.update(chunk)
                    count += len(chunk)
                    file.write(chunk)
                    self._advance(len(chunk))
                if count != wanted.size >= 0:
                    raise _Miss(f"has {count:,} bytes, not {wanted.size:,}", is_other=True)
                if digest.hexdigest() != wanted.sha256:
                    raise _Miss(f"other bytes, sha256 {digest.hexdigest()}", is_other=True)
                file.flush()
                os.replace(part, target)
            self._parts.discard(part)
        except BaseException as error:
            self._advance(-count)
            self._remove([part] if part else [])
            if isinstance(error, OSError):  # nobody knows the name of a part
                raise OSError(error.errno, error.strerror, str(target)) from error
            raise

    def _new(self, directory: Path) -> BinaryIO:
        with self._lock:  # so that none comes behind a stop
            if self._stopped.is_set():
                raise _Miss("stopped", is_strike=False)
            part = new_part(directory)
            self._parts.add(Path(part.name))
            return part

    def _remove(self, parts: Iterable[Path]) -> None:
        with self._lock:
            for part in list(parts):
                self._parts.discard(part)
                with suppress(OSError):
                    os.unlink(part)

    def stop(self) -> None:
        """End what is being written, and leave no part of it, whoever is still waited for."""
        self._stopped.set()
        self._remove(self._parts)

    def expect(self, size: int) -> None:
        """Say that so many bytes more are to come, -1 where that is not known."""
        with self._lock:
            self._progress(0, max(size, 0))

    def _advance(self, count: int) -> None:
        with self._lock:
            self._progress(count, 0)

    def _chunks(self, where: str, wanted: Wanted, limit: int) -> Iterator[bytes]:
        """No more than `limit` bytes, as they come; raises _Miss."""
        left = limit
        with closing(self._source(where, wanted)) as chunks:
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    allowed = f"{limit:,} bytes" if wanted.size >= 0 else shown_bytes(limit)
                    raise _Miss(f"has more than {allowed}", is_other=True)
                if self._stopped.is_set():
                    raise _Miss("stopped", is_strike=False)
                yield chunk

    def _source(self, where: str, wanted: Wanted) -> Any:
        return _of_file(where) if where.startswith("/") else self._of_url(where, wanted.size)

    def _of_url(self, url: str, size: int) -> Iterator[bytes]:
        from occlum_build.packages.http_files import NotThere, Unreachable, chunks_of_url

        try:
            yield from chunks_of_url(self._opener, url, size)
        except NotThere as error:
            raise _Miss(str(error), is_strike=False) from None
        except Unreachable as error:
            raise _Miss(str(error)) from None


def _of_file(path: str) -> Iterator[bytes]:
    try:
        yield from chunks_of(path)
    except OcclumError as error:
        is_missing = isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError))
        reason = "not there" if is_missing else error.problems[0].message
        raise _Miss(reason, is_strike=not is_missing) from None


def gone(
    wanted: Wanted,
    failures: Iterable[Failure],
    *,
    code: str = "package-gone",
    also: Sequence[str] = (),
    hint: str = "",
) -> Problem:
    """The problem of a file that no mirror has. also: other places that were asked, `who: why`."""
    digest = f", sha256 {wanted.sha256}" if wanted.sha256 else ""
    first = f"{wanted.what or wanted.path} ({wanted.path}{digest}) is nowhere to be had"
    lines = [f"{one.where}: {one.reason}" if one.where else one.reason for one in failures]
    lines += also
    return Problem(code, Lines(first, *(f"  {line}" for line in lines)), hint=hint)
