from __future__ import annotations

import pytest
from packaging.version import Version  # pants: no-infer-dep

from pants_occlum.compat.versions import UnsupportedPants, Way, way_of


@pytest.mark.parametrize("version", ["2.17.0", "2.17.1", "2.18.0a0", "2.18.0", "2.19.2", "2.22.1"])
def test_polyfill(version: str) -> None:
    assert way_of(Version(version)) is Way.polyfill


@pytest.mark.parametrize("version", ["2.23.0.dev0", "2.25.0", "2.31.0", "2.34.0.dev3", "3.0.0"])
def test_native(version: str) -> None:
    assert way_of(Version(version)) is Way.native


@pytest.mark.parametrize("version", ["1.30.0", "2.16.2"])
def test_refused(version: str) -> None:
    with pytest.raises(
        UnsupportedPants, match=f"not run on Pants {version}, but on 2.17 and newer"
    ):
        way_of(Version(version))
