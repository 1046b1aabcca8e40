"""Large values without pauses: Python's cyclic garbage collector, held back for a while."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def quiet_gc() -> Iterator[None]:
    """Hold the collector back while many objects are made that all stay.

    In a pantsd with millions of objects each of its passes takes a second, and 50,000 entries of
    an image set off several. Not to be held across an `await`.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# Once a process: in pantsd a later run has garbage of the runs before it, which is to be collected.
@cache
def keep_loaded(what: str) -> None:
    """Have the collector leave alone, from now on, what the process has, as modules or rules stay.

    Its passes at the end of a process took this apart for half as long as the plugin took to load.
    """
    gc.freeze()
