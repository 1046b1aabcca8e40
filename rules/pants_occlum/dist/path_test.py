from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.sync import SyncedTree, sync_file, sync_tree
from pants_occlum.enclave.instance import archive_in_dist

# By what leads out; `{}` is a directory that holds a file of the user.
OUT = {
    "parent": "../outside/mine",
    "parent_of_what_is_missing": "no/such/../../../outside/mine",
    "absolute": "{}/mine",
    "link": "link/mine",
    "link_further_down": "app/link/mine",
    "link_and_back": "link/../outside/mine",
    "chain_of_links": "app/chain/mine",
}


@pytest.fixture
def places(tmp_path: Path) -> DistPlaces:
    root = tmp_path / "root"
    (root / "dist/app").mkdir(parents=True)
    return DistPlaces(str(root), str(root / "dist"), str(root / "state"), False, "")


@pytest.fixture
def outside(places: DistPlaces) -> Path:
    """A directory beside dist with a file of the user, which links in dist lead to."""
    outside = Path(places.build_root, "outside")
    (outside / "mine").mkdir(parents=True)
    (outside / "mine/kept").write_text("kept")
    (outside / "mine/occlum_instance.tar.gz").write_text("kept")
    dist = Path(places.dist_dir)
    (dist / "link").symlink_to(outside)
    (dist / "app/link").symlink_to("../../outside")
    (dist / "app/chain").symlink_to("../link")
    return outside


def sync(places: DistPlaces, name: str, *entries: TreeEntry) -> SyncedTree:
    """Sync a tree without files, which asks Pants for nothing."""
    return asyncio.run(sync_tree(places, name, entries))


def listing(top: str) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in Path(top).rglob("*"))


@pytest.mark.parametrize("case", OUT)
def test_nothing_outside_of_dist_is_written_or_removed(
    places: DistPlaces, outside: Path, case: str
) -> None:
    name = OUT[case].format(outside)
    before = listing(places.build_root)
    with pytest.raises(OcclumError) as tree:
        sync(places, name, TreeEntry("new", DIR, 0o755))
    with pytest.raises(OcclumError) as file:
        sync_file(places, f"{name}/kept", b"new")
    with pytest.raises(OcclumError) as archive:
        archive_in_dist(places, name, cast(Any, None))
    assert {one.value.code for one in (tree, file, archive)} == {"dist-path"}
    assert listing(places.build_root) == before
    assert (outside / "mine/kept").read_text() == "kept"


def test_error_tells_where_the_path_leads_and_what_to_do(places: DistPlaces, outside: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        sync(places, "app/link/mine/image")
    assert str(caught.value) == (
        f"{places.dist_dir}/app/link/mine: leads to {outside}/mine, which is not below "
        f"{places.dist_dir}\n"
        "  hint: nothing was written; give the target an `output_path` without `..`, and remove "
        "links in the distribution directory that lead out of it"
    )


@pytest.mark.parametrize("name", ["", ".", "app/", "app/.", "app/.."])
def test_dist_and_what_has_no_name_is_no_tree(places: DistPlaces, name: str) -> None:
    other = Path(places.dist_dir, "other")
    other.write_text("of another target")
    with pytest.raises(OcclumError, match="names nothing to write"):
        sync(places, name)
    with pytest.raises(OcclumError, match="names nothing to write"):
        sync_file(places, name, b"new")
    assert listing(places.dist_dir) == ["app", "other"]


def test_dist_may_be_a_link(places: DistPlaces, tmp_path: Path) -> None:
    os.rename(places.dist_dir, tmp_path / "disk")
    os.symlink(tmp_path / "disk", places.dist_dir)
    assert sync(places, "x/image", TreeEntry("new", DIR, 0o755)) == SyncedTree(0, 0)
    sync_file(places, "x/manifest.json", b"{}")
    assert listing(str(tmp_path / "disk")) == [
        *("app", "x", "x/image", "x/image/new", "x/manifest.json")
    ]


def test_link_in_the_place_of_what_is_written_is_replaced(
    places: DistPlaces, outside: Path
) -> None:
    dist = Path(places.dist_dir)
    (dist / "file").symlink_to(outside / "mine/kept")
    sync(places, "link", TreeEntry("new", DIR, 0o755))
    # The same content as where the link leads.
    sync_file(places, "file", b"kept")
    assert not (dist / "link").is_symlink() and os.listdir(dist / "link") == ["new"]
    assert not (dist / "file").is_symlink() and (dist / "file").read_bytes() == b"kept"
    assert (outside / "mine/kept").read_text() == "kept"


def test_tree_that_is_reached_by_two_ways_has_one_state(places: DistPlaces) -> None:
    os.symlink("app", os.path.join(places.dist_dir, "same"))
    for name in ("app/image", "same/image", "same/../app/image"):
        sync(places, name, TreeEntry("new", DIR, 0o755))
    assert [Path(path).suffix for path in listing(places.state_dir)] == [".lock"]
