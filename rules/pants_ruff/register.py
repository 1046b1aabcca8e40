"""`lint`, `fix` and `fmt` with a current ruff, whose command line Pants 2.17's backend predates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pants.backend.python.lint.ruff import skip_field, subsystem
from pants.backend.python.lint.ruff.subsystem import Ruff, RuffFieldSet
from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.core.goals.fix import FixResult, FixTargetsRequest
from pants.core.goals.fmt import FmtResult, FmtTargetsRequest
from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.util_rules.config_files import ConfigFiles, ConfigFilesRequest
from pants.core.util_rules.partitions import PartitionerType
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.fs import Digest, MergeDigests, Snapshot
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.util.logging import LogLevel
from pants.util.meta import classproperty


class RuffFixRequest(FixTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff check --fix"


class RuffFormatRequest(FmtTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff format"


class RuffLintRequest(LintTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff check"


@dataclass(frozen=True)
class RuffRun:
    """One run of ruff: the sub-command with its options, over all files of the snapshot."""

    command: tuple[str, ...]
    snapshot: Snapshot


@rule(level=LogLevel.DEBUG)
async def run_ruff(run: RuffRun, ruff: Ruff) -> FallibleProcessResult:
    ruff_pex, config_files = await MultiGet(
        Get(VenvPex, PexRequest, ruff.to_pex_request()),
        Get(ConfigFiles, ConfigFilesRequest, ruff.config_request(run.snapshot.dirs)),
    )
    input_digest = await Get(
        Digest, MergeDigests((run.snapshot.digest, config_files.snapshot.digest))
    )
    return await Get(
        FallibleProcessResult,
        VenvPexProcess(
            ruff_pex,
            argv=(*run.command, "--no-cache", *ruff.args, *run.snapshot.files),
            input_digest=input_digest,
            output_files=run.snapshot.files,
            description=f"Run ruff {' '.join(run.command)} on {len(run.snapshot.files)} files.",
            level=LogLevel.DEBUG,
        ),
    )


@rule(desc="Fix with ruff check", level=LogLevel.DEBUG)
async def ruff_fix(request: RuffFixRequest.Batch) -> FixResult:
    run = RuffRun(("check", "--fix"), request.snapshot)
    result = await Get(FallibleProcessResult, RuffRun, run)
    return await FixResult.create(request, result, strip_chroot_path=True)


@rule(desc="Format with ruff format", level=LogLevel.DEBUG)
async def ruff_format(request: RuffFormatRequest.Batch) -> FmtResult:
    result = await Get(FallibleProcessResult, RuffRun(("format",), request.snapshot))
    return await FmtResult.create(request, result, strip_chroot_path=True)


@rule(desc="Lint with ruff check", level=LogLevel.DEBUG)
async def ruff_lint(request: RuffLintRequest.Batch[RuffFieldSet, Any]) -> LintResult:
    sources = await Get(
        SourceFiles, SourceFilesRequest(field_set.source for field_set in request.elements)
    )
    result = await Get(FallibleProcessResult, RuffRun(("check",), sources.snapshot))
    return LintResult.create(request, result, strip_chroot_path=True)


def rules() -> Iterable[Any]:
    return (
        *collect_rules(),
        *RuffFixRequest.rules(),
        *RuffFormatRequest.rules(),
        *RuffLintRequest.rules(),
        *pex.rules(),
        *skip_field.rules(),
        *subsystem.rules(),
    )
