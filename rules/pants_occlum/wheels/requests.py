"""From an `occlum_wheels` target to the wheels of its lock file, and where they go."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.backend.python.subsystems.setup import PythonSetup
from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.engine.target import StringField, Target, WrappedTargetRequest
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import LOCK_BYTES
from occlum_build.files.reading import too_large
from occlum_build.packages.paths import is_absolute
from occlum_build.wheels.install import Layout
from occlum_build.wheels.lock import CODE, HINT, Wheel, read_lock
from occlum_build.wheels.platform import Platform
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.invalid import invalid_field, invalid_target
from pants_occlum.project_paths import project_path
from pants_occlum.project_texts import project_texts
from pants_occlum.wheels.target_types import (
    WheelsGlibcField,
    WheelsInterpreterField,
    WheelsLockfileField,
    WheelsPrefixField,
    WheelsPythonField,
    WheelsRequirementsField,
    WheelsResolveField,
    WheelsTargetField,
)

_INTERPRETER_BYTES = 120  # with `#!` and the line end less than Linux reads of a script


@dataclass(frozen=True)
class WheelsOf:
    """An `occlum_wheels` target."""

    address: Address


@dataclass(frozen=True)
class AskedWheels:
    """The wheels of a target by the names of their distributions, and where they go."""

    wheels: tuple[Wheel, ...]
    layout: Layout


@rule(desc="Choose wheels", level=LogLevel.DEBUG)
async def asked_wheels(request: WheelsOf, python: PythonSetup) -> AskedWheels:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "wheels of an image"), **implicitly()
    )
    target = wrapped.target
    try:
        platform = Platform(
            target[WheelsPythonField].value or "", target[WheelsGlibcField].value or ""
        )
    except OcclumError as error:
        problem = error.problems[0]
        raise invalid_field(
            f"The 'python' and 'glibc' fields in target {target.address}: {problem.message}; "
            f"{problem.hint}."
        ) from None
    layout = Layout(
        _absolute(target, WheelsTargetField),
        _absolute(target, WheelsPrefixField).rstrip("/"),
        _interpreter(target),
        platform.feature,
    )
    file = _lockfile(target, python.resolves)
    found = await project_texts([file], LOCK_BYTES)
    if found.too_large:
        raise too_large(file, LOCK_BYTES, CODE)
    if not found.contents:
        message = "there is no such lock file that Pants sees"
        raise OcclumError(CODE, message, place=Place(file), hint=HINT)
    # Here, as it would add pyparsing to each start of Pants.
    from occlum_build.wheels.choose import choose_wheels

    lock = read_lock(found.contents[file], file)
    requirements = target[WheelsRequirementsField].value or ()
    return AskedWheels(choose_wheels(lock, requirements, platform), layout)


def _lockfile(target: Target, resolves: Mapping[str, str]) -> str:
    """The lock file below the build root."""
    value, resolve = target[WheelsLockfileField].value or "", target[WheelsResolveField].value
    if bool(value) == bool(resolve):
        raise invalid_target(
            f"Target {target.address} must have one of the fields 'resolve' and 'lockfile'."
        )
    if resolve:
        if resolve not in resolves:
            raise invalid_field(
                f"The 'resolve' field in target {target.address} is {resolve!r}, and "
                f"[python].resolves has {', '.join(map(repr, sorted(resolves))) or 'none'}."
            )
        return posixpath.normpath(resolves[resolve])
    path = project_path(value, target.address.spec_path) if value else ""
    if path in ("", "..") or path.startswith(("/", "../")):
        raise invalid_target(
            f"The 'lockfile' field in target {target.address} must be a path below the build root, "
            f"not {value!r}."
        )
    return path


def _absolute(target: Target, field_type: type[StringField]) -> str:
    value = target[field_type].value or ""
    if not is_absolute(value, top=True):
        raise invalid_field(
            f"The {field_type.alias!r} field in target {target.address} must be an absolute path "
            f"without `.`, `..` and double slashes, not {value!r}."
        )
    return value


def _interpreter(target: Target) -> str:
    value = _absolute(target, WheelsInterpreterField)
    if re.search(r"\s", value) or len(value.encode()) > _INTERPRETER_BYTES:
        raise invalid_field(
            f"The 'interpreter' field in target {target.address} is {value!r}, which no script can "
            f"name: no blanks, and {_INTERPRETER_BYTES} bytes at most."
        )
    return value


def rules() -> Iterable[Rule]:
    return collect_rules()
