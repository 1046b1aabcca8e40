"""A Pants backend that logs what the engine did, for tests that count processes.

Appends JSON lines to the file that WORKUNIT_LOG names in the environment of ./pants. A process:
{"process": description, "argv": [...], "source": "Ran" | "HitLocally" | "HitRemotely"}; a rule:
{"rule": full name}. What pantsd remembers from an earlier run has no line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.rules import Get, Rule, collect_rules, rule
from pants.engine.streaming_workunit_handler import (
    WorkunitsCallback,
    WorkunitsCallbackFactory,
    WorkunitsCallbackFactoryRequest,
)
from pants.engine.unions import UnionRule

VARIABLE = "WORKUNIT_LOG"


def record_of(workunit: Mapping[str, Any]) -> dict[str, object] | None:
    """The line of a completed workunit; None for the engine's own."""
    metadata = workunit.get("metadata", {})
    if workunit["name"] == "process":
        if "definition" not in metadata:  # it lacked an input, and so was not run
            return None
        definition = json.loads(metadata["definition"])
        return {
            "process": definition["description"],
            "argv": definition["argv"],
            "source": metadata.get("source"),
        }
    return {"rule": workunit["name"]} if "." in workunit["name"] else None


@dataclass(frozen=True)
class LogCallback(WorkunitsCallback):
    path: str

    # The log must be complete when ./pants has ended.
    can_finish_async = False

    def __call__(self, *, completed_workunits: tuple[Mapping[str, Any], ...], **_: object) -> None:
        records = [record_of(workunit) for workunit in completed_workunits]
        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records if record)


class LogCallbackRequest(WorkunitsCallbackFactoryRequest):
    """Asks for the callback of this backend."""


@rule
async def make_callback(_: LogCallbackRequest) -> WorkunitsCallbackFactory:
    env = await Get(EnvironmentVars, EnvironmentVarsRequest([VARIABLE]))
    path = env.get(VARIABLE)
    return WorkunitsCallbackFactory(lambda: LogCallback(path) if path else None)


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(WorkunitsCallbackFactoryRequest, LogCallbackRequest)]
