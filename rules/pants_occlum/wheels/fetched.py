"""Downloads of wheels, into a named cache by their SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pants.base.build_root import BuildRoot
from pants.engine.env_vars import EnvironmentVarsRequest
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption

from occlum_build.packages.http_files import ENVIRONMENT
from occlum_build.packages.linked import remove_unused, use
from occlum_build.wheels.choose import Wheel
from occlum_build.wheels.fetching import fetch_wheels
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import environment_vars_subset
from pants_occlum.packages.requests import mirror_of_project
from pants_occlum.subsystem import OcclumSubsystem

WHEELS_CACHE = "occlum_wheels"


@dataclass(frozen=True)
class FetchWheels:
    """Wheels that are wanted as files."""

    wheels: tuple[Wheel, ...]


@dataclass(frozen=True)
class FetchedWheels:
    """The paths of the files, by SHA-256."""

    files: Mapping[str, str]


@_uncacheable_rule(desc="Download wheels")
async def fetched_wheels(
    request: FetchWheels,
    occlum: OcclumSubsystem,
    build_root: BuildRoot,
    named_caches_dir: NamedCachesDirOption,
) -> FetchedWheels:
    """What is in the named cache already, and right, is not downloaded."""
    environment = await environment_vars_subset(
        **implicitly(EnvironmentVarsRequest(sorted(ENVIRONMENT)))
    )
    cache = Path(str(named_caches_dir.val)) / WHEELS_CACHE
    for one in request.wheels:
        use(str(cache / f"{one.sha256}.whl"))
    remove_unused(str(cache))
    found = fetch_wheels(
        request.wheels,
        cache,
        [mirror_of_project(one, build_root.path) for one in occlum.wheel_mirrors],
        dict(environment),
        occlum.parallel_downloads,
    )
    return FetchedWheels({sha256: str(path) for sha256, path in found.items()})


def rules() -> Iterable[Rule]:
    return collect_rules()
