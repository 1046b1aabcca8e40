"""What rune takes from annotations and environment: the same reading, and its pitfalls as errors.

rune ignores most mistakes without a word; docs/oci.md has the table.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from occlum_build.errors import Report
from occlum_build.oci.runtimes import ENCLAVE_TYPES

TYPE, PATH, ARGS = "enclave.type", "enclave.runtime.path", "enclave.runtime.args"
LOG_LEVEL, RA_TYPE = "enclave.runtime.loglevel", "enclave.attestation.ra_type"
SPID = "enclave.attestation.ra_epid_spid"
SUBSCRIPTION_KEY = "enclave.attestation.ra_epid_subscription_key"

# Annotation -> environment variable that says the same, and wins.
VARIABLES = {
    TYPE: "ENCLAVE_TYPE",
    PATH: "ENCLAVE_RUNTIME_PATH",
    ARGS: "ENCLAVE_RUNTIME_ARGS",
    LOG_LEVEL: "ENCLAVE_RUNTIME_LOGLEVEL",
    RA_TYPE: "ENCLAVE_RA_TYPE",
    SPID: "ENCLAVE_RA_EPID_SPID",
    SUBSCRIPTION_KEY: "ENCLAVE_RA_EPID_SUB_KEY",
}
LOG_LEVELS = ("trace", "debug", "info", "warning", "error", "fatal", "panic", "off")
RA_TYPES = ("ecdsa", "epidLinkable", "epidUnlinkable")
_CODE = "bundle"


@dataclass(frozen=True)
class Settings:
    """What rune works with in the end; `args` as the enclave runtime gets them, "" = not set."""

    enclave_type: str = ""
    path: str = ""
    args: str = ""
    log_level: str = ""
    ra_type: str = ""
    spid: str = ""


def read_settings(annotations: Mapping[str, str], env: Iterable[str], report: Report) -> Settings:
    """The settings of a config.json or an image; what rune refuses or ignores goes to the report.

    Problems have the code `bundle`.
    """
    values = _effective(annotations, env, report)
    settings = Settings(
        values.get(TYPE, ""),
        values.get(PATH, ""),
        values.get(ARGS, "").replace(",", " "),
        values.get(LOG_LEVEL, ""),
        values.get(RA_TYPE, ""),
        values.get(SPID, ""),
    )
    if settings.enclave_type:
        _check_runtime(settings, report)
        _check_attestation(settings, report)
    elif values:
        names = ", ".join(sorted(values))
        report.error(
            _CODE,
            f"{names} without {TYPE}: rune would run the program without an enclave",
            hint=f"set {TYPE} to one of {', '.join(ENCLAVE_TYPES)}",
        )
    return settings


def check_variables(env: Iterable[str], code: str, report: Report) -> None:
    """Every variable must be `NAME=value`, and be set only once; problems have that code."""
    seen = set()
    for item in env:
        name, equals, _ = item.partition("=")
        if not name or not equals:
            report.error(code, f"the variable {name!r} must be written as NAME=value")
        elif name in seen:
            report.error(code, f"the variable {name} is set twice")
        seen.add(name)


def _effective(
    annotations: Mapping[str, str], env: Iterable[str], report: Report
) -> dict[str, str]:
    """Annotation -> value, as rune merges the two."""
    values: dict[str, str] = {}
    for name, value in sorted(annotations.items()):
        if name in VARIABLES:
            values[name] = value
        elif name.startswith("enclave."):
            hint = _did_you_mean(name, VARIABLES)
            report.error(_CODE, f"the annotation {name} is unknown; rune ignores it", hint=hint)
    given = dict(item.split("=", 1) for item in env if "=" in item)
    for annotation, variable in VARIABLES.items():
        value = given.get(variable, "")
        if len(value) == 1:
            report.error(
                _CODE,
                f"{variable}={value}: rune ignores a value of one character",
                hint="a directory can be written as `./`",
            )
        elif value:
            values[annotation] = value
    known = set(VARIABLES.values())
    for name in sorted(given):
        near = difflib.get_close_matches(name, sorted(known), 1, 0.8)
        if name not in known and near:
            report.warn(_CODE, f"{name} means nothing to rune", hint=f"did you mean {near[0]}?")
    if SUBSCRIPTION_KEY in values:
        del values[SUBSCRIPTION_KEY]
        report.error(
            _CODE,
            f"{SUBSCRIPTION_KEY} is a secret and must be in no bundle or image",
            hint=f"set {VARIABLES[SUBSCRIPTION_KEY]} where the container is started",
        )
    return values


def _check_runtime(settings: Settings, report: Report) -> None:
    if settings.enclave_type not in ENCLAVE_TYPES:
        report.error(
            _CODE,
            f"Enclave hardware type ({settings.enclave_type}) is not supported",
            hint=_did_you_mean(settings.enclave_type, ENCLAVE_TYPES),
        )
    if not settings.path:
        report.error(_CODE, "enclave runtime path is not configured", hint=f"set {PATH}")
    elif not settings.path.startswith("/"):
        report.error(_CODE, f"{PATH} is a path on the host and must be absolute: {settings.path}")
    if settings.log_level and settings.log_level not in LOG_LEVELS:
        report.error(
            _CODE,
            f"the log level {settings.log_level} is unknown; rune would take `info`",
            hint=_did_you_mean(settings.log_level, LOG_LEVELS),
        )


def _check_attestation(settings: Settings, report: Report) -> None:
    kinds = {kind.lower(): kind for kind in RA_TYPES}
    kind = kinds.get(settings.ra_type.lower(), "")
    if settings.ra_type and not kind:
        report.error(
            _CODE,
            f"the attestation type {settings.ra_type} is unknown; rune ignores it",
            hint=_did_you_mean(settings.ra_type, RA_TYPES),
        )
    elif kind.startswith("epid"):
        if not settings.spid:
            report.error(_CODE, f"{kind} needs an SPID", hint=f"set {SPID}")
        report.warn(
            _CODE,
            f"{kind} needs a subscription key, which is in no bundle",
            hint=f"set {VARIABLES[SUBSCRIPTION_KEY]} where the container is started",
        )
    elif settings.spid:
        report.warn(_CODE, f"{SPID} has no effect without an EPID type in {RA_TYPE}")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), sorted(by_lower), 1, 0.6)
    if near:
        return f"did you mean {by_lower[near[0]]}?"
    return f"known are {', '.join(sorted(by_lower.values()))}"
