"""What `copy-bom` tells of the image that it would write, into a directory that may hold others."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from occlum_build.checks.allowed import sort_out
from occlum_build.checks.image import check_image
from occlum_build.checks.root import Root, entries_below
from occlum_build.errors import Problem, Report
from occlum_build.image.existing import others_in
from occlum_build.image.plan import ImagePlan
from occlum_build.shown import Lines
from occlum_build.sources.os import OsSources


def check_copy(
    plan: ImagePlan,
    sources: OsSources,
    root: str,
    report: Report,
    *,
    syncs_from: str | None,
    allowed: Mapping[str, str],
) -> Sequence[str]:
    """Check what the image in the directory `root` will be, and leave out what is allowed.

    Returns the paths of what stays in the image beside the plan, as `others_in` has them.
    `syncs_from` is the BOM where all else will be deleted, None where that will stay.
    """
    others = others_in(root, plan) if syncs_from is None else []
    if os.path.lexists(root) and not os.path.isdir(root):
        report.error("directory", f"{root} is not a directory")
    if syncs_from is not None:
        _check_sync(plan, sources, root, syncs_from, report)
    _tell_of_others(others, report)
    _tell_of_library_path(plan, report)
    # The links that the plan was placed through are no others, and no entries of the plan.
    stays = [*others, *sorted(plan.followed)]
    before = entries_below(sources, root.lstrip("/"), stays)
    image = Root([*before, *plan.entries], sources, plan.searched)
    # What an image lacks for a mistake that is told needs no more words.
    found = [] if report.errors else check_image(image)
    errors, report.warnings = sort_out([*report.warnings, *found], allowed)
    report.errors += errors
    return others


def _check_sync(plan: ImagePlan, sources: OsSources, root: str, bom: str, report: Report) -> None:
    used = [bom, *(sources.os_path(entry.source) for entry in plan.entries if entry.source)]
    inside = [path for path in used if f"{path}/".startswith(root.rstrip("/") + "/")]
    if inside:
        report.error("image", f"--sync would delete {inside[0]}, from which the image is made")


def _tell_of_others(others: Sequence[str], report: Report) -> None:
    if others and not report.errors:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        report.note(
            "image",
            f"the image holds /{others[0]}{more}, which the BOM does not name",
            hint="keep it where another BOM or `new` put it there; --sync deletes all of it",
        )


def _tell_of_library_path(plan: ImagePlan, report: Report) -> None:
    """Tell where LD_LIBRARY_PATH, which plays no part, leads to a library that is missing."""
    dirs = [one for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one]
    missing = sorted(plan.searched.told - {one.name for one in plan.searched.elsewhere})
    paths = (os.path.join(directory, name) for name in missing for directory in dirs)
    found = [path for path in paths if os.path.exists(path)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        report.note(
            "libraries",
            f"LD_LIBRARY_PATH leads to {found[0]}{more}, but plays no part: the image's programs "
            "run in another environment",
            hint="copy what is needed by `files`, to a directory of the image that LD_LIBRARY_PATH "
            "names there (`env.default` of Occlum.json)",
        )


class OnThisMachine:
    """Names the relative source paths in a problem from this machine's root, where they start.

    They are told from other text by the top directories of the paths that the user gave.
    """

    def __init__(self, *paths: str) -> None:
        tops = sorted({path.split("/")[1] for path in paths if path} - {""})
        self._relative = re.compile(rf"(?<![\w./-])(?=(?:{'|'.join(map(re.escape, tops))})/)")

    def __call__(self, problem: Problem) -> Problem:
        place = problem.place
        if place is not None and not place.file.startswith("/"):
            place = replace(place, file="/" + place.file)
        message, hint = map(self._with_root, (problem.message, problem.hint))
        return replace(problem, message=message, hint=hint, place=place)

    def _with_root(self, text: str) -> str:
        if isinstance(text, Lines):
            return text.each(self._with_root)
        return self._relative.sub("/", text)
