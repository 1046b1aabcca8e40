"""Which wheels of a lock file an image takes: what is required, and the best file of each."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

from occlum_build.errors import OcclumError, Place, Report
from occlum_build.packages.urls import without_password
from occlum_build.shown import Lines, quoted, some
from occlum_build.wheels.lock import Artifact, LockedDistribution, Wheel, WheelsLock
from occlum_build.wheels.platform import Platform

REQUIREMENT = "wheels-requirement"
MAX_CHARACTERS = 4096  # of one requirement
MAX_TAGS = 1000  # that the name of a wheel may stand for
_WHEEL = ".whl"
_FILE = re.compile(r"[A-Za-z0-9._+!-]{1,251}\.whl")
# Spelt as in the metadata; who asks for an extra may spell it otherwise.
_EXTRA = re.compile(r"""(\bextra\s*[!=]=\s*)(["'])([^"']*)\2""")


def choose_wheels(
    lock: WheelsLock, requirements: Iterable[str], platform: Platform
) -> tuple[Wheel, ...]:
    """The wheels of requirements, or of all that the lock is of, with what they need; by name.

    Raises OcclumError: `wheels-requirement`, `wheels-sdist`, `wheels-none`, `wheels-lock`.
    """
    report = Report()
    wanted = _Walk(lock, platform, report).run(tuple(requirements) or lock.requirements)
    wheels = []
    for one in wanted:
        with report:
            wheels.append(_best(one, lock, platform))
    report.raise_errors()
    return tuple(sorted(wheels, key=lambda one: one.name))


class _Walk:
    def __init__(self, lock: WheelsLock, platform: Platform, report: Report) -> None:
        self._lock, self._platform, self._report = lock, platform, report
        self._excluded = {
            str(canonicalize_name(_parsed(one, lock.file).name)) for one in lock.excluded
        }
        self._requires: dict[str, list[Requirement]] = {}

    def run(self, roots: Iterable[str]) -> list[LockedDistribution]:
        """What is reached, each once, in the order in which it is."""
        found: dict[str, LockedDistribution] = {}
        pending: deque[tuple[str, str]] = deque()
        seen: set[tuple[str, str]] = set()

        def take(required: Requirement, by: str, extra: str) -> None:
            if not self._applies(required, extra):
                return
            name = str(canonicalize_name(required.name))
            locked = self._lock.distributions.get(name)
            if locked is None:
                if name not in self._excluded:
                    self._absent(required, by)
                return
            if not by and not required.specifier.contains(locked.version, prereleases=True):
                self._other_version(required, locked)
            found.setdefault(name, locked)
            for one in ("", *sorted(str(canonicalize_name(one)) for one in required.extras)):
                if (name, one) not in seen:
                    seen.add((name, one))
                    pending.append((name, one))

        for root in roots:
            with self._report:
                take(_parsed(root, self._lock.file), "", "")
        while pending:
            name, extra = pending.popleft()
            with self._report:
                for required in self._of(found[name]):
                    take(required, f"{name} {found[name].version}", extra)
        return list(found.values())

    def _of(self, locked: LockedDistribution) -> list[Requirement]:
        if locked.name not in self._requires:
            file = self._lock.file
            self._requires[locked.name] = [_parsed(one, file) for one in locked.requires]
        return self._requires[locked.name]

    def _applies(self, required: Requirement, extra: str) -> bool:
        if required.marker is None:
            return not extra  # what is always required was taken without the extra
        try:
            return required.marker.evaluate({**self._platform.markers, "extra": extra})
        except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
            text = f"the marker of {quoted(str(required))} compares what cannot be compared"
            raise OcclumError("wheels-lock", text, place=Place(self._lock.file)) from None

    def _absent(self, required: Requirement, by: str) -> None:
        what = f"{required}, which {by} needs," if by else str(required)
        self._report.error(
            REQUIREMENT,
            f"{what} is not in the lock",
            Place(self._lock.file),
            "add it to the requirements of the resolve, and write the lock anew",
        )

    def _other_version(self, required: Requirement, locked: LockedDistribution) -> None:
        self._report.error(
            REQUIREMENT,
            f"{required} is required, and {locked.version} is locked",
            Place(self._lock.file),
            "leave the version out: the lock file has it",
        )


def _parsed(text: str, file: str) -> Requirement:
    """A requirement (PEP 508), its extras in normal form."""
    problem = ""
    if len(text) > MAX_CHARACTERS:
        problem = f"is longer than {MAX_CHARACTERS} characters"
    else:
        normal = _EXTRA.sub(
            lambda found: f"{found[1]}{found[2]}{canonicalize_name(found[3])}{found[2]}", text
        )
        try:
            return Requirement(normal)
        except (InvalidRequirement, InvalidSpecifier):
            problem = "is none that names a distribution"
        except RecursionError:
            problem = "is nested too deeply"
    hint = "a name, maybe with extras: `uvicorn[standard]`"
    message = f"the requirement {quoted(text)} {problem}"
    raise OcclumError(REQUIREMENT, message, place=Place(file), hint=hint)


def _best(locked: LockedDistribution, lock: WheelsLock, platform: Platform) -> Wheel:
    what, place = f"{locked.name} {locked.version}", Place(lock.file)
    _check_python(locked, platform, place)
    wheels = [one for one in locked.artifacts if one.file.endswith(_WHEEL)]
    ranked = [(rank, one) for one in wheels if (rank := _rank(one, locked, platform)) is not None]
    if ranked:
        _, best = min(ranked, key=lambda one: (one[0], one[1].file, one[1].sha256))
        return Wheel(locked.name, locked.version, best.file, best.url, best.sha256)
    if not wheels:
        names = sorted(one.file or without_password(one.url) for one in locked.artifacts)
        there = some(names) or "nothing"
        raise OcclumError(
            "wheels-sdist",
            f"{what} has no wheel, only {there}, and nothing is compiled here",
            place=place,
            hint="build a wheel of it (`pip wheel`), let the resolve find it (`find_links`), and "
            "write the lock anew; or take a version that has one",
        )
    names = sorted({one.file for one in wheels})
    raise OcclumError(
        "wheels-none",
        Lines(f"{what} has no wheel for {platform}, only:", *(f"  {one}" for one in names)),
        place=place,
        hint="take a version that has one, or correct `python` or `glibc`, which are those of the "
        "image",
    )


def _check_python(locked: LockedDistribution, platform: Platform, place: Place) -> None:
    try:
        wanted = SpecifierSet(locked.requires_python)
    except InvalidSpecifier:
        return  # as pip does
    if not any(wanted.contains(one, prereleases=True) for one in platform.pythons):
        raise OcclumError(
            "wheels-none",
            f"{locked.name} {locked.version} is for Python {locked.requires_python}, and not for "
            f"{platform.python}",
            place=place,
            hint="let `interpreter_constraints` of the resolve have the image's Python, and write "
            "the lock anew",
        )


def _rank(
    artifact: Artifact, locked: LockedDistribution, platform: Platform
) -> tuple[int, int, tuple[int, str]] | None:
    """How well a wheel fits, the smaller the better; None for one that does not."""
    if not _FILE.fullmatch(artifact.file):
        return None
    parts = artifact.file[: -len(_WHEEL)].split("-")
    count = 1
    for part in parts[-3:]:
        count *= part.count(".") + 1
    if count > MAX_TAGS:
        return None
    try:
        name, version, build, tags = parse_wheel_filename(artifact.file)
    except ValueError:
        return None
    if name != locked.name or str(version) != str(_version(locked.version)):
        return None
    ranks = [platform.rank[tag] for tag in tags if tag in platform.rank]
    if not ranks:
        return None
    number, text = build or (-1, "")
    return min(ranks), -number, (0, str(text))


def _version(text: str) -> object:
    from packaging.version import Version

    return Version(text)
