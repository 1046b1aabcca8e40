"""The page that is checked in: made of the sources beside it, small, and closed to all networks."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from pathlib import Path

import pytest

from occlum_build.report.page.html import page, template

SOURCES = Path("src/js/report")
SUMS = importlib.resources.files("occlum_build.report.page").joinpath("page.sha256").read_text()
LICENSES = importlib.resources.files("occlum_build.report.page").joinpath("page.licenses.txt")


def test_the_page_is_built_of_its_sources() -> None:
    sums = dict(line.split("  ")[::-1] for line in SUMS.splitlines())
    built = sums.pop("page.html of the library")
    hint = "run `npm ci && npm run build` in src/js/report (CONTRIBUTING.md)"
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in SOURCES.iterdir()
        if path.suffix in (".js", ".css", ".html", ".json")
    }
    assert found == sums, hint
    assert hashlib.sha256(template()).hexdigest() == built, hint


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    packages = [one for name, one in lock["packages"].items() if name]
    assert packages and all(one["integrity"] and "resolved" not in one for one in packages)


def test_the_policy_lets_the_one_script_and_the_one_style_run_and_nothing_else() -> None:
    text = template().decode("ascii")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert sorted(rules) == [
        *("base-uri", "default-src", "form-action", "script-src", "style-src"),
    ]
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        (inner,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_it_is_small_and_has_its_licenses() -> None:
    assert len(template()) < 200_000
    text = LICENSES.read_text()
    for name in ("@tanstack/virtual-core", "d3-hierarchy", "d3-selection", "d3-zoom"):
        assert re.search(rf"^{name} [0-9.]+ \((ISC|MIT)\)$", text, re.MULTILINE)
    assert template().decode().count("Copyright") >= text.count("Copyright") > 5


@pytest.mark.parametrize("template", [b"", b"@DATA@ @DATA@"])
def test_a_page_that_has_not_one_place_for_data(template: bytes) -> None:
    with pytest.raises(ValueError, match="not one place"):
        page({}, template)
