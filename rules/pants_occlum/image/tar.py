"""The image as one deterministic archive, made by a process from the image's digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, Digest, FileContent, MergeDigests
from pants.engine.process import Process
from pants.engine.rules import Rule

from occlum_build.image.tar import entries_json
from occlum_build.process.complete import TABLE
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    merge_digests,
)
from pants_occlum.dist.places import DistPlaces
from pants_occlum.image.nodes import (
    ImageContentRequest,
    ImageRequest,
    image_content,
    make_image,
    try_image_process,
)
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise

_ROOT, _ENTRIES, _OUTPUT = "root", "entries.json", "image.tar"


@dataclass(frozen=True)
class ImageTarRequest:
    address: Address


@dataclass(frozen=True)
class ImageTar:
    """A digest that holds `image.tar`."""

    digest: Digest


async def _process(address: Address, places: DistPlaces, *, is_whole: bool) -> Process:
    image = await make_image(ImageRequest(address), **implicitly())
    content = await image_content(ImageContentRequest(address, is_whole), **implicitly())
    entries = FileContent(_ENTRIES, entries_json(image.plan.entries))
    inputs = [await add_prefix(AddPrefix(content.digest, _ROOT)), await digest_of([entries])]
    return await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.image.tar",
            argv=(_ROOT, _ENTRIES, _OUTPUT, TABLE),
            description=f"Archive the image of {address}",
            input_digest=await merge_digests(MergeDigests([*inputs, content.table])),
            output_files=(_OUTPUT,),
            append_only_caches=content.caches,
            cache_scope=places.scope_of(image.size_bytes),
        ),
    )


@rule(desc="Archive an image")
async def archive_image(request: ImageTarRequest, places: DistPlaces) -> ImageTar:
    process = await _process(request.address, places, is_whole=False)
    if await try_image_process(process, request.address) is None:
        process = await _process(request.address, places, is_whole=True)
    return ImageTar((await run_tool_or_raise(process)).output_digest)


def rules() -> Iterable[Rule]:
    return collect_rules()
