"""Properties of plans: the later one wins, and neither grouping nor order of names matters."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.errors import Report
from occlum_build.image.manifest import manifest_text
from occlum_build.image.plan import BomSet, PlanOptions, plan_image
from occlum_build.image.testing import plan_bom
from occlum_build.sources.os import OsSources

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

# Path in a directory -> content, None for an empty directory; files and directories never share a
# name, so that each two trees can be merged.
Tree = Mapping[str, Optional[bytes]]
_FOLDERS = ["", "d/", "e/", "d/e/", "d/d/e/"]
_PATHS = [folder + name for folder in _FOLDERS for name in ("a", "b", "ü")]
TREES = st.dictionaries(st.sampled_from(_PATHS), st.binary(max_size=3), min_size=1, max_size=6)
BOUNDED = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)


def merged(*trees: Tree) -> dict[str, bytes]:
    """What an image has of the trees, each copied over those before."""
    files: dict[str, bytes] = {}
    for number, tree in enumerate(trees):
        files.update({f"ws/{number}/{path}": content or b"" for path, content in tree.items()})
    names = ", ".join(f"{number}/" for number in range(len(trees)))
    planned = plan_bom(f"targets: [{{target: /x, copy: [{{dirs: [{names}]}}]}}]", files)
    assert planned.errors == ()
    return {path[2:]: files[source] for path, source in planned.sources.items()}


@given(TREES, TREES, TREES)
@BOUNDED
def test_of_merged_directories_the_later_wins(one: Tree, two: Tree, three: Tree) -> None:
    assert merged(one, two, three) == {**one, **two, **three}


@given(TREES, TREES, TREES)
@BOUNDED
def test_it_does_not_matter_what_is_merged_first(one: Tree, two: Tree, three: Tree) -> None:
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@given(st.lists(TREES, min_size=2, max_size=3))
@BOUNDED
def test_a_later_bom_wins(trees: Sequence[Tree]) -> None:
    """An included BOM comes after the one that includes it."""
    files: dict[str, bytes] = {}
    for number, tree in enumerate(trees):
        last = number == len(trees) - 1
        include = "" if last else f"includes: [{number + 1}.yaml]\n"
        bom = f"{include}targets: [{{target: /, copy: [{{files: [{_listed(number, tree)}]}}]}}]"
        files[f"{number}.yaml"] = bom.encode()
        files.update({f"ws/{number}/{path}": content or b"" for path, content in tree.items()})
    planned = plan_bom(files.pop("0.yaml").decode(), files)
    assert planned.errors == ()
    due = {path: content for tree in trees for path, content in tree.items()}
    assert {path: files[source] for path, source in planned.sources.items()} == due


def _listed(number: int, tree: Tree) -> str:
    return ", ".join(f"{{name: {number}/{path}, rename: {path}}}" for path in sorted(tree))


@given(TREES, st.integers(0, 99))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_the_order_of_a_directory_does_not_matter(tree: Tree, seed: int) -> None:
    shuffle, listdir = random.Random(seed).shuffle, os.listdir

    def shuffled(path: str) -> list[str]:
        names = listdir(path)
        shuffle(names)
        return names

    with tempfile.TemporaryDirectory() as top:
        for path, content in tree.items():
            file = Path(top, "src", path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content or b"")
        with mock.patch("os.listdir", lambda path: sorted(listdir(path))):
            in_order = manifest_of_plan(top)
        with mock.patch("os.listdir", shuffled):
            assert manifest_of_plan(top) == in_order


def manifest_of_plan(top: str) -> bytes:
    """The manifest of an image of all in `top/src`, and of what a wildcard finds there."""
    Path(top, "bom.yaml").write_text(
        "targets: [{target: /, copy: [{from: src, dirs: [./, '*'], files: [./a*]}]}]"
    )
    sources, report, workspace = OsSources(), Report(), top.strip("/")
    boms = load_boms(f"{workspace}/bom.yaml", (), {}, reader_of(sources), report)
    plan = plan_image([BomSet(boms, workspace, {}, None)], PlanOptions(), sources, report)
    assert plan.entries
    return manifest_text(plan.entries, sources.sha256).full
