"""The image as one deterministic archive, made by a process from the image's digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.process import FallibleProcessResult, Process, ProcessResult
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule

from occlum_build.image.tar import entries_json
from occlum_build.process.complete import TABLE
from occlum_build.process.step import EXIT_CONTENT_MISSING
from pants_occlum.image.nodes import Image, ImageContent, ImageContentRequest, ImageRequest
from pants_occlum.process.tool_process import ToolProcessRequest

_ROOT, _ENTRIES, _OUTPUT = "root", "entries.json", "image.tar"


@dataclass(frozen=True)
class ImageTarRequest:
    address: Address


@dataclass(frozen=True)
class ImageTar:
    """A digest that holds `image.tar`."""

    digest: Digest


async def _process(address: Address, *, is_whole: bool) -> Process:
    image = await Get(Image, ImageRequest(address))
    content = await Get(ImageContent, ImageContentRequest(address, is_whole))
    entries = FileContent(_ENTRIES, entries_json(image.plan.entries))
    inputs = await MultiGet(
        Get(Digest, AddPrefix(content.digest, _ROOT)),
        Get(Digest, CreateDigest([entries])),
    )
    return await Get(
        Process,
        ToolProcessRequest(
            module="occlum_build.image.tar",
            argv=(_ROOT, _ENTRIES, _OUTPUT, TABLE),
            description=f"Archive the image of {address}",
            input_digest=await Get(Digest, MergeDigests([*inputs, content.table])),
            output_files=(_OUTPUT,),
            append_only_caches=content.caches,
        ),
    )


@rule(desc="Archive an image")
async def archive_image(request: ImageTarRequest) -> ImageTar:
    process = await _process(request.address, is_whole=False)
    result = await Get(FallibleProcessResult, Process, process)
    if result.exit_code == EXIT_CONTENT_MISSING:
        process = await _process(request.address, is_whole=True)
    return ImageTar((await Get(ProcessResult, Process, process)).output_digest)


def rules() -> Iterable[Rule]:
    return collect_rules()
