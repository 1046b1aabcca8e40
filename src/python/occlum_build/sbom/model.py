"""What a bill of materials says of an image, before it is written in one of the field's formats.

As JSON it is what one process makes and another writes: what a bill is made of alone is in its key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from occlum_build.files.bounds import GIB
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_file
from occlum_build.image.manifest import canonical_json

# Kinds of components; all but FILE are types of package URLs.
DEB, PYTHON, MAVEN, FILE = "deb", "pypi", "maven", "file"
_NO_ADDRESS = re.compile(r"\s|%(?![0-9A-Fa-f]{2})|#.*#")
BILL_BYTES = 1 * GIB  # of its JSON


class ComponentFile(NamedTuple):
    """A file of a component: its path in the image, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Component:
    """A package, distribution, artefact or single file of an image; "" is what is not known.

    ref: names it within its bill. group: the vendor of a Debian package, the group of a Maven
    artefact. sha256: of what it was installed from. licenses: as it declares them, all of which
    hold; texts: name of a license -> its text. source, source_version: the source package. inside:
    the ref of the component that has its files.
    """

    ref: str
    kind: str
    name: str
    version: str = ""
    group: str = ""
    architecture: str = ""
    distro: str = ""
    sha256: str = ""
    licenses: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    supplier: str = ""
    homepage: str = ""
    source: str = ""
    source_version: str = ""
    files: tuple[ComponentFile, ...] = ()
    inside: str = ""


@dataclass(frozen=True)
class Bill:
    """The components of the image `name`, whose image digest is `digest`, sorted by their refs.

    needs: pairs of refs, the first of which needs the second, sorted.
    """

    name: str
    digest: str
    components: tuple[Component, ...]
    needs: tuple[tuple[str, str], ...] = ()

    def needed_by(self) -> dict[str, list[str]]:
        """What each component needs, by their refs."""
        found: dict[str, list[str]] = {}
        for needer, needed in self.needs:
            found.setdefault(needer, []).append(needed)
        return found


def bill_json(bill: Bill) -> bytes:
    """The bill as canonical JSON."""
    # asdict takes a third of a second for 50,000 files.
    return canonical_json({**vars(bill), "components": [vars(one) for one in bill.components]})


def read_bill(path: str) -> Bill:
    """The bill whose JSON one of our own processes left at a path."""
    return bill_of(read_file(path, BILL_BYTES), path)


def bill_of(data: bytes, name: str) -> Bill:
    """The bill of that JSON of ours; `name` is what errors call it."""
    value = load_json(data, name)
    components = tuple(map(_component, value["components"]))
    needs = tuple((needer, needed) for needer, needed in value["needs"])
    return Bill(value["name"], value["digest"], components, needs)


def file_ref(path: str) -> str:
    """The ref of the file at a path of an image."""
    return f"{FILE}{path}"


def web_address(text: str) -> str:
    """The text, or "" where no format takes it as a URI: blanks, a bad escape, two fragments."""
    return "" if _NO_ADDRESS.search(text) else text


def inside_of(bill: Bill) -> dict[str, list[Component]]:
    """The components that are inside of each one, by its ref; inside of none by ""."""
    found: dict[str, list[Component]] = {}
    for one in bill.components:
        found.setdefault(one.inside, []).append(one)
    return found


def inner_first(bill: Bill) -> list[Component]:
    """The components, each after those that are inside of it."""
    inside = inside_of(bill)
    found: list[Component] = []
    level = inside.get("", [])
    while level:
        found += level
        level = [inner for one in level for inner in inside.get(one.ref, [])]
    return found[::-1]


def _component(value: dict[str, Any]) -> Component:
    files = tuple(ComponentFile(*one) for one in value["files"])
    texts = tuple((name, text) for name, text in value["texts"])
    lists = {"licenses": tuple(value["licenses"]), "texts": texts, "files": files}
    return Component(**{**value, **lists})
