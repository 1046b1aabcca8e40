"""`occlum-why`: which BOM line brings something into an image, and over which chain."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.console import Console
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import Targets
from pants.option.option_types import ArgsListOption, BoolOption

from occlum_build.errors import OcclumError
from occlum_build.report.why import Why
from occlum_build.report.why_output import absent_error, lines, to_json
from pants_occlum.compat.by_name import collect_rules, goal_rule
from pants_occlum.invalid import invalid_target
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.report.images import image_of_target, known_image, the_one_target
from pants_occlum.report.output import print_json, print_lines, print_problems


class OcclumWhySubsystem(GoalSubsystem):
    name = "occlum-why"
    help = (
        "Tell why something is in an image: the shortest chain from a BOM line to it.\n\n"
        "    ./pants occlum-why path:image -- /usr/lib/libssl.so.3 libcrypto.so.3\n\n"
        "What is asked for is a path in the image, also with `*`, `?` and `[...]`, a directory, "
        "the name of a file, library or package, `package:NAME`, or where an entry was copied "
        "from. The goal ends with 1 when the image does not have all of it."
    )

    args = ArgsListOption(example="/usr/lib/libssl.so.3", passthrough=True)
    all = BoolOption(default=False, help="Tell all chains instead of the shortest.")
    json = BoolOption(default=False, help="Print JSON (docs/insight.md).")


class OcclumWhy(Goal):
    subsystem_cls = OcclumWhySubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@goal_rule
async def explain_images(
    targets: Targets, console: Console, options: OcclumWhySubsystem, run_id: RunId
) -> OcclumWhy:
    LOADED.require_unchanged(run_id)
    if not options.args:
        raise invalid_target(
            "`occlum-why` was not told what to look for: give paths or names after `--`."
        )
    image = known_image(await image_of_target(the_one_target(targets, "occlum-why")))
    why = Why(image, every=options.all)
    try:
        answers = [one for query in options.args for one in why.answers(query)]
    except OcclumError as wrong:
        raise invalid_target(f"`occlum-why`: {wrong.problems[0].message}.") from None
    if options.json:
        print_json(console, to_json(image, answers))
    else:
        print_lines(console, lines(image, answers))
    print_problems(console, why.notes())
    error = absent_error(answers)
    if error is not None:
        print_problems(console, error.problems)
    return OcclumWhy(exit_code=0 if error is None else 1)


def rules() -> Iterable[Rule]:
    return collect_rules()
