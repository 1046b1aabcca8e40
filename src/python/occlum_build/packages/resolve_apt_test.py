"""The resolver and apt, on what apt of this machine knows: the same packages and versions."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from occlum_build.errors import OcclumError
from occlum_build.packages.resolve import USR_IS_MERGED, Wish, resolve
from occlum_build.packages.testing_apt import Apt, universe_of_apt

SAMPLE, SEED = 136, 20261127
LEAST = 150  # requests of one package that are equal
LARGE = [
    "redis-server", "nginx", "python3-numpy", "openjdk-17-jre-headless", "ca-certificates",
    "mariadb-server", "postgresql", "r-base-core", "rabbitmq-server", "python3-torch", "apache2",
    "php", "nodejs", "ruby", "golang-go", "rustc", "gcc", "g++", "python3-pandas", "python3-scipy",
    "sqlite3", "curl", "git", "ffmpeg", "imagemagick", "default-jdk-headless", "squid", "haproxy",
]  # fmt: skip
UNION = ["redis-server", "python3-numpy", "openjdk-17-jre-headless", "nginx", "ca-certificates"]


def solution(packages: list[str]) -> dict[str, str] | OcclumError:
    try:
        found = resolve(universe_of_apt(), Wish(packages))
    except OcclumError as error:
        return error
    return {name: package.version for name, package in found.packages.items()}


def test_the_resolver_gives_what_apt_gives(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    universe = universe_of_apt()
    names = sorted({name for suite in universe.suites for one in suite.indexes for name in one})
    some = [name for name in random.Random(SEED).sample(names, SAMPLE) if universe.newest(name)]
    large = [name for name in LARGE if universe.newest(name)]
    merged = [USR_IS_MERGED] if universe.newest(USR_IS_MERGED) else []
    equal, refused, open_ones, others = [], 0, [], {}
    requests = [UNION if set(UNION) <= set(large) else large, *([one] for one in large + some)]
    apt_get = Apt(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda asked: apt_get.installed([*asked, *merged]), requests)
    for asked, apt in zip(requests, answers):
        ours = solution(asked)
        if ours == apt:
            equal.append(asked)
        elif isinstance(ours, OcclumError) and apt is None:
            refused += 1
        elif isinstance(ours, OcclumError) and ours.code == "packages-choice":
            open_ones.append(asked[0])  # apt takes one, we ask which
        else:
            others[" ".join(asked)] = (ours, apt)
    record_property("packages resolved as apt does, and a union", len(equal) - 1)
    record_property("requests that apt refuses too", refused)
    record_property("requests with a choice that apt makes and we leave", len(open_ones))
    assert others == {}
    assert requests[0] in equal
    assert len(equal) - 1 >= LEAST
