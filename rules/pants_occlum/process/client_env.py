"""Environment variables of whoever runs Pants, wherever processes run.

Pants' own EnvironmentVars are those of the environment of a target, and so the workers'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.env_vars import CompleteEnvironmentVars
from pants.engine.internals.session import SessionValues
from pants.engine.rules import Rule
from pants.util.frozendict import FrozenDict

from pants_occlum.compat.by_name import collect_rules, rule


@dataclass(frozen=True)
class ClientEnvRequest:
    """Names of variables, or `NAME=value` for what one is to be."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class ClientEnv:
    """Those of the variables that are set."""

    values: FrozenDict[str, str]


@rule
async def client_env(request: ClientEnvRequest, session: SessionValues) -> ClientEnv:
    found = session[CompleteEnvironmentVars].get_subset(request.names)
    return ClientEnv(FrozenDict(sorted(found.items())))


def rules() -> Iterable[Rule]:
    return collect_rules()
