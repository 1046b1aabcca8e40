"""Where in a registry an image goes: `registry.example:5000/team/app:1.0`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from occlum_build.errors import OcclumError

_CODE = "oci"
# The grammar of references of the distribution project, as Docker and skopeo read them.
_LABEL = "(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_REGISTRY = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DEFAULT_TAG = "latest"


@dataclass(frozen=True)
class Repository:
    """A registry, `host` or `host:port`, a path in it, and the tag that an image gets there."""

    registry: str
    path: str
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}:{self.tag}"

    @property
    def is_loopback(self) -> bool:
        """Is the registry on this machine, where nobody listens to plain HTTP?"""
        host = self.registry.partition(":")[0]
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host.lower() == "localhost"


def parse_repository(text: str) -> Repository:
    """The repository that is written as `registry/path` or `registry/path:tag`.

    Without a tag it is `latest`. Raises OcclumError `oci` for anything else: a name without its
    registry would go to Docker Hub.
    """
    if "://" in text:
        raise _wrong(text, "is written with a scheme", f"write {text.partition('://')[2]}")
    if "@" in text:
        raise _wrong(text, "has a digest", "push to a tag: the image brings its digest along")
    registry, _, rest = text.partition("/")
    path, colon, tag = rest.partition(":")
    is_registry = "." in registry or ":" in registry or registry == "localhost"
    if not rest or not is_registry or not _REGISTRY.fullmatch(registry):
        raise _wrong(text, "names no registry", "write registry/path:tag")
    if not _PATH.fullmatch(path):
        hint = "a path has lower-case letters, digits and `.`, `_`, `-`"
        raise _wrong(text, f"has the path {path!r}", hint)
    if colon and not _TAG.fullmatch(tag):
        raise _wrong(text, f"has the tag {tag!r}", "a tag has letters, digits and `.`, `_`, `-`")
    return Repository(registry, path, tag or _DEFAULT_TAG)


def _wrong(text: str, what: str, hint: str) -> OcclumError:
    return OcclumError(_CODE, f"the repository {text!r} {what}", hint=hint)
