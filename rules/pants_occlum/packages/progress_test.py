from __future__ import annotations

import logging
from threading import Event

import pytest

from occlum_build.packages.mirrors import Progress
from pants_occlum.packages.progress import with_progress


def test_how_far_it_is_is_told_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    told = Event()

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    def fetch(progress: Progress) -> str:
        progress(0, 113_400_000)
        progress(34_000_000, 0)
        assert told.wait(60)
        return "done"

    handler = Telling()
    logger = logging.getLogger("pants_occlum.packages.progress")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, logger.name):
            assert with_progress("packages of a:b", fetch, 0.1) == "done"
    finally:
        logger.removeHandler(handler)
    messages = [one.getMessage() for one in caplog.records]
    assert "Downloaded 34 MB of 113 MB: packages of a:b" in messages


def test_its_error_is_that_of_the_download(caplog: pytest.LogCaptureFixture) -> None:
    def fetch(progress: Progress) -> None:
        raise OSError(28, "full")

    with caplog.at_level(logging.INFO), pytest.raises(OSError, match="full"):
        with_progress("x", fetch)
    assert caplog.records == []
