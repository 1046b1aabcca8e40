from __future__ import annotations

from dataclasses import replace

import pytest
from pants.engine.addresses import Address
from pants.util.frozendict import FrozenDict

from occlum_build.errors import Place, Problem
from occlum_build.image.graph import Graph
from occlum_build.image.missing import Searched
from occlum_build.oci.grouping import Group
from occlum_build.sources.model import FILE
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.image.planned import PlannedImage
from pants_occlum.oci.layers import LayersRequest, layers_request
from pants_occlum.oci.rootfs import Rootfs
from pants_occlum.sysroot.sysroots import Sysroot

PROGRAMS = PlannedImage(Sysroot("/"), (), {}, {}, (), {}, {}, Searched(), {}, Graph())
ROOTFS = Rootfs(
    tree=(TreeEntry("run/x", FILE, 0o644, "0" * 64, 1),),
    groups=(Group("instance", ("run/x",), 1),),
    image=Address("app", target_name="image"),
    programs=PROGRAMS,
    labels=FrozenDict({}),
    is_enclave=True,
)


def request(rootfs: Rootfs) -> LayersRequest:
    return layers_request(rootfs, 4, "gzip", "app:oci")


def test_what_is_known_of_the_programs_makes_no_other_layers() -> None:
    moved = replace(PROGRAMS, findings=(Problem("override", "x", Place("bom.yaml", 2)),))
    others = replace(ROOTFS, programs=moved, entry_points=("/bin",), labels=FrozenDict({"a": "b"}))
    assert others != ROOTFS
    assert request(others) == request(ROOTFS)
    assert hash(request(others)) == hash(request(ROOTFS))


@pytest.mark.parametrize(
    "changed",
    [
        replace(ROOTFS, tree=()),
        replace(ROOTFS, groups=()),
        replace(ROOTFS, is_shared=False),
        replace(ROOTFS, plan=PROGRAMS),
    ],
)
def test_what_is_in_a_root_file_system_makes_other_layers(changed: Rootfs) -> None:
    assert request(changed) != request(ROOTFS)
