from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pants.core.goals.package import PackageFieldSet
from pants.engine.rules import TaskRule
from pants.engine.target import Target
from pants.engine.unions import UnionRule
from pants.help.help_info_extracter import TargetFieldHelpInfo

from pants_occlum.register import rules, target_types


@pytest.mark.parametrize("target", target_types(), ids=lambda target: str(target.alias))
def test_every_field_has_help(target: type[Target]) -> None:
    helps = {
        field.alias: TargetFieldHelpInfo.create(field, provider="occlum")
        for field in target.core_fields
    }
    assert {alias for alias, one in helps.items() if not one.description} == set()
    if target.alias == "occlum_enclave":
        assert helps["expected_mrenclave"].type_hint == "str | None"
        assert helps["image"].required


# What follows keeps the start of Pants short: it solves which rule gives what for every set of
# parameters from which something may be asked (docs/architecture.md, "What a start costs").


def test_one_kind_of_package_stands_for_all_targets() -> None:
    unions = [one for one in rules() if isinstance(one, UnionRule)]
    assert len([one for one in unions if one.union_base is PackageFieldSet]) == 1


def test_no_rule_is_asked_with_what_another_gives() -> None:
    tasks = [one for one in rules() if isinstance(one, TaskRule)]
    given = {task.output_type for task in tasks}
    asked_with = {
        (task.canonical_name, one.__name__)
        for task in tasks
        for get in vars(task)["input_gets"]  # typed only where Pants has the solver
        for one in get.input_types
        if one in given
    }
    assert asked_with == set()


def test_rules_give_types_of_pants_only_where_it_asks_plugins_for_them() -> None:
    tasks = [one for one in rules() if isinstance(one, TaskRule)]
    given = {one.output_type for one in tasks if one.canonical_name.startswith("pants_occlum.")}
    assert {one.__name__ for one in given if one.__module__.startswith("pants.")} == {
        "BuiltPackage",
        "GenerateLockfileResult",
        "InferredDependencies",
        "KnownUserResolveNames",
        "LintResult",
        "PublishProcesses",
        "PutativeTargets",
        "RunRequest",
        "TestResult",
        "UserGenerateLockfiles",
    }


def _run(code: str) -> list[str]:
    """The lines that a process of its own prints, which has loaded nothing else."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()


def test_what_only_few_runs_need_is_no_part_of_each_start() -> None:
    """packaging 21.3 has pyparsing, which is as much as a room; tests run in their own process."""
    checks, run = ("checks.image", "checks.families.table"), ("run.case", "run.junit", "run.server")
    for_few = {f"occlum_build.{one}" for one in (*checks, *run, "wheels.choose")}
    loaded = _run("import sys, pants_occlum.register; print(*sorted(sys.modules), sep='\\n')")
    assert "occlum_build.wheels.lock" in loaded
    assert {*for_few, "elftools", "pyparsing", "xml.etree"}.isdisjoint(loaded)


def test_the_collector_leaves_what_is_loaded_alone_and_no_garbage_of_runs() -> None:
    """Rules are asked for in each run of a pantsd, and what a run leaves is not kept for good."""
    loaded, later = _run(
        "import gc, pants_occlum.register as register\n"
        "for run in range(2):\n"
        "    known, of_run = register.rules(), [[] for _ in range(100_000)]\n"
        "    print(gc.get_freeze_count())\n"
    )
    assert int(loaded) >= int(later) > 50_000
