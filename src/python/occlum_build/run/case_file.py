"""A test of an image as its process is told it: CASE.json of occlum_build.run.case."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from occlum_build.run.expected import Expected

EXIT_SKIPPED = os.EX_TEMPFAIL


@dataclass(frozen=True)
class Case:
    """What is run in an image, and what is expected. `services` have the argv of each.

    `problem` is why nothing can be run: the test fails with it. `skipped` is why it need not pass
    here; `may_be_forbidden` skips it where the machine lets nobody run an image.
    """

    args: tuple[str, ...]
    expected: Expected
    stdin: str = ""
    env: tuple[str, ...] = ()
    services: tuple[tuple[str, ...], ...] = ()
    wait_for: tuple[str, ...] = ()
    timeout: int | None = None
    scratch: tuple[str, ...] = ()  # directories that are empty when it starts
    memory_bytes: int | None = None
    problem: str = ""
    skipped: str = ""
    may_be_forbidden: bool = False


def case_json(case: Case) -> bytes:
    """The case as canonical JSON: all that its result depends on besides the image."""
    return json.dumps(asdict(case), sort_keys=True, ensure_ascii=True).encode()


def case_of(value: Mapping[str, Any]) -> Case:
    """The inverse of `case_json`."""
    return Case(
        **{
            **value,
            "expected": Expected(**value["expected"]),
            "services": tuple(tuple(one) for one in value["services"]),
        }
    )
