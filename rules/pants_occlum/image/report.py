"""The page about an image or an enclave, `report.html`, written by a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, FileContent
from pants.engine.process import ProcessCacheScope

from occlum_build.errors import Problem
from occlum_build.image.graph import GRAPH, graph_text
from occlum_build.occlum.earlier import MANIFEST
from occlum_build.occlum.initfs import ENCRYPTED
from occlum_build.report.page.step import input_json
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.image.nodes import Image
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise

REPORT = "report.html"
_IMAGE, _INPUT, _PAGE = "image", "input.json", "page.html"
_TEMPLATE = "occlum_build/report/page/page.html"


async def write_report(
    address: Address,
    image: Image,
    problems: Iterable[Problem],
    record: Mapping[str, Any] | None = None,
) -> Digest:
    """A digest that holds REPORT; `address` is what the page is called, `record` a measurement."""
    of_key = record is not None and record["inputs"]["image"]["type"] == ENCRYPTED
    files = {
        f"{_IMAGE}/{MANIFEST}": image.manifest.full,
        f"{_IMAGE}/{GRAPH}": graph_text(image.plan.graph, image.name),
        _INPUT: input_json(str(address), problems, record),
        _PAGE: LOADED.contents[_TEMPLATE],
    }
    given = CreateDigest(FileContent(*item) for item in sorted(files.items()))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.report.page.step",
            argv=(_IMAGE, _INPUT, _PAGE, REPORT),
            description=f"Write the report of {address}",
            input_digest=await create_digest(given),
            requirements=("networkx",),
            output_files=(REPORT,),
            # MACs that a key made are for no other machine.
            cache_scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL
            if of_key
            else ProcessCacheScope.SUCCESSFUL,
        ),
    )
    return (await run_tool_or_raise(process)).output_digest
