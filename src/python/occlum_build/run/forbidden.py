"""Why a machine does not let us run anything in namespaces of its own, and the way out."""

from __future__ import annotations

import errno

from occlum_build.errors import OcclumError, Problem
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.reading import read_file

CODE, FORBIDDEN = "run", "run-forbidden"
_SYSCTLS = (
    # File below /proc/sys, the value that forbids it, and what allows it.
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
_IN_CONTAINER = (
    "in a container it takes what `docker run --security-opt seccomp=unconfined` allows, and "
    "`--security-opt systempaths=unconfined` for /proc; on a machine of your own, root may always"
)
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS)


def cannot_run(error: OSError) -> Problem:
    """The problem of what failed while a root of its own was made for a program."""
    what = f"{error.filename}: " if error.filename else ""
    text = f"{what}{error.strerror or error}"
    if error.errno not in _REFUSALS:
        return Problem(CODE, f"the image cannot be run: {text}")
    message = f"this machine lets nobody but root make a root file system of its own ({text})"
    return Problem(FORBIDDEN, message, hint=way_out())


def way_out() -> str:
    """What to do on this machine."""
    for name, forbidding, command in _SYSCTLS:
        if _sysctl(name) == forbidding:
            return f"allow user namespaces: `sudo {command}`"
    return _IN_CONTAINER


def _sysctl(name: str) -> str:
    try:
        return read_file(f"/proc/sys/{name}", STATE_BYTES).decode("ascii", "replace").strip()
    except OcclumError:  # kernels have those that they know
        return ""
