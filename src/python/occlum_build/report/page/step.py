"""Makes a report, as a process: `... page.step IMAGE INPUT.json PAGE.html REPORT.html`.

IMAGE is a directory with the manifest and the graph, PAGE.html the page without data.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from occlum_build.errors import Problem, Report
from occlum_build.image.manifest import canonical_json
from occlum_build.process.step import run_step
from occlum_build.report.page.document import document
from occlum_build.report.page.html import page
from occlum_build.report.read import read_image


def input_json(
    name: str, problems: Iterable[Problem], record: Mapping[str, Any] | None = None
) -> bytes:
    """What a report is made of besides the manifest and the graph."""
    told = [one.to_json() for one in problems]
    return canonical_json({"name": name, "problems": told, "record": record})


def _step(image: str, given: str, template: str, out: str) -> None:
    with open(given, encoding="utf-8") as file:
        value = json.load(file)
    found = read_image(Path(image), Report())
    problems = [Problem.from_json(one) for one in value["problems"]]
    made = document(found, name=value["name"], problems=problems, record=value["record"])
    Path(out).write_bytes(page(made, Path(template).read_bytes()))


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.report.page.step IMAGE INPUT PAGE REPORT"))
