"""Where the processes of a target run, by its environment, and whether ours can run there."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.platform import Platform
from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.option.global_options import GlobalOptions

from occlum_build.errors import OcclumError
from pants_occlum.compat.by_name import collect_rules, rule
from pants_occlum.compat.pants_rules import (
    EnvironmentsSubsystem,
    EnvironmentTarget,
    LocalEnvironmentTarget,
    RemotePlatformField,
)

CODE = "environment"
PYTHON_CACHE = "occlum_python"
VERSION = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
_BASE_PATH = "[GLOBAL].remote_execution_append_only_caches_base_path"
_PAGE = "docs/remote-execution.md"


@dataclass(frozen=True)
class Execution:
    """Where processes run: `remote_execution` is on workers, which have no file of this machine.

    `python` is what starts them there, an absolute path of a worker. `problem` and `hint` say why
    a process of ours can run in no such place, empty where it can.
    """

    remote_execution: bool
    python: str = ""
    problem: str = ""
    hint: str = ""

    def require_usable(self) -> None:
        """Raises OcclumError `environment` where a process of ours cannot run."""
        if self.problem:
            raise OcclumError(CODE, self.problem, hint=self.hint)

    def no_interpreter(self, description: str, told: str) -> OcclumError:
        """What is wrong where a process found no interpreter; `told` is what the shell said."""
        if not self.remote_execution:
            return OcclumError(
                CODE,
                f"{description}: its interpreter cannot be started: {told}",
                hint=f"remove {PYTHON_CACHE}/ below [GLOBAL].named_caches_dir, and run Pants again",
            )
        return OcclumError(
            CODE,
            f"{description}: the worker that ran it has no interpreter at {self.python}: {told}",
            hint=f"make that a link to a {VERSION} on each worker, or set {_BASE_PATH} to the "
            f"directory of the workers that has {PYTHON_CACHE}/python ({_PAGE})",
        )


# A rule that gives this asks the environment, which is one of its parameters from here on up.
@rule
async def find_execution(
    environment: EnvironmentTarget,
    environments: EnvironmentsSubsystem,
    global_options: GlobalOptions,
) -> Execution:
    base_path = global_options.remote_execution_append_only_caches_base_path
    target = environment.val
    if target is None:
        if environments.remote_execution_used_globally(global_options):
            return _remote(base_path, "processes run remotely")
        return Execution(remote_execution=False)
    what = f"the environment `{environment.name}` is a `{target.alias}`"
    if target.has_field(RemotePlatformField):
        platform = target[RemotePlatformField].value
        if platform != Platform.linux_x86_64.value:
            return Execution(
                remote_execution=True,
                problem=f"{what} for {platform}, and images are made on linux_x86_64 alone",
                hint=f'take a `{target.alias}` with `platform="linux_x86_64"`',
            )
        return _remote(base_path, what)
    if target.alias != LocalEnvironmentTarget.alias:
        return _unusable(what, target)
    return Execution(remote_execution=False)


def _remote(base_path: str | None, why: str) -> Execution:
    if base_path and posixpath.isabs(base_path):
        python = posixpath.join(base_path, PYTHON_CACHE, "python")
        return Execution(remote_execution=True, python=python)
    is_not = f"is {base_path!r}, which is not absolute" if base_path else "is not set"
    return Execution(
        remote_execution=True,
        problem=f"{why}, but {_BASE_PATH} {is_not}: by a link below it a worker starts the "
        "processes of this plugin",
        hint=f"set it to a directory of the workers in which {PYTHON_CACHE}/python is a link to a "
        f"{VERSION} ({_PAGE})",
    )


def _unusable(what: str, target: Target) -> Execution:
    return Execution(
        # Nothing is taken from the host, or written beside it, by a process that runs elsewhere.
        remote_execution=True,
        problem=f"{what}, where no process of this plugin can run: neither the link by which they "
        "find their interpreter nor the host's files are there"
        if target.alias == "docker_environment"
        else f"{what}, where no process of this plugin can run: they need a sandbox of their own",
        hint="name a `local_environment`, or a `remote_environment` whose workers have an "
        f"interpreter ({_PAGE}), in `environment`",
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
