"""Java archives in an image, by what Maven and the `jar` tool leave in them.

`META-INF/maven/GROUP/ARTIFACT/pom.properties`, one of each artefact that is in the archive, and the
main section of `META-INF/MANIFEST.MF` (the JAR File Specification).
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from occlum_build.elf.zip_reader import (
    BadZip,
    member_content,
    member_name,
    open_zip,
    overlapping_members,
)
from occlum_build.files.bounds import MIB
from occlum_build.files.reading import open_regular
from occlum_build.shown import in_utf8

SUFFIXES = (".jar", ".war", ".ear")
MOST_MEMBERS = 10_000  # artefacts that one archive tells of
_MEMBER_BYTES = 1 * MIB
_POM = re.compile(r"META-INF/maven/[^/]+/[^/]+/pom\.properties")
_MANIFEST = "META-INF/MANIFEST.MF"
_LINE = re.compile(r"\s*([A-Za-z.]+)\s*[=:]\s*(.*?)\s*")
_PLAIN = re.compile(r"[\w.+~:@-]{1,200}")
# What archives say that have no artefact of Maven, the better ones first.
_NAMES = ("Bundle-SymbolicName", "Automatic-Module-Name", "Implementation-Title")
_VERSIONS = ("Implementation-Version", "Bundle-Version", "Specification-Version")


class Artefact(NamedTuple):
    """An artefact; group is "" where an archive does not say it, version where it has none."""

    group: str
    name: str
    version: str
    license: str = ""


class Jar(NamedTuple):
    """own: what the archive itself is, None where it does not say; inner: the others in it."""

    own: Artefact | None
    inner: tuple[Artefact, ...] = ()


def jar_at(path: str) -> Jar:
    """What an archive says; of one that cannot be read as such nothing. Raises OcclumError `io`."""
    try:
        with open(open_regular(path), "rb") as stream, open_zip(stream) as archive:
            overlapping = overlapping_members(archive)
            texts = {}
            for member in archive.infolist():
                name = member_name(member)
                is_wanted = name == _MANIFEST or _POM.fullmatch(name)
                if is_wanted and member.file_size <= _MEMBER_BYTES and member not in overlapping:
                    texts[name] = b"".join(member_content(archive, member))
                if len(texts) > MOST_MEMBERS:
                    return Jar(None)
    except BadZip:
        return Jar(None)
    return _jar(texts)


def own_of(jar: Jar, path: str) -> Jar:
    """With the artefact that is the archive itself told from those in it, by the archive's name."""
    stem = posixpath.basename(path).rpartition(".")[0]
    named = [one for one in jar.inner if stem == one.name or stem.startswith(f"{one.name}-")]
    own = max(named, key=lambda one: (len(one.name), one), default=None)
    if own is None and len(jar.inner) == 1:
        own = jar.inner[0]
    if own is None:
        return jar
    license = jar.own.license if jar.own is not None else ""
    inner = tuple(one for one in jar.inner if one != own)
    return Jar(own._replace(license=license), inner)


def _jar(texts: dict[str, bytes]) -> Jar:
    manifest = _manifest(texts.pop(_MANIFEST, b""))
    inner = {one for text in texts.values() if (one := _artefact(_properties(text))) is not None}
    return Jar(manifest, tuple(sorted(inner)))


def _artefact(found: dict[str, str]) -> Artefact | None:
    group, name, version = (found.get(key, "") for key in ("groupId", "artifactId", "version"))
    if not (_PLAIN.fullmatch(group) and _PLAIN.fullmatch(name) and _PLAIN.fullmatch(version)):
        return None
    return Artefact(group, name, version)


def _manifest(text: bytes) -> Artefact | None:
    # A line that begins with a blank goes on with the one before.
    main = text.replace(b"\r\n", b"\n").replace(b"\n ", b"").partition(b"\n\n")[0]
    lines = (line.partition(": ") for line in _text(main).split("\n"))
    found = {key: value.strip() for key, _, value in lines}
    names = [found[key].partition(";")[0].strip() for key in _NAMES if key in found]
    versions = [found[key] for key in _VERSIONS if key in found]
    name = next(filter(_PLAIN.fullmatch, names), "")
    version = next(filter(_PLAIN.fullmatch, versions), "")
    group = found.get("Implementation-Vendor-Id", "")
    license = found.get("Bundle-License", "").partition(";")[0].strip()
    if not name:
        return None
    group = group if _PLAIN.fullmatch(group) else ""
    return Artefact(group, name, version, _LICENSES.get(license, ""))


_LICENSES = {
    f"{scheme}://{host}{path}": "Apache-2.0"
    for scheme in ("http", "https")
    for host in ("www.apache.org", "apache.org")
    for path in ("/licenses/LICENSE-2.0", "/licenses/LICENSE-2.0.txt", "/licenses/LICENSE-2.0.html")
}
_LICENSES.update({name: name for name in ("Apache-2.0", "MIT", "BSD-3-Clause", "EPL-2.0")})


def _properties(text: bytes) -> dict[str, str]:
    lines = (_LINE.fullmatch(line) for line in _text(text).split("\n"))
    return {line[1]: line[2] for line in lines if line}


def _text(data: bytes) -> str:
    return in_utf8(data.decode("utf-8", "surrogateescape"))
