"""What tool processes come to, with errors of ours: of an interpreter that a worker lacks.

For processes of `prepare_tool_process`, in place of Pants' own two rules.
"""

from __future__ import annotations

from dataclasses import replace

from pants.engine.process import (
    FallibleProcessResult,
    Process,
    ProcessExecutionFailure,
    ProcessResult,
)

from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import execute_process, execute_process_or_raise
from pants_occlum.process.execution import find_execution
from pants_occlum.process.tool_process import INTERPRETER

# What a shell exits with where it cannot run a command; the library's modules never do.
_NOT_RUN = (126, 127)
# Up to Pants 2.18 the shell script that links caches for a remote process makes the directory above
# each: that of `.py` is the sandbox, for which it has an empty name.
_OF_PANTS = (b"mkdir: cannot create directory", b"mkdir: can't create directory")


async def run_tool(process: Process) -> FallibleProcessResult:
    """What a process comes to. Raises OcclumError `environment` where nothing could start it."""
    result = await execute_process(process, **implicitly())
    if result.exit_code == 0:
        return result
    stderr = without_noise(result.stderr)
    if is_not_started(result.exit_code, stderr):
        execution = await find_execution(**implicitly())
        raise execution.no_interpreter(process.description, _shown(stderr))
    return replace(result, stderr=stderr)


async def run_tool_or_raise(process: Process) -> ProcessResult:
    """The result of a process that may not fail; raises as `run_tool` does, and what Pants does."""
    try:
        return await execute_process_or_raise(**implicitly({process: Process}))
    except ProcessExecutionFailure as error:
        stderr = without_noise(error.stderr)
        if is_not_started(error.exit_code, stderr):
            execution = await find_execution(**implicitly())
            raise execution.no_interpreter(process.description, _shown(stderr)) from None
        noise, cleaned = (one.decode("utf-8", "replace") for one in (error.stderr, stderr))
        error.stderr = stderr
        error.args = (str(error).replace(noise, cleaned) if noise else str(error),)
        raise


def without_noise(stderr: bytes) -> bytes:
    """Standard error without what Pants' own script says of the sandbox, which is there."""
    lines = stderr.splitlines(keepends=True)
    return b"".join(line for line in lines if not _is_noise(line))


def _is_noise(line: bytes) -> bool:
    text = line.replace("\u2018".encode(), b"'").replace("\u2019".encode(), b"'")
    return any(one + b" ''" in text for one in _OF_PANTS)


def is_not_started(exit_code: int, stderr: bytes) -> bool:
    """Whether a shell, or the worker, says that there is no interpreter to start."""
    return exit_code in _NOT_RUN and INTERPRETER[0].encode() in stderr


def _shown(stderr: bytes) -> str:
    return stderr.decode("utf-8", "replace").strip()
