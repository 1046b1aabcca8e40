"""Makes a root directory of .deb files: merged, with links and files that scripts would make."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from occlum_build.errors import OcclumError
from occlum_build.files.change import Change
from occlum_build.packages.alternatives import Link
from occlum_build.packages.config import MADE
from occlum_build.packages.derived import derived_links
from occlum_build.packages.deriving import (
    IndexedDeb,
    contents_of_sources,
    index_locked,
    scripts_told,
)
from occlum_build.packages.index import DebIndex, Entry
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.lock import PackagesLock
from occlum_build.packages.locking import FetchedDeb
from occlum_build.packages.made import (
    Made,
    make_files,
    make_locked,
    sources_of_locked,
    sources_of_made,
)
from occlum_build.packages.merge import PackagesRoot, merge
from occlum_build.packages.tree import TreeWriter
from occlum_build.packages.unpack import unpack_files
from occlum_build.sources.model import DIR, FILE, SYMLINK


def assemble(
    debs: Sequence[Path], target: Path, *, merged_usr: bool = True, made: Collection[str] = MADE
) -> PackagesRoot:
    """Make the new directory `target` of packages, and tell what of their scripts is not imitated.

    It is made beside its place and then renamed. Raises OcclumError of what it reads and merges;
    FileExistsError and OSError at the target.
    """
    indexed = [IndexedDeb(deb, index_deb(deb, merged_usr=merged_usr)) for deb in debs]
    indexes = [one.holds for one in indexed]
    packaged = merge(indexes)
    links = derived_links(indexes, packaged.lock.pins, merged_usr=merged_usr, made=made)
    sources = sources_of_made(packaged, made)
    files = make_files(packaged, contents_of_sources(packaged, indexed, sources), made)
    root = _write(indexed, links, files, target)
    told = [*root.told, *(one for index in indexes for one in scripts_told(index))]
    return PackagesRoot(root.lock, root.owners, root.facts, tuple(told))


def assemble_locked(
    lock: PackagesLock, debs: Sequence[FetchedDeb], target: Path, *, merged_usr: bool = True
) -> PackagesRoot:
    """Make the new directory `target` of the packages, links and made files of a lock.

    Raises as `assemble` does, and OcclumError `packages-made` for a file that comes out otherwise.
    """
    indexed = [index_locked(one, merged_usr=merged_usr) for one in debs]
    locked = lock.made_files()
    files: list[Made] = []
    if locked:
        packaged = merge(one.holds for one in indexed)
        contents = contents_of_sources(packaged, indexed, sources_of_locked(packaged, locked))
        files = make_locked(packaged, contents, locked)
    return _write(indexed, lock.added_links(), files, target)


def _write(
    debs: Sequence[IndexedDeb], links: Sequence[Link], made: Sequence[Made], target: Path
) -> PackagesRoot:
    whole = merge([one.holds for one in debs], links, [one.file for one in made])
    with Change() as change:
        root = change.part(target, must_be_new=True)
        root.mkdir()
        with TreeWriter(str(root)) as tree:
            for deb in debs:
                owned = _owned_files(whole, deb.holds)
                unpack_files(deb.file, deb.holds, tree, owned, name=deb.name)
            for one in made:
                tree.file(one.path, one.mode, [one.content])
            tree.add_entries(
                {
                    path: Entry(pin.type, pin.mode, target=pin.target)
                    for path, pin in whole.lock.pins.items()
                    if pin.type in (DIR, SYMLINK)
                }
            )
        change.commit()
    return whole


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
            hint = (
                "name .deb files, or a directory that has them itself: none below it is looked at"
            )
            raise OcclumError("deb-file", f"{place} has no .deb file", hint=hint)
        found += below
    return list(dict.fromkeys(found))


def _owned_files(root: PackagesRoot, index: DebIndex) -> list[str]:
    return [
        path
        for path, entry in index.entries.items()
        if entry.type == FILE and root.owners.get(path) == index.package
    ]
