"""What programs open at run time (plugins, standard libraries, data) and the image lacks."""

from __future__ import annotations

from occlum_build.checks.families.find import family_problems
from occlum_build.checks.families.table import FAMILIES
from occlum_build.checks.root import Root
from occlum_build.errors import Problem


def runtime_problems(root: Root) -> list[Problem]:
    """Warnings and notes of code `runtime-FAMILY`, in the order of the table."""
    return family_problems(root, FAMILIES)
