"""The Pants backend `pants_occlum`: images for Occlum enclaves."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.process.quiet_gc import keep_loaded, quiet_gc

# What is imported stays, and so do the rules: looking for garbage among it was a fifth of a second
# of each start, with what Pants has.
with quiet_gc():
    from pants_occlum import findings, package, takers
    from pants_occlum.bom import register as bom
    from pants_occlum.dist import places, stored
    from pants_occlum.enclave import register as enclave
    from pants_occlum.image import register as image
    from pants_occlum.oci import register as oci
    from pants_occlum.packages import register as packages
    from pants_occlum.process import client_env, loaded_sources, tool_process
    from pants_occlum.report import register as report
    from pants_occlum.run import register as run
    from pants_occlum.sysroot import register as sysroot
    from pants_occlum.wheels import register as wheels

    keep_loaded("modules")

_FAMILIES = (packages, wheels, sysroot, bom, image, enclave, oci, report, run)


def target_types() -> list[type[Target]]:
    return [one for family in _FAMILIES for one in family.target_types()]


def rules() -> Iterable[Rule | UnionRule]:
    # Pants asks for the rules at the start of each run, also of one in a pantsd that has them.
    loaded_sources.LOADED.start_run()
    rooms = (findings, client_env, tool_process, places, stored, *_FAMILIES, takers, package)
    with quiet_gc():
        found = [one for room in rooms for one in room.rules()]
        keep_loaded("rules")
    return found
