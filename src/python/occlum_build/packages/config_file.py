"""The configuration of `occlum-build packages`: what BUILD files say under Pants, as YAML.

    archives:
      - name: debian
        mirrors: ["http://mirror.example.com/debian"]
        suites: [bookworm, bookworm-updates]
        components: [main]
        keyring: debian.asc
    packages: [redis-server, "python3-numpy (>= 1:1.21)"]

Files in it are beside it. The keys are the fields of config.PackagesRequest and ArchiveConfig.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from occlum_build.bom import yaml_nodes
from occlum_build.bom.yaml_nodes import Node, Scalar, Sequence, parse_yaml
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.files.bounds import CONFIG_BYTES, KEYRING_BYTES
from occlum_build.files.reading import chunks_of, read_file
from occlum_build.packages.config import MADE, ArchiveConfig, LocalDeb, PackagesRequest, Pairs
from occlum_build.packages.paths import is_absolute
from occlum_build.packages.urls import check_mirror
from occlum_build.shown import quoted

CODE = "packages-config"
# The control stanza of a .deb; raises OcclumError for what is none.
StanzaOf = Callable[[Path], Mapping[str, str]]
Texts = tuple[str, ...]


class Configuration(NamedTuple):
    """A request, and the files of its .debs by their path in it."""

    request: PackagesRequest
    debs: dict[str, Path]


def read_configuration(path: Path, stanza_of: StanzaOf) -> Configuration:
    """Read one with the files that it names; raises OcclumError with all that is wrong."""
    data = read_file(path, CONFIG_BYTES, code=CODE)
    try:
        node = parse_yaml(data, str(path))
    except OcclumError as error:
        found = [
            replace(one, code=CODE, hint="" if "BOM" in one.hint else one.hint)
            for one in error.problems
        ]
        raise OcclumError.of(found) from None
    reader = _Reader(path.parent, stanza_of)
    request = reader.request(node, path.name)
    reader.report.raise_errors()
    return Configuration(request, reader.files)


class _Reader:
    """Turns nodes into values; a mistake is reported, and its value left out."""

    def __init__(self, directory: Path, stanza_of: StanzaOf) -> None:
        self.report = Report()
        self.directory = directory
        self.stanza_of = stanza_of
        self.files: dict[str, Path] = {}

    def request(self, node: Node, name: str) -> PackagesRequest:
        kinds: dict[str, Callable[[Node, str], Any]] = {
            "archives": self.archives, "packages": self.texts, "debs": self.debs,
            "without": self.texts, "essential": self.boolean, "recommends": self.boolean,
            "links": self.links, "made": self.made, "merged_usr": self.boolean,
            "architecture": self.text,
        }  # fmt: skip
        found = self.fields(node, "the file", kinds, ("archives", "packages"))
        found.setdefault("archives", ())
        found.setdefault("packages", ())
        return PackagesRequest(name, **found)

    def archives(self, node: Node, what: str) -> tuple[ArchiveConfig, ...]:
        found = [self.archive(item) for item in self.items(node, what)]
        names = [one.name for one in found]
        for one in sorted({name for name in names if names.count(name) > 1}):
            self.fail(f"two archives have the name {quoted(one)}", node.place)
        return tuple(found)

    def archive(self, node: Node) -> ArchiveConfig:
        kinds: dict[str, Callable[[Node, str], Any]] = {
            "name": self.name, "mirrors": self.mirrors, "suites": self.texts,
            "components": self.texts, "keyring": self.keyring, "only": self.texts,
            "allow_expired": self.boolean,
        }  # fmt: skip
        needed = ("name", "mirrors", "suites", "keyring")
        found = self.fields(node, "an item of `archives`", kinds, needed)
        found["keyring"], found["keyring_name"] = found.get("keyring", (b"", ""))
        for name in needed[:3]:
            found.setdefault(name, "" if name == "name" else ())
        is_flat = all(suite.endswith("/") for suite in found["suites"])
        if not is_flat and not found.get("components"):
            self.fail("an item of `archives` lacks the key 'components'", node.place)
        return ArchiveConfig(**found)

    def name(self, node: Node, what: str) -> str:
        found = self.text(node, what)
        if isinstance(node, Scalar) and not node.value:
            self.fail(f"{what} must not be empty", node.place)
        return found

    def mirrors(self, node: Node, what: str) -> Texts:
        if isinstance(node, Sequence) and not node.items:
            self.fail(f"{what} must name one or more", node.place)
        for item in self.items(node, what):
            if isinstance(item, Scalar):
                with self.report.at(item.place):
                    check_mirror(item.value)
        return self.texts(node, what)

    def keyring(self, node: Node, what: str) -> tuple[bytes, str]:
        name = self.text(node, what)
        with self.report.at(node.place):
            return read_file(self.directory / name, KEYRING_BYTES, code=CODE), name
        return b"", name

    def debs(self, node: Node, what: str) -> tuple[LocalDeb, ...]:
        found = []
        for text, item in zip(self.texts(node, what), self.items(node, what)):
            if not isinstance(item, Scalar) or item.value != text:
                continue  # it is no text
            name = posixpath.normpath(text)
            if name in (".", "..") or name.startswith(("/", "../")):
                where = f"the directory of {Path(item.place.file).name}"
                self.fail(f"{what} has {quoted(text)}, which is not below {where}", item.place)
                continue
            if name in self.files:
                continue
            path = self.directory / name
            with self.report.at(item.place):
                digest, size = hashlib.sha256(), 0
                for chunk in chunks_of(path, code=CODE):
                    digest.update(chunk)
                    size += len(chunk)
                stanza = tuple(sorted(self.stanza_of(path).items()))
                found.append(LocalDeb(name, digest.hexdigest(), size, stanza))
                self.files[name] = path
        return tuple(found)

    def made(self, node: Node, what: str) -> Texts:
        found = self.texts(node, what)
        for one in sorted(set(found) - set(MADE)):
            self.fail(f"{what} has {quoted(one)}, which is none of {', '.join(MADE)}", node.place)
        return found

    def links(self, node: Node, what: str) -> Pairs:
        if not isinstance(node, yaml_nodes.Mapping):
            self.fail(f"{what} must be a mapping of paths to targets", node.place)
            return ()
        for key, _ in node.items:
            if not is_absolute(key.value):
                text = f"{what} has {quoted(key.value)}, which is no absolute path"
                self.fail(f"{text} without `.`, `..` and double slashes", key.place)
        return tuple(
            (key.value, self.text(value, f"a target of {what}")) for key, value in node.items
        )

    def fields(
        self,
        node: Node,
        what: str,
        kinds: Mapping[str, Callable[[Node, str], Any]],
        needed: Texts,
    ) -> dict[str, Any]:
        """The values of a mapping's keys; unknown and missing ones are reported."""
        if not isinstance(node, yaml_nodes.Mapping):
            self.fail(f"{what} must be a mapping with the keys {', '.join(kinds)}", node.place)
            return {}
        found = {}
        for key, value in node.items:
            if key.value in kinds:
                found[key.value] = kinds[key.value](value, f"`{key.value}`")
            else:
                hint = f"known keys: {', '.join(kinds)}"
                self.fail(f"unknown key {quoted(key.value)} in {what}", key.place, hint)
        for name in needed:
            if name not in found:
                self.fail(f"{what} lacks the key {name!r}", node.place)
        return found

    def items(self, node: Node, what: str) -> tuple[Node, ...]:
        if not isinstance(node, Sequence):
            self.fail(f"{what} must be a list", node.place, "write it as `- item` or [item]")
            return ()
        return node.items

    def texts(self, node: Node, what: str) -> Texts:
        return tuple(self.text(item, f"an item of {what}") for item in self.items(node, what))

    def text(self, node: Node, what: str) -> str:
        is_text = isinstance(node, Scalar) and not (node.is_null or node.is_bool or node.is_int)
        if isinstance(node, Scalar) and is_text and "\0" not in node.value:
            return node.value
        hint = f'write it as "{node.value[:80]}"' if isinstance(node, Scalar) else ""
        self.fail(f"{what} must be text", node.place, hint)
        return ""

    def boolean(self, node: Node, what: str) -> bool:
        if isinstance(node, Scalar) and node.is_bool:
            return node.value.lower() == "true"
        self.fail(f"{what} must be true or false", node.place)
        return False

    def fail(self, message: str, place: Place, hint: str = "") -> None:
        self.report.error(CODE, message, place, hint)
