"""OCI images with what refers to them, as `package` makes them and as somebody may change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.oci.layout import blob_path
from occlum_build.oci.referrers import Attached, digest_of
from occlum_build.verify.rows import AGREES, UNKNOWN
from occlum_build.verify.testing import differing, mrenclave_of, oci_layout, verified

Json = dict[str, Any]
SPDX = b'{"spdxVersion":"SPDX-2.3"}'
ATTACHED = Attached("image.spdx.json", "application/spdx+json", digest_of(SPDX), len(SPDX))


@pytest.fixture
def layout(built: Path, tmp_path: Path) -> Path:
    return oci_layout(built, tmp_path / "layout", mrenclave_of(built), attached={ATTACHED: SPDX})


def referrer(layout: Path) -> Json:
    """The descriptor of what refers to the image."""
    (_, one) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert isinstance(one, dict)
    return one


def change(layout: Path, edit: Callable[[Json], None]) -> str:
    """Write the referring manifest anew; where it is."""
    index = json.loads((layout / "index.json").read_bytes())
    one = index["manifests"][1]
    manifest = json.loads((layout / blob_path(one["digest"])).read_bytes())
    edit(manifest)
    content = json.dumps(manifest).encode()
    one.update(digest=digest_of(content), size=len(content))
    path = blob_path(one["digest"])
    (layout / path).write_bytes(content)
    (layout / "index.json").write_text(json.dumps(index))
    return path


def test_what_refers_to_the_image(layout: Path) -> None:
    found = verified(layout)
    assert found.agrees
    rows = [row for row in found.rows if row.what.startswith("referrer")]
    assert [(row.status, row.what) for row in rows] == [
        (AGREES, "referrer, subject"),
        (UNKNOWN, "referrer, content"),
    ]
    assert {row.about for row in rows} == {blob_path(referrer(layout)["digest"])}
    assert rows[1].note == "what it says is not checked: application/spdx+json"


@pytest.mark.parametrize("damaged", [ATTACHED.digest, digest_of(b"{}")])
def test_a_damaged_file(layout: Path, damaged: str) -> None:
    (layout / blob_path(damaged)).write_bytes(b"[]")
    assert blob_path(damaged) in {row.about for row in differing(verified(layout))}
    (layout / blob_path(damaged)).unlink()
    (row,) = differing(verified(layout))
    assert row.about == blob_path(damaged)
    assert row.what.startswith("referrer, ")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda one: one["subject"].update(size=1), "referrer, bytes of the subject"),
        (lambda one: one["subject"].update(mediaType="x"), "referrer, mediaType"),
        (lambda one: one.update(artifactType="x"), "referrer, artifactType"),
        (lambda one: one.update(mediaType="x"), "referrer"),
        (lambda one: one["layers"][0].update(digest="sha256:1"), "referrer"),
    ],
)
def test_one_that_is_another(layout: Path, edit: Callable[[Json], None], what: str) -> None:
    path = change(layout, edit)
    (row,) = differing(verified(layout))
    assert (row.about, row.what) == (path, what)


@pytest.mark.parametrize(
    "edit",
    [
        lambda one: one["subject"].update(digest=f"sha256:{'1' * 64}"),
        lambda one: one.pop("subject"),
        lambda one: one.update(subject=[]),
    ],
)
def test_what_refers_to_something_else(layout: Path, edit: Callable[[Json], None]) -> None:
    path = change(layout, edit)
    found = verified(layout)
    assert found.agrees
    assert [row.what for row in found.rows if row.about == path] == ["another manifest"]
