"""Errors of the system that name what is written: write(2) names nothing, and others a part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def at(target: Path | str) -> Iterator[None]:
    """An OSError of the body is one at `target`, which a user knows, not at a temporary path."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
