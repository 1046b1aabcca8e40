"""A bundle as a node: its root file system, its config.json, and what an OCI image of it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest

from occlum_build.checks.environment import environment_problems
from occlum_build.checks.root import Root
from occlum_build.errors import Place, Report
from occlum_build.image.entries import Entry, Origin
from occlum_build.oci.bundle import BundleSpec, container_of
from occlum_build.oci.config import Container, config_json
from occlum_build.oci.settings import VARIABLES
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.planned import look_into
from pants_occlum.invalid import invalid_target
from pants_occlum.oci import target_types as fields
from pants_occlum.oci.rootfs import Rootfs, RootfsRequest, content_of, lay_out_rootfs
from pants_occlum.problems import container_errors
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class BundleRequest:
    address: Address


@dataclass(frozen=True)
class Bundle:
    """A bundle; `env` has the settings for rune as variables, as an image must hold them."""

    rootfs: Rootfs
    config: bytes
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str


@rule(desc="Make a bundle")
async def make_bundle(request: BundleRequest, occlum: OcclumSubsystem) -> Bundle:
    target = (
        await resolve_target(WrappedTargetRequest(request.address, "a bundle"), **implicitly())
    ).target
    if not target.has_field(fields.BundleArgsField):
        raise invalid_target(f"{target.address} is a `{target.alias}`, not a `rune_bundle`.")
    content = await content_of(target, fields.BundleEnclaveField, fields.BundleImageField)
    rootfs = await lay_out_rootfs(RootfsRequest(content.address))
    spec = _spec(target, rootfs)

    def check(programs: Root) -> tuple[Container, Report]:
        report = Report()
        container = container_of(
            spec,
            _root_of(rootfs.tree),
            report,
            # Only Occlum's programs are looked up in an image: what others load is theirs to say.
            programs=programs if spec.runtime in ("occlum", "runc") else None,
            entry_points=rootfs.entry_points if rootfs.is_enclave else ("/",),
            is_release=rootfs.is_release,
        )
        if not rootfs.is_enclave:  # whose Occlum.json has an environment
            report.warnings += environment_problems(programs, container.env)
        return container, report

    with container_errors(target.address):
        container, report = await look_into(rootfs.programs, str(target.address), check)
        env = _image_env(container)
        if rootfs.plan is not None:
            report.warnings += rootfs.plan.needs_library_path(env)
        findings = findings_of(target, [*report.errors, *report.warnings], occlum)
        await tell(findings, **implicitly())
        findings.raise_errors()
    return Bundle(
        rootfs,
        config_json(container),
        container.args,
        env,
        container.cwd,
    )


def _root_of(tree: Iterable[TreeEntry]) -> Root:
    """A tree to look paths up in."""
    nowhere = Origin(Place(""))
    return Root.of_paths(
        Entry(one.path, one.kind, nowhere, one.mode, size=one.size, target=one.target)
        for one in tree
    )


def _image_env(container: Container) -> tuple[str, ...]:
    settings = (
        f"{VARIABLES[name]}={value}"
        for name, value in sorted(container.annotations.items())
        if name in VARIABLES
    )
    return (*container.env, *settings)


def _spec(target: Target, rootfs: Rootfs) -> BundleSpec:
    runtime_args = target[fields.RuntimeArgsField].value
    return BundleSpec(
        runtime=target[fields.BundleRuntimeField].value
        or ("occlum" if rootfs.is_enclave else "runc"),
        args=tuple(target[fields.BundleArgsField].value or ()),
        env=tuple(target[fields.ContainerEnvField].value or ()),
        cwd=target[fields.ContainerCwdField].value or "",
        runtime_path=target[fields.RuntimePathField].value or "",
        runtime_args=tuple(runtime_args) if runtime_args is not None else None,
        log_level=target[fields.LogLevelField].value or "",
        ra_type=target[fields.RaTypeField].value or "",
        spid=target[fields.SpidField].value or "",
        annotations=target[fields.ContainerAnnotationsField].value or {},
        hostname=target[fields.HostnameField].value or "rune",
        read_only=target[fields.ReadOnlyField].value,
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
