"""An OCI image as a node: its layout, from layers that other images may share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, FileDigest, MergeDigests
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest

from occlum_build.checks.enclave import start_problem
from occlum_build.checks.environment import environment_problems
from occlum_build.checks.refusal import program_problem
from occlum_build.checks.root import Root
from occlum_build.errors import WARNING, Problem, Report
from occlum_build.oci.layer import GZIP, entries_json
from occlum_build.oci.layout import (
    ImageSettings,
    blob_path,
    check_compression,
    check_settings,
    layout_of,
)
from occlum_build.oci.runtimes import RUNE_DIRECTORY
from occlum_build.oci.settings import read_settings
from occlum_build.oci.whiteouts import check_whiteouts
from occlum_build.sources.model import DIR
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    merge_digests,
    resolve_target,
)
from pants_occlum.dist.digest import digest_entries, file_of, store_files
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.places import DistPlaces
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.planned import explain_missing, look_into
from pants_occlum.oci import target_types as fields
from pants_occlum.oci.attached import attached_files
from pants_occlum.oci.bundle import Bundle, BundleRequest, make_bundle
from pants_occlum.oci.layers import layers_request, make_layers
from pants_occlum.oci.rootfs import Rootfs, RootfsRequest, content_of, lay_out_rootfs
from pants_occlum.problems import container_errors
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise
from pants_occlum.subsystem import OcclumSubsystem

_LAYOUT, _ENTRIES, ARCHIVE = "layout", "entries.json", "image.oci.tar"


@dataclass(frozen=True)
class OciRequest:
    address: Address


@dataclass(frozen=True)
class OciLayout:
    """The layout as a tree; `name` is the digest of the manifest, with `sha256:`.

    referrers: media type and digest of what is attached.
    """

    name: str
    tree: tuple[TreeEntry, ...]
    layer_count: int
    is_shared: bool
    referrers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class OciArchiveRequest:
    tree: tuple[TreeEntry, ...]
    is_shared: bool
    of: str


@dataclass(frozen=True)
class OciArchive:
    """A digest that holds `image.oci.tar`."""

    digest: Digest


async def _program_problems(
    target: Target, settings: ImageSettings, rootfs: Rootfs
) -> list[Problem]:
    """Why the entry point cannot be started; a volume may bring what an image lacks."""
    program = next(iter(settings.entry_point), "")
    if not program.startswith("/"):
        return []

    def look(root: Root) -> Problem | None:
        if rootfs.is_enclave:
            return start_problem(root, program, rootfs.entry_points)
        found = program_problem(root, program, libos=False)
        return replace(found, severity=WARNING) if found and not root.kind(program) else found

    problem = await look_into(rootfs.programs, str(target.address), look)
    return [problem] if problem is not None else []


@rule(desc="Make an OCI image")
async def make_oci_layout(request: OciRequest, occlum: OcclumSubsystem) -> OciLayout:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "an OCI image"), **implicitly()
    )
    target = wrapped.target
    content = await content_of(
        target, fields.OciPlainImageField, fields.OciEnclaveField, fields.OciBundleField
    )
    bundle = None
    if target[fields.OciBundleField].value:
        bundle = await make_bundle(BundleRequest(content.address), **implicitly())
    rootfs = bundle.rootfs if bundle else await lay_out_rootfs(RootfsRequest(content.address))
    settings = _settings(target, rootfs, bundle)
    compression = target[fields.CompressionField].value or GZIP
    report = Report()
    with container_errors(target.address):
        check_settings(settings, report)
        read_settings({}, settings.env, report)
        if bundle is None and rootfs.plan is not None:
            report.warnings += rootfs.plan.needs_library_path(settings.env)
            report.warnings += await look_into(
                rootfs.plan,
                str(target.address),
                lambda root: environment_problems(root, settings.env),
            )
        _check_labels(target, rootfs, report)
        if not bundle or settings.entry_point != bundle.args:
            for problem in await _program_problems(target, settings, rootfs):
                report.add(problem)
        if rootfs.plan is not None:
            check_whiteouts(rootfs.plan.entries, report)
        check_compression(compression, report)
        findings = findings_of(target, [*report.errors, *report.warnings], occlum)
        await tell(findings, **implicitly())
        findings.raise_errors()
    max_layers = target[fields.MaxLayersField].value or 1
    try:
        blobs = await make_layers(
            layers_request(rootfs, max_layers, compression, str(target.address)), **implicitly()
        )
        attached = await attached_files(target, rootfs)
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        raise await explain_missing(error, rootfs.plan, target.address) from None
    layout = layout_of(blobs.layers, settings, attached)
    files = await store_files(layout.files)
    for layer, file in zip(blobs.layers, blobs.files):
        files[blob_path(layer.info.digest)] = file
    files.update((blob_path(one.digest), file) for one, file in attached.items())
    referrers = tuple((one["artifactType"], one["digest"]) for one in layout.referrers)
    tree = tuple(_tree(files))
    return OciLayout(layout.digest, tree, len(blobs.layers), rootfs.is_shared, referrers)


@rule(desc="Archive an OCI image")
async def archive_layout(request: OciArchiveRequest, places: DistPlaces) -> OciArchive:
    rows = entries_json((e.path, e.kind, e.mode, e.target) for e in request.tree)
    layout = await create_digest(CreateDigest(digest_entries(request.tree)))
    inputs = [
        await add_prefix(AddPrefix(layout, _LAYOUT)),
        await digest_of([FileContent(_ENTRIES, rows)]),
    ]
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.image.tar",
            argv=(_LAYOUT, _ENTRIES, ARCHIVE),
            description=f"Archive the OCI image of {request.of}",
            input_digest=await merge_digests(MergeDigests(inputs)),
            output_files=(ARCHIVE,),
            cache_scope=places.scope_of(
                sum(entry.size for entry in request.tree), is_shared=request.is_shared
            ),
        ),
    )
    result = await run_tool_or_raise(process)
    return OciArchive(result.output_digest)


def _settings(target: Target, rootfs: Rootfs, bundle: Bundle | None) -> ImageSettings:
    entry_point = tuple(target[fields.EntryPointField].value or ())
    env = tuple(target[fields.ContainerEnvField].value or ())
    default_cwd = RUNE_DIRECTORY if rootfs.is_enclave else "/"
    if bundle:
        entry_point = entry_point or bundle.args
        default_cwd = bundle.cwd
        own = {item.split("=", 1)[0] for item in env}
        env = (*(item for item in bundle.env if item.split("=", 1)[0] not in own), *env)
    return ImageSettings(
        entry_point=entry_point,
        cmd=tuple(target[fields.CmdField].value or ()),
        env=env,
        cwd=target[fields.ContainerCwdField].value or default_cwd,
        labels={**dict(target[fields.LabelsField].value or {}), **rootfs.labels},
        annotations=target[fields.OciAnnotationsField].value or {},
        ref_name=target[fields.RefNameField].value or "",
    )


def _check_labels(target: Target, rootfs: Rootfs, report: Report) -> None:
    for name in sorted((target[fields.LabelsField].value or {}).keys() & rootfs.labels.keys()):
        report.error("oci", f"the label {name} is made from what is in the image")


def _tree(files: dict[str, FileDigest]) -> list[TreeEntry]:
    tree = [TreeEntry(path, DIR, 0o755) for path in ("blobs", "blobs/sha256")]
    tree += (file_of(path, 0o644, digest) for path, digest in files.items())
    return sorted(tree)


def rules() -> Iterable[Rule]:
    return collect_rules()
