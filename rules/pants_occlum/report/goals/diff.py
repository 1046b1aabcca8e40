"""`occlum-diff`: what changed in an image or enclave, and whether MRENCLAVE moves."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.console import Console
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import Targets
from pants.option.option_types import BoolOption, StrOption

from occlum_build.errors import OcclumError
from occlum_build.report.diff import compare
from occlum_build.report.diff_output import lines, to_json
from pants_occlum.compat.by_name import collect_rules, goal_rule
from pants_occlum.invalid import invalid_target
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.report.images import the_one_target
from pants_occlum.report.output import print_json, print_lines, print_problems
from pants_occlum.report.sides import side_of, side_of_target

EXIT_DIFFERENT, EXIT_TROUBLE = 1, 2  # as those of diff(1)


class OcclumDiffSubsystem(GoalSubsystem):
    name = "occlum-diff"
    help = (
        "Tell what changed in an image or enclave, with the cause, and whether MRENCLAVE moves.\n\n"
        "    ./pants occlum-diff --against=git:HEAD:expected/manifest.json path:image\n\n"
        "The goal ends with 0 when nothing differs, with 1 when something does."
    )

    against = StrOption(
        default=None,
        help="The older one: another target, a manifest.json, a measurement.json, a directory in "
        "dist/ that has one of them, an OCI layout, or git:REVISION:PATH of such a file.",
    )
    all = BoolOption(default=False, help="Tell all entries of each cause, not the first ones.")
    json = BoolOption(default=False, help="Print JSON (docs/insight.md).")


class OcclumDiff(Goal):
    subsystem_cls = OcclumDiffSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@goal_rule
async def compare_images(
    targets: Targets, console: Console, options: OcclumDiffSubsystem, run_id: RunId
) -> OcclumDiff:
    LOADED.require_unchanged(run_id)
    if not options.against:
        raise invalid_target("`occlum-diff` was not told what to compare with: use `--against`.")
    target = the_one_target(targets, "occlum-diff")
    old = await side_of(options.against, "occlum-diff")
    new = await side_of_target(target)
    try:
        found = compare(old, new)
    except OcclumError as error:
        print_problems(console, error.problems)
        return OcclumDiff(exit_code=EXIT_TROUBLE)
    if options.json:
        print_json(console, to_json(found))
    else:
        print_lines(console, lines(found, every=options.all))
    return OcclumDiff(exit_code=0 if found.is_empty else EXIT_DIFFERENT)


def rules() -> Iterable[Rule]:
    return collect_rules()
