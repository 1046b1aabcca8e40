"""config.json of a bundle (OCI runtime specification 1.0.2), with rune's annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OCI_VERSION = "1.0.2"
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONFIG, ROOTFS = "config.json", "rootfs"
_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
_QUIET = ("nosuid", "noexec", "nodev")
# Destination, type, source, options: what `runc spec` has. rune adds the sockets of the host's
# services by itself; naming one that is not there would make the bundle unusable.
_MOUNTS = (
    ("/proc", "proc", "proc", ()),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    ("/dev/shm", "tmpfs", "shm", (*_QUIET, "mode=1777", "size=65536k")),
    ("/dev/mqueue", "mqueue", "mqueue", _QUIET),
    ("/sys", "sysfs", "sysfs", (*_QUIET, "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", (*_QUIET, "relatime", "ro")),
)
_MASKED = (
    *(f"/proc/{name}" for name in ("acpi", "asound", "kcore", "keys", "latency_stats")),
    *(f"/proc/{name}" for name in ("timer_list", "timer_stats", "sched_debug", "scsi")),
    "/sys/firmware",
)
_READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))


@dataclass(frozen=True)
class Container:
    """The process of a container: argv, `NAME=value` variables, working directory, annotations."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    annotations: Mapping[str, str] = field(default_factory=dict)
    hostname: str = "rune"
    read_only: bool = False


def config_of(container: Container) -> dict[str, Any]:
    """The value of config.json; the root file system is `rootfs` beside it."""
    root: dict[str, Any] = {"path": ROOTFS}
    if container.read_only:
        root["readonly"] = True
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(container),
        "root": root,
        "hostname": container.hostname,
        "mounts": [_mount(*row) for row in _MOUNTS],
        "annotations": dict(container.annotations),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def config_json(container: Container) -> bytes:
    """The text of config.json: UTF-8, sorted keys, one text for one container."""
    config = config_of(container)
    return (json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _process(container: Container) -> dict[str, Any]:
    has_path = any(item.startswith("PATH=") for item in container.env)
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": list(container.args),
        "env": [*(() if has_path else (DEFAULT_PATH,)), *container.env],
        "cwd": container.cwd,
        "capabilities": {
            kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    }


def _mount(destination: str, kind: str, source: str, options: tuple[str, ...]) -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
    if options:
        mount["options"] = list(options)
    return mount
