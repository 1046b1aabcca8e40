"""Downloads of wheels, into a named cache by their SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pants.base.build_root import BuildRoot
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption

from occlum_build.packages.http_files import ENVIRONMENT
from occlum_build.packages.linked import remove_unused, use
from occlum_build.wheels.fetching import fetch_wheels
from occlum_build.wheels.lock import Wheel
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.logs import logger_of
from pants_occlum.packages.progress import with_progress
from pants_occlum.packages.site_mirrors import WHEEL_MIRRORS, checked_mirrors
from pants_occlum.process.client_env import ClientEnvRequest, client_env
from pants_occlum.subsystem import OcclumSubsystem

logger = logger_of(__name__)
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
    environment = await client_env(ClientEnvRequest(tuple(sorted(ENVIRONMENT))), **implicitly())
    cache = Path(str(named_caches_dir.val)) / WHEELS_CACHE
    here = [use(str(cache / f"{one.sha256}.whl")) for one in request.wheels]
    remove_unused(str(cache))
    mirrors = checked_mirrors(occlum.wheel_mirrors, build_root.path, WHEEL_MIRRORS)
    if not all(here):
        logger.info("Downloading %d wheels", here.count(False))
    found = with_progress(
        "wheels",
        lambda progress: fetch_wheels(
            request.wheels,
            cache,
            mirrors,
            dict(environment.values),
            occlum.parallel_downloads,
            progress,
        ),
    )
    return FetchedWheels({sha256: str(path) for sha256, path in found.items()})


def rules() -> Iterable[Rule]:
    return collect_rules()
