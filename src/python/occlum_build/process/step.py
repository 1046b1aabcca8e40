"""The steps as processes: relative paths in argv, JSON and files on the border."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence

from occlum_build.errors import OcclumError
from occlum_build.files.source import ignore_ctime
from occlum_build.shown import escaped

CONTENT_MISSING = "host-content"  # the code of an error
EXIT_FAILURE, EXIT_USAGE, EXIT_CONTENT_MISSING = 1, 2, 3


def run_step(
    step: Callable[..., None], arguments: Sequence[str], usage: str, *, optional: int = 0
) -> int:
    """Call the step with the arguments that `usage` names, the last `optional` of them or not.

    The exit code: 0; 1 and the problems on standard error, or 3 where a file of the host is not
    what it should be; 2 for a wrong number of arguments.
    """
    count = len(usage.split()) - 1
    if not count - optional <= len(arguments) <= count:
        sys.stderr.write(f"usage: python -m {usage}\n")
        return EXIT_USAGE
    ignore_ctime()
    gc.disable()  # what is made of 50,000 files stays until the process ends
    try:
        step(*arguments)
    except OcclumError as error:
        sys.stderr.write(f"{error}\n")
        is_missing = error.problems[0].code == CONTENT_MISSING
        return EXIT_CONTENT_MISSING if is_missing else EXIT_FAILURE
    except OSError as error:
        sys.stderr.write(escaped(f"{error.filename}: {error.strerror or error}") + "\n")
        return EXIT_FAILURE
    finally:
        gc.enable()
    return 0
