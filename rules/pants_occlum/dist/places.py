"""Where dist is, and what a sync keeps beside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from pants.base.build_root import BuildRoot
from pants.core.goals.package import BuiltPackageArtifact
from pants.core.util_rules import distdir
from pants.core.util_rules.distdir import DistDir
from pants.engine.process import ProcessCacheScope
from pants.engine.rules import Rule
from pants.option.global_options import GlobalOptions

from pants_occlum.compat.by_name import collect_rules, rule
from pants_occlum.process import execution
from pants_occlum.process.execution import Execution

MOST_BYTES_SENT = 64 << 20


@dataclass(frozen=True)
class DistPlaces:
    """Absolute paths: of the project, of dist, and of where the state of each tree is kept.

    executes_remotely: processes may run on another machine, and then cannot write here.
    store_dir: Pants' local store. sends_results: a remote cache is written to.
    has_remote_cache: one is read or written.
    """

    build_root: str
    dist_dir: str
    state_dir: str
    executes_remotely: bool
    store_dir: str
    sends_results: bool = False
    has_remote_cache: bool = False

    def scope_of(self, size: int, *, is_shared: bool = True) -> ProcessCacheScope:
        """In which caches an output goes of about so many bytes, or what a key made.

        Pants holds in memory what it sends to a remote cache, and has no scope for the local one.
        """
        if not is_shared or (self.sends_results and size > MOST_BYTES_SENT):
            return ProcessCacheScope.PER_RESTART_SUCCESSFUL
        return ProcessCacheScope.SUCCESSFUL

    def shown(self, name: str) -> str:
        """How messages call what is in dist."""
        return os.path.relpath(os.path.join(self.dist_dir, name), self.build_root)

    def state_of(self, path: str) -> str:
        """Where what is kept of something in dist begins, given its real path."""
        return os.path.join(self.state_dir, hashlib.sha256(path.encode("utf-8")).hexdigest())

    def wrote(self, *names: str) -> tuple[BuiltPackageArtifact, ...]:
        """Tells of trees and files in dist that are not in a package's digest."""
        return tuple(BuiltPackageArtifact(None, (f"Wrote {self.shown(name)}",)) for name in names)


@rule
async def dist_places(
    build_root: BuildRoot, dist_dir: DistDir, global_options: GlobalOptions, execution: Execution
) -> DistPlaces:
    state_dir = os.path.join(build_root.path, global_options.pants_workdir, "occlum", "dist")
    return DistPlaces(
        build_root.path,
        os.path.join(build_root.path, str(dist_dir.relpath)),
        state_dir,
        execution.remote_execution,
        global_options.local_store_dir,
        global_options.remote_cache_write,
        global_options.remote_cache_read or global_options.remote_cache_write,
    )


def rules() -> Iterable[Rule]:
    return [*collect_rules(), *collect_rules(vars(distdir)), *execution.rules()]
