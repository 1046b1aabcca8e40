"""`test` for `occlum_image_test`: a program is run in its image by a process, which is cached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from os.path import lexists
from typing import Any, ClassVar

from pants.core.goals.test import TestFieldSet, TestRequest, TestResult, TestSubsystem
from pants.engine.fs import AddPrefix, CreateDigest, FileContent, MergeDigests
from pants.engine.process import FallibleProcessResult, Process, ProcessCacheScope
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest
from pants.engine.unions import UnionRule

from occlum_build.checks.enclave import entry_points_of
from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError
from occlum_build.image.tar import entries_json
from occlum_build.process.complete import TABLE
from occlum_build.run.case_file import EXIT_SKIPPED, Case, case_json
from occlum_build.run.expected import Expected
from occlum_build.run.program import check_program
from occlum_build.run.settings import RunSettings, settings_of
from occlum_build.sgx.config import check, parse_json
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    EnvironmentField,
    add_prefix,
    create_digest,
    digest_to_snapshot,
    merge_digests,
    resolve_target,
)
from pants_occlum.compat.results import test_result
from pants_occlum.image.nodes import ImageContentRequest, image_content, try_image_process
from pants_occlum.image.planned import look_into
from pants_occlum.invalid import invalid_target
from pants_occlum.logs import logger_of
from pants_occlum.one_address import named_target
from pants_occlum.problems import InvalidEnclave, InvalidImage, enclave_errors
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool
from pants_occlum.run import target_types as fields
from pants_occlum.run.options import OcclumImageTestSubsystem
from pants_occlum.run.runnable import CONFIG, Runnable, runnable_of

logger = logger_of(__name__)

_ROOT, _ENTRIES, _CASE = "root", "entries.json", "case.json"


@dataclass(frozen=True)
class ImageTestFieldSet(TestFieldSet):
    required_fields = (fields.TestImageField, fields.TestArgsField)

    timeout: fields.ImageTestTimeoutField
    environment: EnvironmentField

    @classmethod
    def opt_out(cls, tgt: Target) -> bool:
        return tgt.get(fields.SkipImageTestsField).value


class ImageTestRequest(TestRequest):
    tool_subsystem: ClassVar[Any] = OcclumImageTestSubsystem
    field_set_type = ImageTestFieldSet


def _settings(runnable: Runnable) -> tuple[RunSettings, list[str] | None]:
    """The settings of an enclave's configuration with its entry points, if it has one."""
    if runnable.config is None:
        return RunSettings(), None
    document = parse_json(runnable.config, CONFIG)
    checked = check(document)
    # What the host has in the directories that an enclave shows would be in no key.
    settings = settings_of(document, checked, folder=None)
    return settings, entry_points_of(checked.config)


async def _case(target: Target, runnable: Runnable, timeout: int | None) -> Case:
    with enclave_errors(target.address):
        settings, entry_points = _settings(runnable)
    given = dict(one.partition("=")[::2] for one in target[fields.TestEnvField].value or ())
    services = [fields.split_service(one) for one in target[fields.ServicesField].value or ()]
    args = tuple(target[fields.TestArgsField].value or ())

    def look(root: Root) -> str:
        try:
            settings.check_outside(given)
            for program in (args[0], *(one[0] for one in services)):
                check_program(root, program, entry_points)
        except OcclumError as error:
            return str(error.problems[0])
        return ""

    return Case(
        args=args,
        expected=Expected(
            target[fields.ExpectExitField].value or 0,
            target[fields.ExpectStdoutField].value,
            target[fields.ExpectStderrField].value,
            dict(target[fields.ExpectFilesField].value or {}),
        ),
        stdin=target[fields.TestStdinField].value or "",
        env=settings.with_env(given).env,
        services=tuple(services),
        wait_for=tuple(target[fields.WaitForField].value or ()),
        timeout=timeout,
        scratch=tuple(one.target for one in settings.mounts),
        memory_bytes=settings.memory_bytes,
        may_be_forbidden=fields.NAMESPACES in _may_lack(target),
        # A test that fails, where an error would end those of other targets.
        problem=await look_into(runnable.image.plan, str(target.address), look),
    )


