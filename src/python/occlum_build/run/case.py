"""One test of an image: a program is run in it, and what it does is compared.

Process: `python -m occlum_build.run.case ROOT ENTRIES.json TABLE.json CASE.json`. ROOT is the image
without what TABLE completes it with (occlum_build.process.complete), ENTRIES has its modes
(occlum_build.image.tar), and CASE what occlum_build.run.case_file writes. It exits with 1 and tells
why where something is not as expected, and with 75 where the test is skipped, which no cache keeps.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import NoReturn

from occlum_build.errors import OcclumError
from occlum_build.files.trees import remove_tree
from occlum_build.process.complete import complete_tree
from occlum_build.process.step import run_step
from occlum_build.run.case_file import EXIT_SKIPPED, Case, case_of
from occlum_build.run.expected import Found, differences, quoted
from occlum_build.run.forbidden import FORBIDDEN
from occlum_build.run.inside import run_inside
from occlum_build.run.own_tree import own_tree
from occlum_build.run.server import MOST_BYTES, Plan, as_compared, serve
from occlum_build.run.spec import IN_PLACE, Mount, Program, RootSpec
from occlum_build.shown import escaped

_OUTPUTS = ".outputs"


def run_case(root: str, case: Case) -> list[str]:
    """Run it in an image that may be written to; lines that tell what is not as expected.

    Raises OcclumError `run` where this machine does not let it run, or a program is not started.
    """
    os.mkdir(_OUTPUTS)
    with ExitStack() as stack:
        streams = _Streams(stack)
        plan = Plan(
            program=(_program(case, case.args), streams.of("program", case.stdin)),
            services=tuple(
                (_program(case, args), streams.of(f"service{number}", ""))
                for number, args in enumerate(case.services)
            ),
            wait_for=case.wait_for,
            timeout=case.timeout,
            files=tuple(sorted(case.expected.files)),
        )
        mounts = tuple(Mount(target) for target in case.scratch)
        spec = RootSpec(root, mounts, IN_PLACE, has_network=False)
        told = run_inside(spec, lambda inside: serve(inside, plan), kept=streams.opened).value
    found = Found(
        told["exit"], _text("program", "stdout"), _text("program", "stderr"), told["files"]
    )
    lines = [f"{escaped(case.args[0])}: {escaped(told['why'])}"] if told["why"] else []
    lines += differences(case.expected, found)
    return [*lines, *_of_services(case, told["services"])] if lines else []


def _of_services(case: Case, codes: Sequence[int | None]) -> list[str]:
    """What services have printed, and how those ended that did."""
    lines: list[str] = []
    for number, (args, code) in enumerate(zip(case.services, codes)):
        state = "was running" if code is None else f"had ended with {code}"
        lines.append(f"the service {escaped(args[0])} {state}")
        for name in ("stdout", "stderr"):
            text = _text(f"service{number}", name)
            lines += quoted(f"its {name}", text) if text else []
    return lines


@dataclass
class _Streams:
    """Opens the files that standard streams are, and closes them."""

    stack: ExitStack
    opened: list[int] = field(default_factory=list)

    def of(self, name: str, stdin: str) -> tuple[int, int, int]:
        with open(_path(name, "stdin"), "x", encoding="utf-8", newline="") as file:
            file.write(stdin)
        return (
            self._open(_path(name, "stdin"), os.O_RDONLY),
            self._open(_path(name, "stdout"), os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            self._open(_path(name, "stderr"), os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        )

    def _open(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self.stack.callback(os.close, descriptor)
        self.opened.append(descriptor)
        return descriptor


def _program(case: Case, args: tuple[str, ...]) -> Program:
    return Program(args, case.env, case.memory_bytes)


def _path(name: str, stream: str) -> str:
    return os.path.join(_OUTPUTS, f"{name}.{stream}")


def _text(name: str, stream: str) -> str:
    """What was printed, as far as it is compared."""
    with open(_path(name, stream), "rb") as file:
        return as_compared(file.read(MOST_BYTES + 1))


def _step(root: str, entries: str, table: str, case_file: str) -> None:
    with open(case_file, encoding="utf-8") as text:
        case = case_of(json.load(text))
    if case.skipped:
        _end([case.skipped], EXIT_SKIPPED)
    if case.problem:
        _end([case.problem], 1)
    complete_tree(root, table)
    with open(entries, encoding="utf-8") as text:
        own_tree(root, json.load(text))
    try:
        lines = run_case(root, case)
    except OcclumError as error:
        if case.may_be_forbidden and error.code == FORBIDDEN:
            _end([str(one) for one in error.problems], EXIT_SKIPPED)
        raise
    finally:
        with suppress(OSError):  # whatever modes a program leaves, the sandbox can be removed
            remove_tree(root)
    if lines:
        _end(lines, 1)


def _end(lines: Sequence[str], code: int) -> NoReturn:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    raise SystemExit(code)


if __name__ == "__main__":
    usage = "occlum_build.run.case ROOT ENTRIES.json TABLE.json CASE.json"
    sys.exit(run_step(_step, sys.argv[1:], usage))
