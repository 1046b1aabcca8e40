"""Whatever the bytes are, a reader reads them or says what is wrong: OcclumError and nothing else.

Each reader is given its seeds, its kept corpus and all that fuzzing ever found against it
(`fuzzing/`), in bounded memory.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from hostile.fuzzing.corpus import CORPUS, FINDS, finds, read_corpus
from hostile.fuzzing.limits import MEMORY_BYTES, SECONDS_AN_INPUT
from hostile.fuzzing.readers import READERS
from hostile.fuzzing.seeds import seeds_of
from occlum_build.errors import OcclumError

_tried: dict[str, int] = {}


class TookTooLongError(BaseException):
    """No Exception, which a reader might take for one of its own."""


@pytest.fixture(autouse=True)
def bounds() -> Iterator[None]:
    """Those of fuzzing: memory beyond what the process has, a signal for what does not end."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    handler = signal.signal(signal.SIGALRM, _end)
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise TookTooLongError(f"more than {SECONDS_AN_INPUT} s")


def inputs_of(reader: str) -> Iterator[tuple[str, bytes]]:
    """Inputs by name."""
    for number, content in enumerate(seeds_of(reader)):
        yield f"seed {number}", content
    for number, content in enumerate(read_corpus(reader)):
        yield f"member {number} of the corpus", content
    for path in finds(reader):
        yield path.name, path.read_bytes()


@pytest.mark.parametrize("reader", READERS)
def test_only_occlum_errors(reader: str) -> None:
    wrong = []
    for name, content in inputs_of(reader):
        signal.alarm(SECONDS_AN_INPUT)
        try:
            READERS[reader](content)
        except OcclumError as error:
            if not all(one.code and one.message for one in error.problems):
                wrong.append(f"{name}: an error that says nothing")
        except (Exception, TookTooLongError) as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        signal.alarm(0)
        _tried[reader] = _tried.get(reader, 0) + 1
    assert wrong == []


def test_each_reader_has_a_kept_corpus() -> None:
    assert {path.name for path in CORPUS.iterdir()} == {f"{name}.tar.xz" for name in READERS}
    assert all(read_corpus(reader) for reader in READERS)
    assert {path.name for path in FINDS.glob("*")} <= READERS.keys()


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("inputs of readers", f"{sum(_tried.values())} of {len(_tried)} readers")
    assert _tried.keys() == READERS.keys()
