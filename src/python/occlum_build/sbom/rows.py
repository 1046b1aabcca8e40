"""What of a manifest counts for a bill of materials, and edges of the closure beside it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.reading import read_file
from occlum_build.image.entries import DIR, FILE, Entry
from occlum_build.image.graph import Graph
from occlum_build.image.manifest import OfPackages, image_digest
from occlum_build.report.model import Item
from occlum_build.report.read import items_in, load_manifest, read_graph
from occlum_build.shown import in_utf8, quoted

MANIFEST = "manifest.json"
CODE = "sbom"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# As dpkg takes it, which is more than Debian Policy, 5.6.1, allows.
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_POSITION = re.compile(r"(:[0-9]+){1,2}\Z")


class Row(NamedTuple):
    """A file or link of an image: absolute path, SHA-256 in hex and size of a file, its package.

    source: where the build took it from.
    """

    path: str
    sha256: str = ""
    size: int = 0
    package: str = ""
    version: str = ""
    source: str = ""


class ImageRows(NamedTuple):
    """The rows of an image, sorted, and the image digest in hex.

    edges: what needs what; a manifest alone tells one chain to each library. boms: the files and
    targets that say what is in the image.
    """

    digest: str
    rows: tuple[Row, ...]
    edges: tuple[tuple[str, str], ...] = ()
    boms: tuple[str, ...] = ()


def read_manifest(path: Path) -> ImageRows:
    """The rows of a manifest. Raises OcclumError `manifest` or `sbom`, which name the file."""
    name = str(path)
    manifest = load_manifest(read_file(path, MANIFEST_BYTES, code=CODE), name)
    items = items_in(manifest, name)
    chains = [(_row(item, name), item.needed_by) for item in items.values() if item.kind != DIR]
    boms = {_POSITION.sub("", item.bom) for item in items.values()} - {""}
    rows = sorted(row for row, _ in chains)
    edges = edges_of_chains(chains)
    return ImageRows(image_digest(manifest), tuple(rows), edges, tuple(sorted(boms)))


def _row(item: Item, name: str) -> Row:
    """The row of a file or link; one that no build writes is an error in the manifest `name`."""
    message = ""
    if item.path == "/":
        message = f"{quoted(item.path)} is no path of a file"
    elif not _SHA256.fullmatch(item.sha256) if item.kind == FILE else item.sha256:
        message = f"{quoted(item.path)} is no file with a SHA-256, and no link"
    elif item.package and not is_package(item.package):
        message = f"{quoted(item.path)} is of the package {quoted(item.package)}, which is no name"
    if message:
        raise OcclumError(CODE, message, place=Place(name))
    return Row(item.path, item.sha256, item.size, item.package, item.version, item.source)


def is_package(name: str) -> bool:
    """Whether dpkg takes this as the name of a package, without an architecture."""
    return bool(_PACKAGE.fullmatch(name))


def rows_of(
    digest: str,
    entries: Iterable[Entry],
    sha256: Mapping[str, str],
    packages: OfPackages,
    graph: Graph,
) -> ImageRows:
    """The rows of planned entries; `sha256` has the digests of files by their sources."""
    rows, boms = [], set()
    for entry in entries:
        if entry.kind == DIR:
            continue
        content = (sha256[entry.source], entry.size) if entry.kind == FILE else ("", 0)
        package = packages.get(entry.source, ("", ""))
        row = Row(in_utf8(f"/{entry.path}"), *content, *package, in_utf8(entry.source))
        rows.append(row)
        boms.add(entry.origin.place.file)
    edges = tuple(sorted({(edge.origin, edge.to) for edge in graph.edges}))
    return ImageRows(digest, tuple(sorted(rows)), edges, tuple(sorted(boms)))


def read_edges(path: Path, image: ImageRows) -> tuple[tuple[str, str], ...]:
    """The edges of the closure of an image; those of its manifest where there is no such file.

    Raises OcclumError `manifest` for what is no such file, `sbom` where it is of another image.
    """
    if not path.exists():
        return image.edges
    digest, graph = read_graph(path)
    if digest != image.digest:
        message = f"it is of the image {quoted(digest)}, and the manifest of {image.digest}"
        hint = "build the image anew, or remove the file: what needs what is by the manifest then"
        raise OcclumError(CODE, message, place=Place(str(path)), hint=hint)
    return tuple(sorted({(edge.origin, edge.to) for edge in graph.edges}))


def entry_at(path: str, paths: Collection[str]) -> str:
    """The one of the paths that this is, or that is an archive which has it; "" for none."""
    while path not in paths:
        parent = posixpath.dirname(path)
        if parent == path:  # "", "/", or "//", which is a root to POSIX too
            return ""
        path = parent
    return path


def edges_of_chains(
    chains: Iterable[tuple[Row, Sequence[str]]],
) -> tuple[tuple[str, str], ...]:
    """The edges that the chains to libraries tell (`provenance.needed_by` of a manifest)."""
    chains = list(chains)
    places = {row.source: row.path for row, _ in chains if row.source}
    # A link of a chain is what the loader found, a source what that leads to.
    places.update((chain[-2], row.path) for row, chain in chains if len(chain) > 2)
    found = set()
    for row, chain in chains:
        needer = chain[-3] if len(chain) > 2 else chain[0] if chain else ""  # of an interpreter
        if needer in places:
            found.add((places[needer], row.path))
    return tuple(sorted(found))
