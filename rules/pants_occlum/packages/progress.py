"""What users see of downloads: how much there is to do, and now and then how far it is."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import Lock, Thread
from typing import Callable, TypeVar

from occlum_build.packages.mirrors import Progress
from pants_occlum.logs import logger_of

logger = logger_of(__name__)
SECONDS = 10.0
T = TypeVar("T")


def megabytes(count: int) -> str:
    """A count of bytes as people read it."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} KB"


def with_progress(what: str, fetch: Callable[[Progress], T], seconds: float = SECONDS) -> T:
    """What a download returns or raises, while each so many seconds the log is told how far it is.

    Pants shows what the threads of rules log, and nothing of others: so the download has a thread
    of its own, and this one waits for it.
    """
    counts, lock = [0, 0], Lock()

    def progress(came: int, expected: int) -> None:
        with lock:
            counts[0] += came
            counts[1] += expected

    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(fetch(progress))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    while not done.done():
        try:
            done.exception(timeout=seconds)
        except NotYet:
            of = f" of {megabytes(counts[1])}" if counts[1] else ""
            logger.info("Downloaded %s%s: %s", megabytes(counts[0]), of, what)
    return done.result()
