"""What Debian's packages say of themselves: control files, and copyright files that machines read.

The formats are deb-control(5) and
https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/ (DEP-5).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from occlum_build.packages.stanzas import one_line, stanzas_of
from occlum_build.sbom.model import web_address
from occlum_build.shown import in_utf8

_FIELDS = ("Package", "Version", "Architecture", "Source", "Maintainer", "Homepage")
_FORMAT = re.compile(
    r"https?://(?:www\.)?(?:debian\.org|dep\.debian\.net)/\S*(?:1\.0|DEP5|dep5)\S*"
)
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")


class Control(NamedTuple):
    """A binary package by its control file; "" for what that does not say."""

    package: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    maintainer: str = ""
    homepage: str = ""


class Copyright(NamedTuple):
    """The licenses that a copyright file names, as it writes them, and the text of each by name."""

    licenses: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()


def controls_of(data: bytes) -> list[Control]:
    """The packages of a control file, of one or many stanzas, as dpkg's status has them."""
    return [
        _control({key: in_utf8(one_line(value)) for key, value in stanza.items()})
        for stanza in stanzas_of(data, _FIELDS)
        if "Package" in stanza and "Version" in stanza
    ]


def _control(stanza: dict[str, str]) -> Control:
    package, version = stanza["Package"], stanza["Version"]
    source = _SOURCE.fullmatch(stanza.get("Source", "")) or _SOURCE.fullmatch(package)
    name, source_version = source.groups() if source else ("", "")
    return Control(
        package,
        version,
        stanza.get("Architecture", ""),
        name,
        source_version or version,
        stanza.get("Maintainer", ""),
        web_address(stanza.get("Homepage", "")),
    )


def copyright_of(data: bytes) -> Copyright:
    """What a copyright file says, if it is one that machines read; nothing of any other."""
    stanzas = list(stanzas_of(data.replace(b"\r\n", b"\n"), ("Format", "License")))
    if not stanzas or not _FORMAT.fullmatch(stanzas[0].get("Format", "")):
        return Copyright()
    names: set[str] = set()
    texts: dict[str, str] = {}
    for stanza in stanzas:
        name, _, text = in_utf8(stanza.get("License", "")).partition("\n")
        name = one_line(name)
        if name:
            names.add(name)
        if name and text.strip():
            texts.setdefault(name, _unfolded(text))
    return Copyright(tuple(sorted(names)), tuple(sorted(texts.items())))


def _unfolded(text: str) -> str:
    """Without the blank before each line, and the dot of an empty one."""
    lines = [line[1:].rstrip() for line in text.split("\n")]
    return "\n".join("" if line.strip() == "." else line for line in lines).strip("\n")
