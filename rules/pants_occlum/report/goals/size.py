"""`occlum-size`: what makes images large, and whether one is larger than it may be."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.addresses import Address
from pants.engine.console import Console
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import Targets
from pants.option.option_types import BoolOption, IntOption, StrOption

from occlum_build.errors import OcclumError
from occlum_build.report.model import without_graph
from occlum_build.report.size import Sizes, parse_limit
from occlum_build.report.size_output import lines, to_json
from pants_occlum.compat.by_name import collect_rules, goal_rule
from pants_occlum.problems import InvalidOption
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.report.images import (
    image_of_target,
    known_image,
    targets_with_images,
    the_one_target,
)
from pants_occlum.report.output import print_json, print_lines, print_problems


class OcclumSizeSubsystem(GoalSubsystem):
    name = "occlum-size"
    help = (
        "Tell the bytes of images by layer, by the BOM line that pays for them, by package and "
        "directory, what they have more than once, and their largest files.\n\n"
        "    ./pants occlum-size --max=200MB path:image\n\n"
        "The goal ends with 1 when an image is larger than `--max`, and names the culprits."
    )

    max = StrOption(
        default=None, help="How large an image may be, as Occlum.json has sizes: 200MB."
    )
    top = IntOption(default=10, help="How many of each list are told.")
    json = BoolOption(default=False, help="Print JSON, of one image (docs/insight.md).")


class OcclumSize(Goal):
    subsystem_cls = OcclumSizeSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@goal_rule
async def measure_images(
    targets: Targets, console: Console, options: OcclumSizeSubsystem, run_id: RunId
) -> OcclumSize:
    LOADED.require_unchanged(run_id)
    limit = _limit(options.max)
    wanted = targets_with_images(targets, "occlum-size")
    if options.json:
        wanted = [the_one_target(wanted, "occlum-size --json")]
    exit_code, top = 0, max(options.top, 0)
    told: set[Address] = set()
    for target in wanted:
        image = await image_of_target(target)
        if image.address in told:  # of an enclave that was named with its image
            continue
        told.add(image.address)
        sizes = Sizes(known_image(image))
        if options.json:
            print_json(console, to_json(sizes, top))
        else:
            print_lines(console, lines(sizes, top))
        print_problems(console, without_graph(sizes.image))
        try:
            if limit is not None:
                sizes.check(limit)
        except OcclumError as error:
            print_problems(console, error.problems)
            exit_code = 1
    return OcclumSize(exit_code=exit_code)


def _limit(text: str | None) -> int | None:
    try:
        return parse_limit(text) if text is not None else None
    except OcclumError as error:
        raise InvalidOption(f"`--occlum-size-max`: {error.problems[0]}") from None


def rules() -> Iterable[Rule]:
    return collect_rules()
