"""Another repository that has this one below 3rdparty/, as README.md says, and upgrades it."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pants_runner import PROJECT_PARTS, PantsResult, PantsRunner, pants_runner

PLUGIN = "3rdparty/pants-occlum"
OWN_PROJECT = "testprojects/hello"
BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
files(name="files", sources=["*.txt"])
"""
# The second file takes the place of the first, which is a warning.
BOM = """\
targets:
- target: /
  copy: [{files: [../a.txt, {name: ../b.txt, rename: a.txt}]}]
"""
# A text of the library, and one of a rule.
WARNING = (f"{PLUGIN}/src/python/occlum_build/image/conflicts.py", "overrides what", "WINS OVER")
INFO = (f"{PLUGIN}/rules/pants_occlum/image/goals/package.py", "%s: image sha256", "%s: IMAGE")
SEES_NOTHING = f'pants_ignore.add = ["/{PLUGIN}/"]'
ERROR = "changed after Pants had loaded the plugin"


def snippet() -> str:
    """What README.md says is to be in pants.toml."""
    section = Path("README.md").read_text().partition("## From a checkout\n")[2]
    block = section.partition("    [GLOBAL]\n")[2].partition("\n\n")[0]
    return "[GLOBAL]\n" + textwrap.dedent(f"{block}\n")


@pytest.fixture
def adopter(tmp_path: Path) -> Iterator[PantsRunner]:
    # What README's `plugins` asks for is in the environment of ./pants.
    options = ("--plugins=[]",)
    with pants_runner(tmp_path, parts=(OWN_PROJECT,), backends=None, options=options) as runner:
        for part in (*PROJECT_PARTS, OWN_PROJECT):
            place = runner.build_root / PLUGIN / part
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(runner.build_root / part, place)
        runner.write("pants", f'#!/bin/sh\nexec {PLUGIN}/pants "$@"\n').chmod(0o755)
        runner.write("pants.toml", snippet())
        for path, text in {"BUILD": BUILD, "bom.yaml": BOM, "a.txt": "a", "b.txt": "b"}.items():
            runner.write(f"app/{path}", text)
        yield runner


def _edit(adopter: PantsRunner, path: str, old: str, new: str) -> None:
    text = (adopter.build_root / path).read_text()
    assert text.count(old) == 1
    adopter.write(path, text.replace(old, new))


def _package(adopter: PantsRunner) -> PantsResult:
    return adopter.run("package", "app:image")


def _wait_for_end_of_pantsd(adopter: PantsRunner) -> None:
    """Give pantsd the time to see a change; under load it may miss one altogether."""
    for _ in range(100):
        if not list(adopter.build_root.glob(".pids/*/pantsd/pid")):
            break
        time.sleep(0.1)


def _expect_error(result: PantsResult, path: Path) -> None:
    result.expect(1)
    assert f"PluginChanged: {path} {ERROR}" in result.stderr
    assert "[GLOBAL].pants_ignore" in result.stderr.partition("  hint: ")[2]
    assert WARNING[1] not in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("is_at_once", [False, True])
def test_upgraded_plugin_is_the_one_that_runs(adopter: PantsRunner, is_at_once: bool) -> None:
    before = _package(adopter).expect(0).stderr
    assert WARNING[1] in before and INFO[1] % "app:image" in before

    for path, old, new in (WARNING, INFO):
        _edit(adopter, path, old, new)
        if not is_at_once:
            _wait_for_end_of_pantsd(adopter)
        result = _package(adopter)
        # Never the old plugin; and if pantsd had not seen the change, once an error.
        if result.exit_code:
            _expect_error(result, adopter.build_root / path)
            result = _package(adopter).expect(0)
        assert new.replace("%s", "app:image") in result.stderr
        assert old.replace("%s", "app:image") not in result.stderr


def test_pantsd_that_does_not_see_the_plugin(adopter: PantsRunner) -> None:
    adopter.write("pants.toml", f"{snippet()}{SEES_NOTHING}\n")
    file, old, new = WARNING
    for goal in ("package", "lint"):
        # Twice, so that then all of it comes from memory.
        for _ in range(2):
            result = adopter.run(goal, "app:").expect(0)
        assert goal == "lint" or old in result.stderr
        _edit(adopter, file, old, new)
        _expect_error(adopter.run(goal, "app:"), adopter.build_root / file)
        assert new in _package(adopter).expect(0).stderr
        _edit(adopter, file, new, old)
        # What has nothing to do with the plugin goes on, and pantsd is not used again after it.
        adopter.run("list", "app:").expect(0)
        assert old in _package(adopter).expect(0).stderr


def test_pants_that_is_too_old(adopter: PantsRunner) -> None:
    versions = f"{PLUGIN}/rules/pants_occlum/compat/versions.py"
    _edit(adopter, versions, "OLDEST: Final = (2, 17)", "OLDEST: Final = (2, 18)")
    errors = adopter.run("list", "app:").expect(1).stderr
    assert "does not run on Pants 2.17.1, but on 2.18 and newer. Raise `pants_version`" in errors
    assert "Traceback" not in errors


def test_plugin_brings_nothing_to_the_goals_of_the_repository(adopter: PantsRunner) -> None:
    for folder in ("rules", "src/python/occlum_build"):
        adopter.write(f"{PLUGIN}/{folder}/BUILD", "python_sources()\n")
        adopter.write(f"{PLUGIN}/{folder}/some_test.py", "")
    goals = ["--backend-packages=+['pants.backend.python']"]

    listed = adopter.run(*goals, "list", "::").expect(0).stdout.splitlines()
    assert listed and all(line.startswith("app") for line in listed)
    without = adopter.run(*goals, "--build-ignore=[]", "list", "::").expect(0)
    assert f"{PLUGIN}/rules:rules" in without.stdout
    tailored = adopter.run(*goals, "tailor", "--check", "::").expect(0)
    assert PLUGIN not in tailored.stdout
    linted = adopter.run(*goals, "lint", "::").expect(0)
    assert "occlum-bom-lint succeeded" in linted.stderr and PLUGIN not in linted.stderr
