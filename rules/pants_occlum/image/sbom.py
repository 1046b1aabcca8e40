"""Bills of materials and provenance of an image: it is described, then written in each format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, FileContent, FileDigest, FileEntry, MergeDigests
from pants.engine.rules import Rule

from occlum_build.packages.metadata import status_paths
from occlum_build.sbom.debian import Control
from occlum_build.sbom.describe import Deb, is_read
from occlum_build.sbom.model import DEB, bill_of
from occlum_build.sbom.packages import copyright_path
from occlum_build.sbom.rows import ImageRows, Row, rows_of
from occlum_build.sbom.slsa import provenance_json
from occlum_build.sbom.step import CONTROL, COPYRIGHT, input_json
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    create_digest,
    get_digest_contents,
    merge_digests,
)
from pants_occlum.image.host_packages import host_packages
from pants_occlum.image.nodes import Image, ImageRequest, make_image
from pants_occlum.invalid import invalid_target
from pants_occlum.packages.awaited import is_missing
from pants_occlum.packages.root import MergedRoot, RootOf, merged_root
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise
from pants_occlum.sysroot.host import SysrootBlob
from pants_occlum.sysroot.pins import HostContents, host_contents

_INPUT, _CONTENTS, _DEBS, _BILL = "input.json", "contents", "debs", "bill.json"
_SLSA = "slsa"
# What both formats are written with: the names of licenses are data.
_LICENSES = ("boolean-py", "license-expression", "packageurl-python")
_NAMES = "license_expression/data/scancode-licensedb-index.json"


@dataclass(frozen=True)
class _Format:
    """A format: the module that writes it, the file, and what the module imports."""

    module: str
    file: str
    requirements: tuple[str, ...]
    data: tuple[str, ...] = ()


_FORMATS = {
    "cyclonedx": _Format(
        "occlum_build.sbom.cyclonedx",
        "image.cdx.json",
        (*_LICENSES, "cyclonedx-python-lib", "defusedxml", "py-serializable", "sortedcontainers"),
        ("cyclonedx/schema/_res/spdx.SNAPSHOT.schema.json",),
    ),
    "spdx": _Format(
        "occlum_build.sbom.spdx", "image.spdx.json", (*_LICENSES, "beartype", "spdx-tools")
    ),
}
SLSA_FILE = "image.slsa.json"
# Of a media type alone no parameters count where it is the type of an artefact (OCI 1.1).
MEDIA_TYPES = {
    "image.cdx.json": "application/vnd.cyclonedx+json",
    SLSA_FILE: "application/vnd.in-toto+json",
    "image.spdx.json": "application/spdx+json",
}


@dataclass(frozen=True)
class SbomsRequest:
    """An image, and formats of `sbom`."""

    address: Address
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Sboms:
    """A digest that holds the files."""

    digest: Digest
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Debs:
    """The packages of an image: what is known of each, and files that tell the rest.

    entries: inputs of a process. blobs: those of them that are in the root of packages.
    """

    known: Mapping[str, Deb]
    entries: tuple[FileEntry, ...] = ()
    blobs: tuple[SysrootBlob, ...] = ()


def _debs(image: ImageRows, merged: MergedRoot) -> _Debs:
    names = sorted({row.package for row in image.rows if row.package} & merged.indexes.keys())
    entries, blobs = [], []
    for name in names:
        control = merged.metadata.get(status_paths(name)[0])
        if control is not None:
            entries.append(FileEntry(f"{_DEBS}/{name}/{CONTROL}", control))
        path = copyright_path(merged.root.lock.pins, name)
        if path:
            pin = merged.root.lock.pins[path]
            digest = FileDigest(pin.sha256, pin.size)
            entries.append(FileEntry(f"{_DEBS}/{name}/{COPYRIGHT}", digest))
            blobs.append(SysrootBlob(path, pin.sha256, pin.size))
    known = {
        name: Deb(
            Control(name, merged.indexes[name].version, merged.indexes[name].architecture),
            sha256=merged.packages[name].sha256,
        )
        for name in names
    }
    return _Debs(known, tuple(entries), tuple(blobs))


def _contents(image: Image, rows: Iterable[Row]) -> Iterator[tuple[FileEntry, SysrootBlob | None]]:
    """The files that a bill is made of; those of the project are stored, the others not yet."""
    read = {row.sha256 for row in rows if row.sha256 and is_read(row.path)}
    project = image.plan.project
    for sha256 in sorted(read & project.keys()):
        yield FileEntry(f"{_CONTENTS}/{sha256}", project[sha256]), None
    for blob in image.plan.host_blobs(read - project.keys()):
        yield (
            FileEntry(f"{_CONTENTS}/{blob.sha256}", FileDigest(blob.sha256, blob.size)),
            blob,
        )


async def _described(image: Image, rows: ImageRows, debs: _Debs) -> Digest:
    """The bill of an image."""
    found = list(_contents(image, rows.rows))
    blobs = (*debs.blobs, *(blob for _, blob in found if blob is not None))
    given = FileContent(_INPUT, input_json(str(image.address), rows, debs.known))
    wanted = HostContents(image.plan.sysroot, blobs, str(image.address))
    is_host = image.plan.sysroot.packages is None
    if is_host and blobs:
        await host_contents(wanted)
    entries: list[FileContent | FileEntry] = [given, *debs.entries]
    entries += [entry for entry, _ in found]
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.sbom.step",
            argv=(_INPUT, _CONTENTS, _DEBS, _BILL),
            description=f"Describe the image of {image.address}",
            input_digest=await digest_of(entries),
            output_files=(_BILL,),
        ),
    )
    try:
        result = await run_tool_or_raise(process)
    except Exception as error:  # whatever Pants raises, if it names a content
        if is_host or not is_missing(error, (one.sha256 for one in blobs)):
            raise
        await host_contents(wanted)
        result = await run_tool_or_raise(process)
    return result.output_digest


async def _written(bill: Digest, one: _Format, address: Address) -> Digest:
    process = await prepare_tool_process(
        ToolProcessRequest(
            module=one.module,
            argv=(_BILL, one.file),
            description=f"Write {one.file} of {address}",
            input_digest=bill,
            requirements=one.requirements,
            requirement_data=(_NAMES, *one.data),
            output_files=(one.file,),
        ),
    )
    return (await run_tool_or_raise(process)).output_digest


async def _provenance(bill: Digest, rows: ImageRows, address: Address) -> Digest:
    """By packages of the bill, and by sources, which a bill has not."""
    (content,) = await get_digest_contents(bill)
    packages = [one for one in bill_of(content.content, _BILL).components if one.kind == DEB]
    made = provenance_json(str(address), rows, packages, boms=rows.boms)
    return await create_digest(CreateDigest([FileContent(SLSA_FILE, made)]))


def _check_installed(address: Address, formats: Iterable[str]) -> None:
    """Raise InvalidTargetException for a format that this environment cannot write."""
    for name in formats:
        of = _FORMATS[name].requirements if name in _FORMATS else ("packageurl-python",)
        for requirement in of:
            try:
                distribution(requirement)
            except PackageNotFoundError:
                raise invalid_target(
                    f"The 'sbom' field in target {address} has {name!r}, which needs the Python "
                    f"distribution {requirement}, and Pants runs without it: add "
                    '"cyclonedx-python-lib==10.3.0" and "spdx-tools==0.8.3" to `plugins` in '
                    "`[GLOBAL]` of pants.toml."
                ) from None


@rule(desc="Write what an image is made of")
async def write_sboms(request: SbomsRequest) -> Sboms:
    _check_installed(request.address, request.formats)
    image = await make_image(ImageRequest(request.address), **implicitly())
    plan = image.plan
    rows = rows_of(image.name, plan.entries, plan.sha256, plan.packages, plan.graph)
    if plan.sysroot.packages is not None:
        debs = _debs(rows, await merged_root(RootOf(plan.sysroot.packages), **implicitly()))
    else:
        host = await host_packages(plan.sysroot, rows)
        rows, debs = host.image, _Debs(host.debs)
    files, digests = [], []
    formats = [one for name, one in sorted(_FORMATS.items()) if name in request.formats]
    if request.formats:
        bill = await _described(image, rows, debs)
        if _SLSA in request.formats:
            digests.append(await _provenance(bill, rows, request.address))
            files.append(SLSA_FILE)
        for one in formats:
            digests.append(await _written(bill, one, request.address))
            files.append(one.file)
    return Sboms(await merge_digests(MergeDigests(digests)), tuple(sorted(files)))


def rules() -> Iterable[Rule]:
    return collect_rules()
