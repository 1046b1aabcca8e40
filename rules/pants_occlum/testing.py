"""For tests: a project with the whole backend, and a small sysroot instead of the host."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, TypeVar

import pytest
from pants.backend.project_info import register as project_info
from pants.core import register as core
from pants.core.goals.package import Package
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.rules import QueryRule
from pants.testutil.rule_runner import GoalRuleResult, RuleRunner

from pants_occlum import register

T = TypeVar("T")


class Project:
    """A build root and a sysroot, and goals that are run on them, each in a session of its own."""

    def __init__(
        self, tmp_path: Path, *queries: QueryRule, bootstrap_args: Sequence[str] = ()
    ) -> None:
        """`bootstrap_args` are given to each run, too."""
        self.sysroot = tmp_path / "sysroot"
        self.sysroot.mkdir()
        self.default_sysroot = str(self.sysroot)
        self.named_caches = tmp_path / "caches"
        self.bootstrap_args = tuple(bootstrap_args)
        self.runner = RuleRunner(
            rules=[*core.rules(), *project_info.rules(), *register.rules(), *queries],
            target_types=[*core.target_types(), *register.target_types()],
            isolated_local_store=True,
            bootstrap_args=[f"--named-caches-dir={self.named_caches}", *bootstrap_args],
        )
        self.root = Path(self.runner.build_root)

    @property
    def global_args(self) -> tuple[str, ...]:
        return (
            f"--named-caches-dir={self.named_caches}",
            f"--occlum-sysroot={self.default_sysroot}",
            *self.bootstrap_args,
        )

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files of the project; text loses its common indent."""
        self.runner.write_files(
            {
                path: textwrap.dedent(content) if isinstance(content, str) else content
                for path, content in files.items()
            }
        )

    def host(self, path: str, content: bytes = b"", mode: int = 0o644) -> Path:
        """Write a file of the sysroot, with its directories."""
        file = self.sysroot / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
        return file

    def run(
        self,
        goal: Any,
        *specs: str,
        options: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> GoalRuleResult:
        return self.runner.run_goal_rule(
            goal, global_args=(*self.global_args, *options), args=specs, env=env
        )

    def request(self, output: type[T], *inputs: Any, env: Mapping[str, str] | None = None) -> T:
        """What the rules make of the inputs; the test's QueryRule has to be there."""
        self.runner.set_options(self.global_args, env=env)
        return self.runner.request(output, inputs)

    def run_package(self, address: str, **kwargs: Any) -> GoalRuleResult:
        return self.run(Package, address, **kwargs)

    def package(self, address: str, **kwargs: Any) -> Path:
        """Build an image; the directory of its artefacts."""
        assert self.run_package(address, **kwargs).exit_code == 0
        directory, _, name = address.partition(":")
        return self.root / "dist" / directory.replace("/", ".") / name

    def failure(self, address: str, **kwargs: Any) -> str:
        """The text of the error that building an image ends with."""
        with pytest.raises(ExecutionError) as caught:
            self.package(address, **kwargs)
        errors: tuple[Exception, ...] = caught.value.wrapped_exceptions
        return str(errors[0])


def entries(artefacts: Path) -> dict[str, dict[str, Any]]:
    """Path -> entry of an image's manifest."""
    manifest = json.loads((artefacts / "manifest.json").read_text())
    return {entry["path"]: entry for entry in manifest["entries"]}


def run_alone(rule: Callable[..., Any], *args: object) -> object:
    """What a rule that awaits no other makes of its arguments, without an engine."""
    coroutine = inspect.unwrap(rule)(*args)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value