def _may_lack(target: Target) -> tuple[str, ...]:
    return tuple(target[fields.SkipWithoutField].value or ())


async def _process(target: Target, runnable: Runnable, case: Case, *, is_whole: bool) -> Process:
    address = runnable.image.address
    content = await image_content(ImageContentRequest(address, is_whole), **implicitly())
    files = (
        FileContent(_ENTRIES, entries_json(runnable.image.plan.entries)),
        FileContent(_CASE, case_json(case)),
    )
    inputs = [await add_prefix(AddPrefix(content.digest, _ROOT)), await digest_of(files)]
    return await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.run.case",
            argv=(_ROOT, _ENTRIES, TABLE, _CASE),
            description=f"Run {case.args[0]} in {address} for {target.address}",
            input_digest=await merge_digests(MergeDigests([*inputs, content.table])),
            append_only_caches=content.caches,
        ),
    )


async def _run(
    target: Target, runnable: Runnable, case: Case, scope: ProcessCacheScope
) -> FallibleProcessResult:
    process = await _process(target, runnable, case, is_whole=False)
    result = await try_image_process(replace(process, cache_scope=scope), runnable.image.address)
    if result is not None:
        return result
    process = await _process(target, runnable, case, is_whole=True)
    return await run_tool(replace(process, cache_scope=scope))


async def _without_image(target: Target, problem: str) -> Process:
    """The process of a test whose image cannot be built, which says so."""
    args = tuple(target[fields.TestArgsField].value or ())
    lacking = [one for one in _may_lack(target) if one != fields.NAMESPACES and not lexists(one)]
    skipped = f"this machine has no {', '.join(lacking)}" if lacking else ""
    told = Case(args, Expected(), problem=problem, skipped=skipped)
    case = FileContent(_CASE, case_json(told))
    return await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.run.case",
            argv=(_ROOT, _ENTRIES, TABLE, _CASE),
            description=f"Tell why {target.address} has no image",
            input_digest=await create_digest(CreateDigest([case])),
        ),
    )


@rule(desc="Test an image")
async def test_image(
    batch: ImageTestRequest.Batch[ImageTestFieldSet, Any], options: TestSubsystem
) -> TestResult:
    field_set = batch.single_element
    target = (
        await resolve_target(WrappedTargetRequest(field_set.address, "a test"), **implicitly())
    ).target
    named = await named_target(target, fields.TestImageField)
    if named is None:
        raise invalid_target(f"{target.address} has no `image`.")
    timeout = field_set.timeout.calculate_from_global_options(options)
    scope = ProcessCacheScope.PER_SESSION if options.force else ProcessCacheScope.SUCCESSFUL
    try:
        runnable = await runnable_of(named, f"The 'image' field in target {target.address}")
        case = await _case(target, runnable, timeout)
    # As of a program that is not there: one target is wrong, and others have their results.
    except (InvalidImage, InvalidEnclave) as error:
        process = await _without_image(target, str(error))
        result = await run_tool(replace(process, cache_scope=scope))
    else:
        result = await _run(target, runnable, case, scope)
    told = None if result.exit_code == 0 else (result.stdout + result.stderr).decode()
    is_skipped = result.exit_code == EXIT_SKIPPED
    if is_skipped:
        logger.warning("%s is skipped: %s", target.address, (told or "").strip())
        result = replace(result, exit_code=0)  # as of a test of Python that is skipped
    # Here, as it would add an XML library to each start of Pants.
    from occlum_build.run.junit import junit_xml

    address = target.address
    report = junit_xml(address.spec_path, address.target_name, told, is_skipped=is_skipped)
    file = FileContent(f"{address.path_safe_spec}.xml", report)
    reports = await digest_to_snapshot(await create_digest(CreateDigest([file])))
    return test_result(result, address, options.output, reports)


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), *ImageTestRequest.rules())
