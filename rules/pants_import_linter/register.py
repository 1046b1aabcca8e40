"""`lint` with import-linter, over the whole of the packages that its contracts are about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pants.backend.python.subsystems.python_tool_base import PythonToolBase
from pants.backend.python.target_types import ConsoleScript
from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.core.goals.lint import LintFilesRequest, LintResult
from pants.core.util_rules.partitions import Partitions
from pants.engine.fs import Digest, PathGlobs, Paths
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.option.option_types import SkipOption, StrListOption
from pants.util.logging import LogLevel

CONFIG = "pyproject.toml"


class ImportLinter(PythonToolBase):
    options_scope = "import-linter"
    name = "import-linter"
    help = "Checks which module imports which (https://import-linter.readthedocs.io)."

    default_version = "import-linter==2.5.2"
    default_main = ConsoleScript("lint-imports")
    # Pants wants one; it does not exist, as `install_from_resolve` is set.
    default_lockfile_resource = ("pants_import_linter", "import-linter.lock")
    register_interpreter_constraints = True

    skip = SkipOption("lint")
    sources = StrListOption(help="Globs of the files of the root packages.")
    search_path = StrListOption(help="The directories that the root packages lie in.")


class ImportLinterRequest(LintFilesRequest):
    tool_subsystem = ImportLinter


@rule
async def partition(
    request: ImportLinterRequest.PartitionRequest, linter: ImportLinter
) -> Partitions[str, Any]:
    """All that is to be linted, or nothing: a part of a package says nothing about the whole."""
    if linter.skip:
        return Partitions()
    paths = await Get(Paths, PathGlobs((CONFIG, *linter.sources)))
    if set(request.files).isdisjoint(paths.files):
        return Partitions()
    # One element makes one batch.
    return Partitions.single_partition((CONFIG,))


@rule(desc="Lint with import-linter", level=LogLevel.DEBUG)
async def lint_imports(
    request: ImportLinterRequest.Batch[str, Any], linter: ImportLinter
) -> LintResult:
    linter_pex, sources = await MultiGet(
        Get(VenvPex, PexRequest, linter.to_pex_request()),
        Get(Digest, PathGlobs((CONFIG, *linter.sources))),
    )
    result = await Get(
        FallibleProcessResult,
        VenvPexProcess(
            linter_pex,
            argv=("--config", CONFIG, "--no-cache"),
            input_digest=sources,
            extra_env={"PEX_EXTRA_SYS_PATH": ":".join(linter.search_path)},
            description="Run import-linter.",
            level=LogLevel.DEBUG,
        ),
    )
    # It prints colours to whatever there is.
    plain = replace(result, stdout=re.sub(rb"\x1b\[[0-9;]*m", b"", result.stdout))
    return LintResult.create(request, plain)


def rules() -> Iterable[Any]:
    return (*collect_rules(), *ImportLinterRequest.rules(), *pex.rules())
