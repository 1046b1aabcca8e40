"""Properties of manifests: what is written is read as the same, and there is one text for it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.errors import Place
from occlum_build.files.json_text import load_json
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.manifest import canonical_json, image_digest, manifest_text

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

# UTF-8 has no surrogates; names have no NUL and no slash.
NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
MODES = st.integers(0, 0o7777)
BOUNDED = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=SLOW)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    found = []
    for path in sorted(draw(st.sets(PATHS, max_size=8))):
        origin = Origin(Place("bom.yaml", draw(st.integers(1, 9))), (draw(NAMES),))
        kind = draw(st.sampled_from([DIR, FILE, SYMLINK]))
        target = draw(PATHS) if kind == SYMLINK else ""
        size = draw(st.integers(0, 1 << 50)) if kind == FILE else 0
        found.append(Entry(path, kind, origin, draw(MODES), f"src/{path}", size, target))
    return found


def sha256(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


@given(entries())
@BOUNDED
def test_a_manifest_is_read_as_what_was_written(planned: list[Entry]) -> None:
    text = manifest_text(planned, sha256)
    root, *read = load_json(text.full, "manifest.json")["entries"]
    assert root == {"path": "/", "mode": "0755", "type": DIR}
    assert [Entry(one["path"][1:], one["type"], due.origin, int(one["mode"], 8), due.source,
                  one.get("size", 0), one.get("target", "")) for one, due in zip(read, planned)] \
        == planned  # fmt: skip
    assert [one["sha256"] for one in read if one["type"] == FILE] == [
        sha256(one.source) for one in planned if one.kind == FILE
    ]


@given(entries(), st.randoms(use_true_random=False))
@BOUNDED
def test_there_is_one_text_for_a_manifest(planned: list[Entry], random: Any) -> None:
    text = manifest_text(planned, sha256)
    read = load_json(text.full, "manifest.json")
    assert canonical_json(read) == text.full
    assert image_digest(read) == text.digest == hashlib.sha256(text.identity).hexdigest()
    random.shuffle(planned)
    assert manifest_text(planned, sha256) == text


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=("Cs",)), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(_VALUES)
@BOUNDED
def test_canonical_json_is_one_text_for_one_value(value: Any) -> None:
    text = canonical_json(value)
    assert load_json(text, "x.json") == value
    assert canonical_json(load_json(text, "x.json")) == text
    indented = json.dumps(value, indent=3, ensure_ascii=True).encode()
    assert canonical_json(load_json(indented, "x.json")) == text
    assert canonical_json(turned(value)) == text


def turned(value: Any) -> Any:
    """The same with the members of objects in another order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(one) for one in value] if isinstance(value, list) else value
