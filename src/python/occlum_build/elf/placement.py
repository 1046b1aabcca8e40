"""Where in the image the libraries of a program go: where its loader will look for them."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from occlum_build.elf.closure import ALREADY_LOADED, Closure
from occlum_build.elf.loader_config import LoaderEntry
from occlum_build.elf.lookup import Found
from occlum_build.elf.search import SearchDir


class Placement(NamedTuple):
    """A file that a program brings into the image.

    `source` is the source path of the content; `chain` tells why: the program, the objects that
    led to it, and the rule by which it was found.
    """

    image_path: str
    source: str
    chain: tuple[str, ...]


def placements(closure: Closure) -> tuple[Placement, ...]:
    """The loader and the libraries of a program, sorted by image path, each path once."""
    program = closure.program.path
    placed: dict[str, Placement] = {}
    loader = closure.interpreter
    if loader is not None and loader.source and loader.image_path and not loader.fault:
        why: tuple[str, ...] = (program, f"interpreter {loader.image_path}")
        placed[loader.image_path] = Placement(loader.image_path, loader.source, why)
    provided = {node.real for node in closure.libraries if node.provided}
    chains: dict[str, tuple[str, ...]] = {program: (program,)}
    for edge in closure.edges:
        chain = (*chains.get(edge.needer, (program,)), edge.path)
        chains.setdefault(edge.path, chain)
        if edge.rule != ALREADY_LOADED and edge.real not in provided and edge.image_path:
            moved = "; placed where the image's loader looks" if edge.moved else ""
            why = (*chain, f"{edge.name} found by {edge.rule}{moved}")
            placed.setdefault(edge.image_path, Placement(edge.image_path, edge.real, why))
    return tuple(sorted(placed.values()))


def library_path(
    found: Found, name: str, entry: LoaderEntry | None, image_paths: dict[str, str]
) -> str | None:
    """The image path of a library that was found; None when it would leave the image.

    A directory of the loader config maps to the loader's own directory. A library found by $ORIGIN
    keeps its place relative to the object whose $ORIGIN it is, looked up in `image_paths` (by the
    path it was found by). One from a directory that the image's loader will not know goes to
    another one (SearchDir.image). All else keeps the path that it has in the sysroot.
    """
    if entry is not None and "/" not in name and found.base in entry.dirs:
        return posixpath.join(entry.image_dir, name)
    if found.directory.owner is None and not found.directory.image:
        return found.path
    within = image_directory(found.directory, image_paths)
    if within is None:
        return None
    return posixpath.join(within, found.subdir, posixpath.basename(name))


def image_directory(directory: SearchDir, image_paths: dict[str, str]) -> str | None:
    """The directory of the image that a search directory stands for; None when it leaves it."""
    if directory.owner is None:
        return posixpath.normpath(directory.image or directory.path)
    origin = posixpath.dirname(image_paths[directory.owner])
    return _below(origin + directory.below)


def _below(path: str) -> str | None:
    depth = 0
    for part in path.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return None
    return "/" + posixpath.normpath(path).lstrip("/")
