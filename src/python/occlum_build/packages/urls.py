"""Where a mirror has a file: bases and templates with {path}, {name}, {sha256} and {snapshot}."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from occlum_build.errors import OcclumError
from occlum_build.shown import quoted

_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = ("path", "name", "sha256", "snapshot")
_NAMES_A_FILE = {"path", "name", "sha256"}
_UNSEEN = r"[\x00-\x20\x7f-\uffff]"  # compiled where it is used: that takes 5 ms


class Wanted(NamedTuple):
    """A file of an archive. path: below the archive; sha256 is "" where it is not known, size -1.

    snapshot: what {snapshot} becomes, "" where that is not known. what: its name for people.
    """

    path: str
    sha256: str = ""
    size: int = -1
    snapshot: str = ""
    what: str = ""


def check_mirror(template: str) -> None:
    """Raise OcclumError `packages-mirror` for what is neither a base nor a template."""
    message = ""
    hint = "http://host/debian, file:/srv/debian, or one with {path}, {name}, {sha256}, {snapshot}"
    if template.startswith("/"):
        rest = template
    else:
        scheme, _, rest = template.partition(":")
        if scheme in ("http", "https"):
            message = _fault_of_url(template)
        elif scheme != "file" or not rest.startswith("/"):
            message = "is no http:, https: or file: URL, and no absolute path"
    unknown = [one for one in _FIELD.findall(template) if one not in _FIELDS]
    if not message and unknown:
        message = f"has {{{unknown[0]}}}, which is no field"
    elif not message and re.search(r"[{}]", _FIELD.sub("", template)):
        message = "has a brace that is part of no field"
    if message:
        mirror = quoted(without_password(template))
        raise OcclumError("packages-mirror", f"the mirror {mirror} {message}", hint=hint)


def without_password(url: str) -> str:
    """A URL, maybe none, as it may be told: without what is before an `@`, but its scheme."""
    before, at, rest = url.rpartition("@")
    if not at:
        return url
    scheme, colon, _ = before.partition("://")
    return (f"{scheme}{colon}" if colon else "") + f"...@{rest}"


def why_no_url(url: str, error: ValueError) -> str:
    """What urllib says of a URL; it may have quoted a password."""
    return "is no URL" if "@" in url else f"is no URL: {error}"


def _fault_of_url(template: str) -> str:
    try:
        parts = urlsplit(template)
        host = parts.hostname
        _ = parts.port  # raises ValueError as well
    except ValueError as error:
        return why_no_url(template, error)
    if not host:
        return "names no host"
    if "@" in parts.netloc:
        return "has a name or a password in it, which would get into logs"
    if re.search(_UNSEEN, template):
        return "has a character that no URL has"
    if parts.fragment or (parts.query and not _NAMES_A_FILE & set(_FIELD.findall(template))):
        return "has a query or a fragment"
    return ""


def location(template: str, wanted: Wanted) -> str:
    """Where a mirror has a file; "" where the template asks for what is not known of it.

    A path begins with "/", all else is a URL of http or https.
    """
    fields = set(_FIELD.findall(template))
    if not fields & _NAMES_A_FILE:
        template = template.rstrip("/") + "/{path}"
        fields.add("path")
    values = {
        "path": wanted.path,
        "name": posixpath.basename(wanted.path),
        "sha256": wanted.sha256,
        "snapshot": wanted.snapshot,
    }
    if not all(values[field] for field in fields):
        return ""
    is_url = template.startswith("http")
    if template.startswith("file:"):
        template = unquote(re.sub(r"\Afile:(?://)?(?=/)", "", template))
    # `+` is a blank to some servers, and all take its escape.
    return _FIELD.sub(lambda m: quote(values[m[1]]) if is_url else values[m[1]], template)
