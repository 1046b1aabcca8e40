"""Runtime boot: what a root file system, its template's init and Occlum.json must have.

See docs/runtime-boot.md; the init is src/c/boot_init.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.sgx.config import Node
from occlum_build.sgx.config.jsontext import Object, plain
from occlum_build.shown import quoted
from occlum_build.sources.model import DIR, FILE, regular_file
from occlum_build.sources.os import OsSources

BOOT_CONF = "etc/boot.conf"
INIT = "/bin/init"
# Mount points, and what programs expect; the libOS also writes into etc at boot.
DIRECTORIES = ("dev", "etc", "host", "lib", "proc", "root", "sys", "tmp")
LOADERS = (GLIBC_LOADER, MUSL_LOADER)
# Limits of boot_init.c, and of paths of Linux.
_CONF_BYTES, _PATH_BYTES = 1 << 16, 4095
_CONTROL = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class BootSettings:
    """What the init of a boot template passes to the libOS; "" keeps what it was built with.

    `lower`, `upper`, `hostfs_source`: directories of the host, absolute or relative to where the
    enclave is started. `entry_point`, `hostfs_target`: absolute paths in the root file system.
    `key_file`, `key_program`: absolute paths in the initfs, one of them. `env`: `NAME=value`.
    """

    lower: str
    upper: str
    entry_point: str = ""
    hostfs_source: str = ""
    hostfs_target: str = ""
    key_file: str = ""
    key_program: str = ""
    env: tuple[str, ...] = ()


def boot_conf(settings: BootSettings) -> bytes:
    """The content of BOOT_CONF: `name=value` lines. Raises OcclumError `boot-settings`."""
    report = Report()
    _check_settings(settings, report)
    names = [field.name for field in fields(settings) if field.name != "env"]
    given = [(name, getattr(settings, name)) for name in names]
    lines = [*given, *(("env", item) for item in settings.env)]
    text = "".join(f"{name}={value}\n" for name, value in lines if value)
    content = text.encode("utf-8", "replace")
    if len(content) > _CONF_BYTES:
        _wrong(report, f"all settings together are longer than {_CONF_BYTES} bytes")
    report.raise_errors()
    return content


def _check_settings(settings: BootSettings, report: Report) -> None:
    paths = {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if field.name != "env"
    }
    for name, value in [*paths.items(), *(("env", item) for item in settings.env)]:
        if _CONTROL.search(value) or not _is_unicode(value):
            _wrong(report, f"{name}: {quoted(value)} holds a control character or no Unicode text")
    for name, value in paths.items():
        if len(value.encode("utf-8", "replace")) > _PATH_BYTES:
            _wrong(report, f"{name} is longer than {_PATH_BYTES} bytes")
    for name in ("entry_point", "hostfs_target", "key_file", "key_program"):
        if paths[name] and not paths[name].startswith("/"):
            _wrong(report, f"{name}: {quoted(paths[name])} is not absolute")
    for name in ("lower", "upper"):
        if not paths[name]:
            _wrong(report, f"{name} is empty")
    if "," in settings.lower:
        _wrong(
            report, f"lower: {quoted(settings.lower)} has a comma, which mount options cannot hold"
        )
    if settings.lower and settings.lower == settings.upper:
        _wrong(report, "lower and upper are the same directory")
    if settings.hostfs_target and not settings.hostfs_source:
        _wrong(report, "hostfs_target needs hostfs_source")
    if bool(settings.key_file) == bool(settings.key_program):
        hint = "the key is read from a file of the initfs, or from what a program of it prints"
        _wrong(report, "one of key_file and key_program must be given", hint)
    _check_env(settings.env, report)


def _check_env(env: tuple[str, ...], report: Report) -> None:
    names = set()
    for item in env:
        name, equals, _ = item.partition("=")
        if not name or not equals:
            _wrong(report, f"env: {quoted(item)} must be written as NAME=value")
        elif name in names:
            _wrong(report, f"env: {name} is set twice")
        names.add(name)


def _wrong(report: Report, message: str, hint: str = "") -> None:
    report.error("boot-settings", message, hint=hint)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_rootfs(settings: BootSettings, kind: Callable[[str], str]) -> None:
    """Check that an image can be booted as the root file system.

    `kind`: that of what an absolute path in the image leads to, links followed, "" where nothing
    is. Raises OcclumError `boot-rootfs`, of all that is missing.
    """
    report = Report()
    missing = [name for name in DIRECTORIES if kind(f"/{name}") != DIR]
    if missing:
        message = f"the image lacks what a boot needs, the directories: {', '.join(missing)}"
        hint = f"make them in a BOM, target /: `mkdirs: [{', '.join(missing)}]`"
        report.error("boot-rootfs", message, hint=hint)
    if not any(kind(loader) == FILE for loader in LOADERS):
        message = f"the image has no loader of programs: neither {' nor '.join(LOADERS)}"
        report.error("boot-rootfs", message, hint="a program that is copied with autodep brings it")
    if settings.entry_point and not kind(settings.entry_point):
        message = f"entry_point: there is no {settings.entry_point} in the image"
        report.error("boot-rootfs", message)
    if settings.hostfs_target and kind(settings.hostfs_target) != DIR:
        message = f"hostfs_target: there is no directory {settings.hostfs_target} in the image"
        report.error("boot-rootfs", message, hint="it is a mount point: make it with `mkdirs`")
    report.raise_errors()


def check_hostfs(config: Node) -> None:
    """Check that there is a mount for `hostfs_source`; raises OcclumError `config-hostfs`.

    `config` is an Occlum.json that was found good.
    """
    mounts = config.get("mount") if isinstance(config, Object) else None
    if mounts is not None and all(mount.get("type") != "hostfs" for mount in plain(mounts)):
        raise OcclumError(
            "config-hostfs",
            '$.mount: no mount has the type "hostfs", but the boot has a hostfs_source',
            place=mounts.place,
            hint='add {"target": "/host", "type": "hostfs", "source": "."}, '
            "whose target and source the boot replaces",
        )


def check_initfs(tree: Path, settings: BootSettings) -> None:
    """Check the programs of a boot template's initfs: INIT, and `key_program`, maybe a script.

    The libOS starts only position-independent programs with an interpreter (its do_spawn). Raises
    OcclumError `boot-init` with the path in the initfs.
    """
    sources, report = OsSources(str(tree)), Report()
    _check_program(sources, INIT, report)
    if settings.key_program:
        _check_program(sources, settings.key_program, report, may_be_script=True)
    report.raise_errors()


def _check_program(
    sources: OsSources, program: str, report: Report, *, may_be_script: bool = False
) -> None:
    real = regular_file(sources, program)
    facts = sources.facts(real) if real is not None else None
    message, hint = "", ""
    if real is None:
        message = "there is no such program in the initfs"
    elif facts is None:
        message = "" if may_be_script else "not an ELF program"
    elif facts.type != "ET_DYN" or facts.interpreter is None:
        message = "the libOS starts only position-independent programs with an interpreter"
        hint = "link it with `-pie` and without `-static`"
    elif regular_file(sources, facts.interpreter) is None:
        message = f"its interpreter {facts.interpreter} is not in the initfs"
        hint = "the default initfs has musl's: build it with musl-gcc"
    if message:
        report.error("boot-init", message, Place(program), hint)
