"""Python distributions that are installed in an image, by the metadata that they leave.

https://packaging.python.org/en/latest/specifications/core-metadata/, and RECORD of a `.dist-info`.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from occlum_build.sbom.model import web_address
from occlum_build.shown import in_utf8

# PKG-INFO of setuptools' older way, as a file of its own or in a directory.
METADATA = re.compile(r".*/[^/]+(?:\.dist-info/METADATA|\.egg-info(?:/PKG-INFO)?)")
_FIELD = re.compile(r"([A-Za-z-]+):\s*(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+")
_LICENSE = re.compile(r"License :: OSI Approved :: (.*)")
_MOST_OF_A_LICENSE = 100  # characters
# Classifiers that name one license: most leave its version open.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}


class Distribution(NamedTuple):
    """A distribution by its METADATA; `name` is normalized as package URLs have it."""

    name: str
    version: str
    license: str = ""
    homepage: str = ""


def distribution_of(metadata: bytes) -> Distribution | None:
    """What METADATA or PKG-INFO says, None where it has no name and version that are such."""
    fields: dict[str, list[str]] = {}
    for name, value in _fields(in_utf8(metadata.decode("utf-8", "surrogateescape"))):
        fields.setdefault(name.lower(), []).append(value)
    (name, version, home) = (
        fields.get(field, [""])[0] for field in ("name", "version", "home-page")
    )
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        return None
    normal = re.sub(r"[-_.]+", "-", name).lower()
    home = home if home.startswith(("http://", "https://")) else ""
    return Distribution(normal, version, _license(fields), web_address(home))


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Those of the head: behind an empty line there is a description. Folded ones keep lines."""
    head = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").lstrip("\n"), maxsplit=1)[0]
    for lines in re.split(r"\n(?![ \t])", head):
        field = _FIELD.fullmatch(lines)
        if field:
            yield field[1], field[2].strip()


def _license(fields: dict[str, list[str]]) -> str:
    expression = fields.get("license-expression", [""])[0]
    if expression:
        return expression
    text = fields.get("license", [""])[0]
    is_name = "\n" not in text and len(text) <= _MOST_OF_A_LICENSE  # many have a whole license
    if text and text != "UNKNOWN" and is_name:
        return text
    found = [_LICENSE.fullmatch(one) for one in fields.get("classifier", [])]
    names = {_CLASSIFIERS.get(one[1], "") for one in found if one}
    return names.pop() if len(names) == 1 else ""


def recorded_files(record: bytes, site: str) -> set[str]:
    """The absolute paths that a RECORD lists; `site` is the directory that has the `.dist-info`."""
    text = record.decode("utf-8", "surrogateescape")
    try:
        rows = [row[0] for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error:
        return set()
    return {posixpath.normpath(posixpath.join(site, path)) for path in rows}
