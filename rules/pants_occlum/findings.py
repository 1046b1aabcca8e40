"""What checks find of a target is told once a run, in each run, whatever is made of the target."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from pants.engine.addresses import Address
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import StringSequenceField, Target
from pants.option.global_options import GlobalOptions
from pants.util.strutil import help_text

from occlum_build.checks.allowed import parse_allowed, sort_out
from occlum_build.errors import NOTE, WARNING, OcclumError, Problem, first_told
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, rule
from pants_occlum.invalid import invalid_field
from pants_occlum.logs import logger_of
from pants_occlum.problems import InvalidOption
from pants_occlum.subsystem import OcclumSubsystem

# Pants' help reads these hints at run time, when Python 3.9 cannot join types with `|`.
_RawTexts = Optional[Iterable[str]]
_Texts = Optional[tuple[str, ...]]

logger = logger_of(__name__)

_LEVELS = {WARNING: logging.WARNING, NOTE: logging.INFO}


class AllowField(StringSequenceField):
    alias = "allow"
    help = help_text(
        """
        Codes of checks (docs/checks.md) whose findings you have looked at: they are counted and no
        longer shown. With a reason, which is shown: `allow=["runtime-nss: nobody asks for users"]`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        try:
            parse_allowed(value or ())
        except OcclumError as error:
            raise invalid_field(f"The {cls.alias!r} field in target {address}: {error}") from None
        return value


@dataclass(frozen=True)
class Findings:
    """What is to be told of a target, and its errors, which are raised when that is told."""

    address: Address
    told: tuple[Problem, ...]
    errors: tuple[Problem, ...] = ()

    def raise_errors(self) -> None:
        """Raise one OcclumError of all errors, if there are any."""
        if self.errors:
            raise OcclumError.of(self.errors)


@dataclass(frozen=True)
class Told:
    pass


class ToldInRun:
    """What the run at hand has told; there is one a scheduler, each of which counts its runs."""

    def __init__(self) -> None:
        self._run_id: RunId | None = None
        self._findings: set[Findings] = set()

    def is_first(self, run_id: RunId, findings: Findings) -> bool:
        if run_id != self._run_id:
            self._run_id, self._findings = run_id, set()
        is_first = findings not in self._findings
        self._findings.add(findings)
        return is_first


@rule
async def told_in_run() -> ToldInRun:
    return ToldInRun()


# Runs once in each session, also where all else comes from memory or a cache.
@_uncacheable_rule
async def tell(
    findings: Findings, run_id: RunId, global_options: GlobalOptions, told: ToldInRun
) -> Told:
    if not told.is_first(run_id, findings):  # it runs again where files change meanwhile
        return Told()
    for problem in first_told(findings.told):
        level = _LEVELS[problem.severity]
        # pantsd itself logs at the level that it was started with, whatever a run asks for.
        if level >= global_options.level.level:
            logger.log(level, "%s: %s", findings.address, problem)
    return Told()


def allowed_of(target: Target, occlum: OcclumSubsystem) -> dict[str, str]:
    """The codes that a target or an option allows, with the reasons."""
    try:
        codes = parse_allowed(occlum.allow)
    except OcclumError as error:
        raise InvalidOption(f"The option `allow` in [occlum]: {error}") from None
    return {**codes, **parse_allowed(target.get(AllowField).value or ())}


def findings_of(target: Target, problems: Iterable[Problem], occlum: OcclumSubsystem) -> Findings:
    """What is left of the problems of a target that neither it nor an option allows."""
    errors, told = sort_out(problems, allowed_of(target, occlum))
    return Findings(target.address, tuple(told), tuple(errors))


def rules() -> Iterable[Rule]:
    return collect_rules()
