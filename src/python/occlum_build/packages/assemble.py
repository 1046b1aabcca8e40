"""Makes a root directory of .deb files: merged, with links and files that scripts would make."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from occlum_build.errors import NOTE, OcclumError, Problem
from occlum_build.files.change import Change
from occlum_build.files.reading import read_file
from occlum_build.packages.derived import derived_links
from occlum_build.packages.index import DebIndex, Entry
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.made import MADE, SOURCE_BYTES, Made, make_files, sources_of_made
from occlum_build.packages.merge import PackagesRoot, merge
from occlum_build.packages.tree import TreeWriter
from occlum_build.packages.unpack import unpack_files
from occlum_build.sources.model import DIR, FILE, SYMLINK

SCRIPT = "packages-script"


def assemble(
    debs: Sequence[Path], target: Path, *, merged_usr: bool = True, made: Collection[str] = MADE
) -> PackagesRoot:
    """Make the new directory `target` of packages, and tell what of their scripts is not imitated.

    It is made beside its place and then renamed. Raises OcclumError of what it reads and merges;
    FileExistsError and OSError at the target.
    """
    indexes = [index_deb(deb, merged_usr=merged_usr) for deb in debs]
    packaged = merge(indexes)
    links = derived_links(indexes, packaged.lock.pins, merged_usr=merged_usr, made=made)
    with Change() as change:
        root = change.part(target, must_be_new=True)
        root.mkdir()
        with TreeWriter(str(root)) as tree:
            for deb, index in zip(debs, indexes):
                unpack_files(deb, index, tree, _owned_files(packaged, index))
            files = _make(packaged, root, tree, made)
            whole = merge(indexes, links, [one.file for one in files])
            tree.add_entries(
                {
                    path: Entry(pin.type, pin.mode, target=pin.target)
                    for path, pin in whole.lock.pins.items()
                    if pin.type in (DIR, SYMLINK)
                }
            )
        change.commit()
    told = [*whole.told, *(one for index in indexes for one in scripts_told(index))]
    return PackagesRoot(whole.lock, whole.owners, whole.facts, tuple(told))


def scripts_told(index: DebIndex) -> list[Problem]:
    """What an index tells, as notes."""
    return [Problem(SCRIPT, f"{index.name}: {text}", severity=NOTE) for text in index.told]


def debs_in(places: Sequence[Path]) -> list[Path]:
    """The .deb files that are named, and those in the directories that are.

    Raises OcclumError `deb-file` for a directory that has none.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            found.append(place)
            continue
        below = sorted(one for one in place.iterdir() if one.suffix == ".deb")
        if not below:
            raise OcclumError("deb-file", f"{place} has no .deb file")
        found += below
    return list(dict.fromkeys(found))


def _owned_files(root: PackagesRoot, index: DebIndex) -> list[str]:
    return [
        path
        for path, entry in index.entries.items()
        if entry.type == FILE and root.owners[path] == index.package
    ]


def _make(
    packaged: PackagesRoot, root: Path, tree: TreeWriter, made: Collection[str]
) -> list[Made]:
    contents = {
        path: read_file(root / path[1:], SOURCE_BYTES, name=path)
        for path in sources_of_made(packaged, made)
    }
    files = make_files(packaged, contents, made)
    for one in files:
        tree.file(one.path, one.mode, [one.content])
    return files
