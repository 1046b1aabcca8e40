"""`run` for `occlum_image` and `occlum_enclave`: a program of the image, without SGX."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pants.core.goals.run import RunFieldSet, RunInSandboxBehavior, RunRequest
from pants.engine.addresses import Address
from pants.engine.fs import EMPTY_DIGEST
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import WrappedTargetRequest
from pants.engine.unions import UnionRule

from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.sync import sync_file, sync_tree
from pants_occlum.enclave.target_types import EnclaveImageField
from pants_occlum.image.planned import explain_missing, host_copies
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.run.options import OcclumRunSubsystem
from pants_occlum.run.runnable import CONFIG, runnable_of

# The interpreter that runs Pants, with the modules that it has now; paths are arguments of its own.
_START = (
    "import sys; sys.path[:] = sys.argv[1].split(':'); del sys.argv[1]; "
    "from occlum_build.cli.main import main; sys.exit(main())"
)
# As it was when the plugin was loaded, for what is relative.
_PATH = ":".join(os.path.abspath(one) for one in sys.path)
_IMAGE = "image"


@dataclass(frozen=True)
class RunImageFieldSet(RunFieldSet):
    required_fields = (ImageBomsField,)
    run_in_sandbox_behavior = RunInSandboxBehavior.NOT_SUPPORTED

    boms: ImageBomsField


@dataclass(frozen=True)
class RunEnclaveFieldSet(RunFieldSet):
    required_fields = (EnclaveImageField,)
    run_in_sandbox_behavior = RunInSandboxBehavior.NOT_SUPPORTED

    image: EnclaveImageField


@dataclass(frozen=True)
class _LayOut:
    address: Address


@dataclass(frozen=True)
class _LaidOut:
    """`folder` is absolute: it has the image, and where there is one its Occlum.json.

    `root` is what the image is made from, `record` where a trace is kept; both are absolute.
    """

    folder: str
    has_config: bool
    root: str
    record: str


# Not memoised, so that whatever was done to the image of an earlier run is undone.
@_uncacheable_rule
async def lay_out(request: _LayOut, places: DistPlaces) -> _LaidOut:
    target = (
        await resolve_target(WrappedTargetRequest(request.address, "`run`"), **implicitly())
    ).target
    runnable = await runnable_of(target, "What is run")
    # Pants' own digests know no modes: it is a tree as those in dist, elsewhere.
    folder = os.path.join(os.path.dirname(places.state_dir), "run")
    project = request.address.spec_path.replace("/", ".")
    record = os.path.join(places.dist_dir, project, f"{request.address.target_name}.trace.json")
    places = replace(places, dist_dir=folder)
    name = request.address.path_safe_spec
    host = await host_copies(runnable.image.plan, str(request.address))
    await sync_tree(places, f"{name}/{_IMAGE}", runnable.image.tree, host)
    if runnable.config is not None:
        sync_file(places, f"{name}/{CONFIG}", runnable.config)
    return _LaidOut(
        os.path.join(folder, name),
        runnable.config is not None,
        runnable.image.plan.sysroot.root,
        record,
    )


async def _run_request(address: Address, options: OcclumRunSubsystem) -> RunRequest:
    try:
        laid_out = await lay_out(_LayOut(address), **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        target = (
            await resolve_target(WrappedTargetRequest(address, "`run`"), **implicitly())
        ).target
        image = (await runnable_of(target, "What is run")).image
        raise await explain_missing(error, image.plan, address) from None
    args = [os.path.join(laid_out.folder, _IMAGE), "--target", address.spec]
    if laid_out.has_config:
        args += ["--config", os.path.join(laid_out.folder, CONFIG)]
    args += ["--writable"] if options.writable else []
    if options.trace:
        args += ["--record", laid_out.record, "--root", laid_out.root]
    for one in options.env:
        args += ["--env", one]
    command = (sys.executable, "-c", _START, _PATH, "run", *args, "--")
    return RunRequest(digest=EMPTY_DIGEST, args=command)


@_uncacheable_rule
async def run_image(
    field_set: RunImageFieldSet, options: OcclumRunSubsystem, run_id: RunId
) -> RunRequest:
    LOADED.require_unchanged(run_id)
    return await _run_request(field_set.address, options)


@_uncacheable_rule
async def run_enclave(
    field_set: RunEnclaveFieldSet, options: OcclumRunSubsystem, run_id: RunId
) -> RunRequest:
    LOADED.require_unchanged(run_id)
    return await _run_request(field_set.address, options)


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), *RunImageFieldSet.rules(), *RunEnclaveFieldSet.rules())
