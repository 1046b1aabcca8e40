"""The manifest: the image's entries as canonical JSON, and the digest that names the image.

docs/manifest.md describes it, image/manifest.schema.json is its JSON schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.shown import in_utf8

SCHEMA_VERSION = 1

# Package and version by source path, of the files and links that packages have.
OfPackages = Mapping[str, tuple[str, str]]
_OF_NONE: OfPackages = MappingProxyType({})

_string = json.JSONEncoder(ensure_ascii=False).encode


class ManifestText(NamedTuple):
    """A manifest as canonical JSON.

    `identity` is the same without provenance, whose SHA-256 is the image digest, and `rows` the
    text of each entry in it, by the entry's path.
    """

    full: bytes
    identity: bytes
    rows: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The image digest: SHA-256 in hex."""
        return hashlib.sha256(self.identity).hexdigest()


def manifest_text(
    entries: Iterable[Entry], sha256: Callable[[str], str], packages: OfPackages = _OF_NONE
) -> ManifestText:
    """The manifest of planned entries; `sha256` gives the hex digest of a file by its source.

    Written entry by entry, as an image has 50,000 and objects for all of them cost seconds.
    """
    by_path = {entry.path: entry for entry in entries}
    root = by_path.pop("", None)
    mode = root.mode if root is not None else 0o755
    first = f'{{"mode":"{mode:04o}","path":"/","type":"{DIR}"}}'
    full, rows = [first], {"": first}
    for path in sorted(by_path):
        with_provenance, rows[path] = _row(by_path[path], sha256, packages)
        full.append(with_provenance)
    return ManifestText(_document(full), _document(rows.values()), rows)


def exchanged_text(
    before: ManifestText,
    exchanged: Iterable[tuple[Entry, Entry]],
    sha256_before: Callable[[str], str],
    sha256: Callable[[str], str],
    packages: OfPackages = _OF_NONE,
) -> ManifestText:
    """The text of a manifest in which a few files are exchanged for others at the same paths.

    It is that of `manifest_text`: a row begins with unescaped quotes and a path that no other has,
    so that it stands in the document once.
    """
    full, identity, rows = before.full, before.identity, dict(before.rows)
    for old, new in exchanged:
        old_full, old_row = _row(old, sha256_before, packages)
        new_full, new_row = _row(new, sha256, packages)
        full = full.replace(old_full.encode(), new_full.encode(), 1)
        identity = identity.replace(old_row.encode(), new_row.encode(), 1)
        rows[new.path] = new_row
    return ManifestText(full, identity, rows)


def manifest_of(entries: Iterable[Entry], sha256: Callable[[str], str]) -> dict[str, Any]:
    """The manifest as an object."""
    manifest: dict[str, Any] = json.loads(manifest_text(entries, sha256).full)
    return manifest


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys, no blanks and no line end: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def image_digest(manifest: Mapping[str, Any]) -> str:
    """The hex SHA-256 of the canonical manifest, its provenance left out."""
    entries = [
        {key: value for key, value in entry.items() if key != "provenance"}
        for entry in manifest["entries"]
    ]
    return hashlib.sha256(canonical_json({**manifest, "entries": entries})).hexdigest()


def _row(entry: Entry, sha256: Callable[[str], str], packages: OfPackages) -> tuple[str, str]:
    """The text of an entry with its provenance, and without."""
    head = f'{{"mode":"{entry.mode:04o}","path":{_string("/" + entry.path)},'
    tail = _tail(entry, sha256)
    return f'{head}"provenance":{_provenance(entry, packages)},{tail}', head + tail


def _document(rows: Iterable[str]) -> bytes:
    return f'{{"entries":[{",".join(rows)}],"schema":{SCHEMA_VERSION}}}'.encode()


def _tail(entry: Entry, sha256: Callable[[str], str]) -> str:
    if entry.kind == FILE:
        return f'"sha256":"{sha256(entry.source)}","size":{entry.size},"type":"{FILE}"}}'
    if entry.kind == SYMLINK:
        return f'"target":{_string(entry.target)},"type":"{SYMLINK}"}}'
    return f'"type":"{entry.kind}"}}'


def _provenance(entry: Entry, packages: OfPackages) -> str:
    text = f'{{"bom":{_text(str(entry.origin.place))}'
    if entry.origin.chain:
        chain = ",".join(_text(link) for link in entry.origin.chain)
        text += f',"needed_by":[{chain}]'
    package, version = packages.get(entry.source, ("", ""))
    if package:
        text += f',"package":{_text(package)}'
    if entry.source:
        text += f',"source":{_text(entry.source)}'
    if version:
        text += f',"version":{_text(version)}'
    return text + "}"


def _text(name: str) -> str:
    """As JSON; bytes of a name that are not UTF-8 are written as escapes."""
    return _string(in_utf8(name))
