"""Layers of an image: each entry in one of them, and stacked in any order they are the image."""

from __future__ import annotations

import random
from itertools import permutations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.oci.grouping import group_entries, with_parents, within_budget

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

_PATHS = st.sets(st.sampled_from(["a", "b/c", "b/d", "lib/x.so", "lib/libc.so.6", "e/f/g", "e/h"]))
_BOMS = st.sampled_from(["bom.yaml", "base.yaml", "more.yaml"])


@st.composite
def images(draw: st.DrawFn) -> list[Entry]:
    """The entries of an image, with the directories above each."""
    leaves = draw(_PATHS)
    image = []
    for path in with_parents([*leaves, ""]):
        chain = ("app", "found") if draw(st.booleans()) else ()
        kind = draw(st.sampled_from([DIR, FILE, SYMLINK])) if path in leaves else DIR
        source = draw(st.sampled_from(["/", "ws/"])) + path if kind == FILE else ""
        size = draw(st.integers(0, 100)) if kind == FILE else 0
        image.append(Entry(path, kind, Origin(Place(draw(_BOMS)), chain), 0o755, source, size))
    return image


@given(images(), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_layers_make_the_image(image: list[Entry], budget: int, seed: int) -> None:
    groups = within_budget(group_entries(image), budget)
    paths = [path for group in groups for path in group.paths]
    assert len(groups) <= budget
    assert len(paths) == len(set(paths))
    assert sum(group.size_bytes for group in groups) == sum(entry.size for entry in image)
    by_path = {entry.path: entry for entry in image if entry.path}
    for order in list(permutations(groups))[:6]:
        stacked: dict[str, Entry] = {}
        for group in order:
            stacked.update({path: by_path[path] for path in with_parents(group.paths)})
        assert stacked == by_path
    random.Random(seed).shuffle(image)
    assert within_budget(group_entries(image), budget) == groups
