from __future__ import annotations

from dataclasses import replace

import pytest
from pants.engine.process import ProcessCacheScope

from pants_occlum.dist.places import MOST_BYTES_SENT, DistPlaces

PLACES = DistPlaces("/project", "/project/dist", "/state", False, "/store")
EVERYWHERE, NOWHERE = ProcessCacheScope.SUCCESSFUL, ProcessCacheScope.PER_RESTART_SUCCESSFUL


@pytest.mark.parametrize("sends", [False, True])
def test_which_caches_have_an_output(sends: bool) -> None:
    places = replace(PLACES, sends_results=sends)
    assert places.scope_of(MOST_BYTES_SENT) is EVERYWHERE
    assert places.scope_of(MOST_BYTES_SENT + 1) is (NOWHERE if sends else EVERYWHERE)
    assert places.scope_of(1, is_shared=False) is NOWHERE
