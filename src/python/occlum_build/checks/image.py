"""The checks of an image, whatever is made of it: what fails at boot is told when it is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

from occlum_build.checks.libgcc import libgcc_problems
from occlum_build.checks.libraries import library_problems
from occlum_build.checks.links import link_problems
from occlum_build.checks.lost import lost_problems
from occlum_build.checks.names import name_problems
from occlum_build.checks.programs import program_problems
from occlum_build.checks.root import Root
from occlum_build.checks.runtime import runtime_problems
from occlum_build.errors import Problem

Check = Callable[[Root], Iterable[Problem]]

CHECKS: tuple[Check, ...] = (
    name_problems,
    link_problems,
    lost_problems,
    program_problems,
    library_problems,
    libgcc_problems,
    runtime_problems,
)


def check_image(root: Root) -> list[Problem]:
    """What is wrong with a root file system, in the order of the checks."""
    return [problem for check in CHECKS for problem in check(root)]
