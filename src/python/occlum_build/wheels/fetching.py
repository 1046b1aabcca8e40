"""Brings wheels into a cache, by SHA-256: from mirrors of a site, and from where the lock says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from occlum_build.errors import OcclumError
from occlum_build.packages.fetching import PARALLEL, ToFetch, fetch_all
from occlum_build.packages.mirrors import Mirrors, Progress, gone, untold
from occlum_build.packages.urls import Wanted, check_mirror, why_no_url, without_password
from occlum_build.wheels.lock import Wheel

_HINT = (
    "add a mirror to `[occlum].wheel_mirrors`, as `file:/srv/wheels/{name}`, or write the lock anew"
)


class _Origin(NamedTuple):
    """Where a lock says that a wheel is: a template of a mirror, and the path there.

    fault: why that is of no use, where the template is "".
    """

    template: str
    path: str
    fault: str = ""


def fetch_wheels(
    wheels: Iterable[Wheel],
    cache: Path,
    mirrors: Sequence[str],
    environment: Mapping[str, str],
    parallel: int = PARALLEL,
    progress: Progress = untold,
) -> dict[str, Path]:
    """The path of each wheel in the cache, by its SHA-256; what is there, and right, stays.

    Mirrors of the site come before the URL of the lock. Raises OcclumError `wheel-gone` with all
    that are nowhere to be had, `packages-mirror`, OSError at the cache.
    """
    by_origin: dict[str, Mirrors] = {}
    origins: list[_Origin] = []
    wanted: list[ToFetch] = []
    for wheel in wheels:
        origin = _origin(wheel)
        if origin.template not in by_origin:
            own = [origin.template] if origin.template else []
            by_origin[origin.template] = Mirrors([*mirrors, *own], progress, environment)
        what = f"{wheel.name} {wheel.version}"
        file = Wanted(origin.path, wheel.sha256, what=what)
        origins.append(origin)
        wanted.append((by_origin[origin.template], file, cache / f"{wheel.sha256}.whl"))
    problems = []
    for (_, file, _), origin, failures in zip(wanted, origins, fetch_all(wanted, parallel)):
        if failures:
            also = [origin.fault] if origin.fault else []
            problems.append(gone(file, failures, code="wheel-gone", also=also, hint=_HINT))
    if problems:
        raise OcclumError.of(problems)
    return {file.sha256: path for _, file, path in wanted}


def _origin(wheel: Wheel) -> _Origin:
    """A path mapping of pex, `file://${NAME}/x.whl`, stands for a directory that is not known."""
    url, file, told = wheel.url, wheel.file, without_password(wheel.url)
    if "${" in url:
        fault = f"{told}: a path mapping, of which the directory is not known here"
        return _Origin("", file, fault)
    try:
        parts = urlsplit(url)
        path = unquote(parts.path).lstrip("/")
        if "\0" in path:
            return _Origin("", file, f"{told}: a path with a NUL")
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            template = "file:/{path}"
        elif parts.scheme in ("http", "https"):
            template = f"{parts.scheme}://{parts.netloc}/{{path}}"
            template += f"?{parts.query}" if parts.query else ""
        else:
            return _Origin("", file, f"{told}: neither http:, https: nor file:")
        check_mirror(template)
    except ValueError as error:
        return _Origin("", file, f"{told}: {why_no_url(url, error)}")
    except OcclumError as error:
        return _Origin("", file, error.problems[0].message)
    return _Origin(template, path)
