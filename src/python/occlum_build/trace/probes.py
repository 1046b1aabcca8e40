"""What programs ask for without needing it, and what a machine has for all its programs.

The rules go by paths alone, so that everybody can tell what they leave out (docs/trace.md).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection

from occlum_build.run.layers import NOT_INSTALLED

DEFAULT = "the C library goes on without it"
LIBOS = "the libOS makes it at boot"
CACHE = "a cache, which is made anew"
HOOK = "hidden: the machine has it for all its programs"
LOOKED = "only looked at: nothing in it was used"
LIBRARY = "the closure brings it"
REFUSED = "you may not look for it in the root"
# In the order in which they are told.
REASONS = (DEFAULT, LIBOS, CACHE, HOOK, LIBRARY, REFUSED, LOOKED)

_DEFAULTS = (
    "/etc/gai.conf", "/etc/host.conf", "/etc/locale.alias", "/etc/localtime", "/etc/nsswitch.conf",
    "/usr/share/locale/locale.alias",
)  # fmt: skip
_MADE_AT_BOOT = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
_CACHES = re.compile(r"/__pycache__(/|$)")
_HOOKS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/usr/lib/python3*/sitecustomize.py",
    "/usr/lib/python3*/*-packages/*.pth",
    "/usr/local/lib/python3*/*-packages/*.pth",
)
_HOOK = re.compile(
    r"/etc/ld\.so\.(cache|preload)|/usr(/local)?/lib/python3[^/]*/(sitecustomize\.py"
    r"|[^/]*-packages/[^/]*\.pth)"
)
# Converters of the C library, which knows UTF-8 by itself, and the archive of locales.
_CONVERTERS = re.compile(r".*/gconv/gconv-modules(\.cache|\.d/.*)?")
_CONVERTER = re.compile(r".*/gconv/[^/]*\.so")
_ARCHIVE = "/usr/lib/locale/locale-archive"
_LOCALE = re.compile(r"/usr/lib/locale/[^/]+/.+")
_NEVER = tuple(f"/{name}" for name in NOT_INSTALLED if name not in ("home", "root"))


def is_at_run_time(path: str) -> bool:
    """Whether it is there at run time only, as /proc is, and in no image."""
    return f"{path}/".startswith(tuple(f"{one}/" for one in _NEVER))


def reason_to_leave_out(path: str, asked: Collection[str]) -> str:
    """Why a path that the image lacks is not missing; "" where it is.

    `asked` is what the same programs asked for: it tells whether they went on.
    """
    if path in _DEFAULTS:
        return DEFAULT
    if path in _MADE_AT_BOOT:
        return LIBOS
    if _HOOK.fullmatch(path):
        return HOOK
    if _CONVERTERS.fullmatch(path) and not any(map(_CONVERTER.fullmatch, asked)):
        return DEFAULT
    if path == _ARCHIVE and any(map(_LOCALE.fullmatch, asked)):
        return DEFAULT
    return CACHE if _CACHES.search(path) else ""


def hidden_paths(root: str) -> tuple[str, ...]:
    """What of a root file system programs are not to see, relative to it, sorted."""
    prefix = "" if root == "/" else root.rstrip("/")
    found = [path for one in _HOOKS for path in glob.glob(glob.escape(prefix) + one)]
    return tuple(sorted(os.path.relpath(path, root) for path in found))
