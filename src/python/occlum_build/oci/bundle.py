"""A bundle as its user describes it: defaults of the runtime, and checks before anything runs."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from occlum_build.checks.enclave import start_problem
from occlum_build.checks.refusal import program_problem
from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError, Report
from occlum_build.occlum.instance import SIGNED_LIBOS
from occlum_build.oci.config import Container
from occlum_build.oci.runtimes import RUNTIMES, Runtime
from occlum_build.oci.settings import (
    ARGS,
    LOG_LEVEL,
    PATH,
    RA_TYPE,
    SPID,
    TYPE,
    VARIABLES,
    Settings,
    check_variables,
    read_settings,
)
from occlum_build.sources.model import DIR, FILE

_CODE = "bundle"
_RELEASE = "OCCLUM_RELEASE_ENCLAVE=1"
# Occlum's own levels; what its PAL makes of rune's others is not documented.
_OCCLUM_LOG_LEVELS = ("off", "error", "info", "trace")


@dataclass(frozen=True)
class BundleSpec:
    """What a user says of a bundle; None and "" stand for the runtime's defaults.

    `args` is the argv of the program, for an enclave a path inside of it. `runtime_args` go to the
    enclave runtime's PAL, `runtime_path` is that PAL on the host.
    """

    runtime: str
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = ""
    runtime_path: str = ""
    runtime_args: tuple[str, ...] | None = None
    log_level: str = ""
    ra_type: str = ""
    spid: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    hostname: str = "rune"
    read_only: bool = False


def container_of(
    spec: BundleSpec,
    rootfs: Root,
    report: Report,
    *,
    programs: Root | None = None,
    entry_points: Sequence[str] = (),
    is_release: bool = False,
) -> Container:
    """The container, checked against the root file system; problems have the code `bundle`.

    `programs` is where the program is looked up: the image inside of the enclave. Without one it is
    not looked up. `entry_points`: those of the enclave. `is_release` tells that the enclave is not
    debuggable. Raises OcclumError `usage` for a runtime that is not in RUNTIMES.
    """
    runtime = RUNTIMES.get(spec.runtime)
    if runtime is None:
        known = ", ".join(RUNTIMES)
        raise OcclumError("usage", f"{spec.runtime} is no runtime", hint=f"known are {known}")
    annotations = {**spec.annotations, **_annotations(spec, runtime, report)}
    for name in sorted(spec.annotations.keys() & VARIABLES.keys()):
        report.error(_CODE, f"the annotation {name} is made from the bundle's own settings")
    settings = read_settings(annotations, spec.env, report)
    if settings.enclave_type != runtime.enclave_type:
        report.error(
            _CODE,
            f"the environment sets {VARIABLES[TYPE]} to {settings.enclave_type!r}, "
            f"but the runtime {runtime.name} has {runtime.enclave_type!r}",
        )
    cwd = spec.cwd or runtime.cwd
    check_variables(spec.env, _CODE, report)
    if is_release and _RELEASE not in spec.env:
        report.warn(
            _CODE,
            "this is a release enclave, and Occlum starts a debug enclave unless it is told",
            hint=f"add {_RELEASE} to `env`",
        )
    _check_directory(cwd, runtime, settings, rootfs, report)
    _check_program(spec.args, runtime, programs, entry_points, report)
    variables = tuple(VARIABLES.values())
    env = tuple(item for item in spec.env if item.split("=", 1)[0] not in variables)
    effective = _effective_annotations(annotations, settings)
    return Container(spec.args, env, cwd, effective, spec.hostname, spec.read_only)


def _annotations(spec: BundleSpec, runtime: Runtime, report: Report) -> dict[str, str]:
    args = spec.runtime_args if spec.runtime_args is not None else runtime.args
    for arg in args:
        if not arg or "," in arg or any(character.isspace() for character in arg):
            report.error(
                _CODE,
                f"the runtime argument {arg!r} would not arrive as one",
                hint="arguments are joined by commas, which rune replaces by blanks",
            )
    if runtime.enclave_type and not args:
        report.warn(
            _CODE,
            f"{runtime.name} is given no arguments",
            hint="set `runtime_args`, for Nitro as in docs/oci.md",
        )
    values = {
        TYPE: runtime.enclave_type,
        PATH: spec.runtime_path or runtime.pal_path,
        ARGS: ",".join(args),
        LOG_LEVEL: spec.log_level or ("info" if runtime.enclave_type else ""),
        RA_TYPE: spec.ra_type,
        SPID: spec.spid,
    }
    return {name: value for name, value in values.items() if value}


def _effective_annotations(annotations: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The annotations with what the environment says instead, as rune itself would merge them."""
    values = {
        TYPE: settings.enclave_type,
        PATH: settings.path,
        ARGS: settings.args.replace(" ", ","),
        LOG_LEVEL: settings.log_level,
        RA_TYPE: settings.ra_type,
        SPID: settings.spid,
    }
    merged = {name: value for name, value in annotations.items() if name not in VARIABLES}
    merged.update((name, value) for name, value in values.items() if value)
    return merged


def _check_directory(
    cwd: str, runtime: Runtime, settings: Settings, rootfs: Root, report: Report
) -> None:
    """The working directory is there and holds what the runtime looks for in it."""
    if not cwd.startswith("/"):
        report.error(_CODE, f"the working directory {cwd} must be absolute")
        return
    if rootfs.kind(cwd) != DIR:
        # Plain runc makes the directory; a PAL would find nothing in it.
        if runtime.enclave_type and runtime.cwd != "/":
            report.error(_CODE, f"there is no working directory {cwd} in the root file system")
        return
    if runtime.name == "occlum":
        _check_instance(cwd, settings, rootfs, report)
    names = rootfs.children(cwd)
    for pattern in runtime.needs:
        if not fnmatch.filter(names, pattern):
            report.error(_CODE, f"{runtime.name} needs {pattern} in {cwd}")


def _check_instance(cwd: str, settings: Settings, rootfs: Root, report: Report) -> None:
    instance = posixpath.join(cwd, settings.args)
    if not settings.args or " " in settings.args:
        report.error(_CODE, f"{ARGS} must be the instance directory alone: {settings.args!r}")
    elif rootfs.kind(f"{instance}/build/{SIGNED_LIBOS}") != FILE:
        report.error(
            _CODE,
            f"there is no instance with a signed enclave in {posixpath.normpath(instance)}",
            hint=f"{ARGS} is relative to the working directory, which is {cwd}",
        )
    if settings.log_level and settings.log_level not in _OCCLUM_LOG_LEVELS:
        report.warn(
            _CODE,
            f"the log level {settings.log_level} is rune's; Occlum may know it by another name",
            hint=f"known to both are {', '.join(_OCCLUM_LOG_LEVELS)}",
        )


def _check_program(
    args: tuple[str, ...],
    runtime: Runtime,
    programs: Root | None,
    entry_points: Sequence[str],
    report: Report,
) -> None:
    if not args or not args[0]:
        report.error(_CODE, "there is no program to run", hint="name it with `args`")
        return
    program = args[0]
    if not program.startswith("/"):
        if runtime.name == "occlum":
            message = f"the program {program} must be an absolute path inside the enclave"
            report.error(_CODE, message)
        return
    found = None
    if programs is not None and runtime.name == "occlum":
        found = start_problem(programs, program, entry_points)
    elif programs is not None:
        found = program_problem(programs, program, libos=False)
    if found is not None:
        report.add(found)
