"""The image as one deterministic archive, made by a process from the image's digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.process import Process, ProcessResult
from pants.engine.rules import Get, Rule, collect_rules, rule

from occlum_build.image.tar import entries_json
from pants_occlum.image import Image, ImageContent, ImageContentRequest, ImageRequest
from pants_occlum.util_rules.tool_process import ToolProcessRequest

_ROOT, _ENTRIES, _OUTPUT = "root", "entries.json", "image.tar"


@dataclass(frozen=True)
class ImageTarRequest:
    address: Address


@dataclass(frozen=True)
class ImageTar:
    """A digest that holds `image.tar`."""

    digest: Digest


@rule(desc="Archive an image")
async def archive_image(request: ImageTarRequest) -> ImageTar:
    image = await Get(Image, ImageRequest(request.address))
    content = await Get(ImageContent, ImageContentRequest(request.address))
    root = await Get(Digest, AddPrefix(content.digest, _ROOT))
    entries = await Get(
        Digest, CreateDigest([FileContent(_ENTRIES, entries_json(image.plan.entries))])
    )
    process = await Get(
        Process,
        ToolProcessRequest(
            module="occlum_build.image.tar",
            argv=(_ROOT, _ENTRIES, _OUTPUT),
            description=f"Archive the image of {request.address}",
            input_digest=await Get(Digest, MergeDigests([root, entries])),
            output_files=(_OUTPUT,),
        ),
    )
    result = await Get(ProcessResult, Process, process)
    return ImageTar(result.output_digest)


def rules() -> Iterable[Rule]:
    return collect_rules()
