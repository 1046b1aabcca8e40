"""Runs ./pants with the backend workunit_log, and reads what the engine did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pants_runner import PantsResult, PantsRunner

BACKENDS = "testprojects/pants_backends"
LIBRARY = "occlum_build."


@dataclass(frozen=True)
class EngineProcess:
    """A process that the engine wanted; source: Ran, HitLocally or HitRemotely."""

    description: str
    module: str
    source: str


@dataclass(frozen=True)
class RecordedRun:
    """A run of ./pants, and the processes of the library in it."""

    result: PantsResult
    processes: tuple[EngineProcess, ...]
    rules: tuple[str, ...]

    @property
    def ran(self) -> list[str]:
        """The descriptions of the processes that no cache answered."""
        return [process.description for process in self.processes if process.source == "Ran"]


def run_recorded(
    pants: PantsRunner, *args: str, env: Mapping[str, str] | None = None, exit_code: int | None = 0
) -> RecordedRun:
    """Run ./pants and expect that end of it, None for any; BACKENDS must be among its parts."""
    log = pants.top / "workunits.jsonl"
    log.unlink(missing_ok=True)
    result = pants.run(
        f"--pythonpath=+['{pants.build_root / BACKENDS}']",
        "--backend-packages=+['workunit_log']",
        *args,
        env={**(env or {}), "WORKUNIT_LOG": str(log)},
    )
    if exit_code is not None:
        result.expect(exit_code)
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    processes = [
        EngineProcess(record["process"], module, record["source"])
        for record in records
        for module in record.get("argv", ())
        if module.startswith(LIBRARY)
    ]
    rules = [record["rule"] for record in records if "rule" in record]
    return RecordedRun(result, tuple(processes), tuple(rules))
