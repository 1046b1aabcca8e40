"""ELF facts of contents, by cacheable processes that are keyed by content alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.engine.fs import CreateDigest, FileDigest, FileEntry
from pants.engine.rules import Rule

from occlum_build.elf.facts import Outcome, outcome_from_json
from pants_occlum.compat.by_name import collect_rules, concurrently, rule
from pants_occlum.compat.pants_rules import (
    create_digest,
    get_digest_contents,
)
from pants_occlum.process.content_groups import content_groups
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise

BATCH_FILES = 64
_INPUT, _OUTPUT = "blobs", "facts.json"


@dataclass(frozen=True)
class FactsRequest:
    """Contents in the store whose facts are wanted; `of` tells the user what they belong to."""

    blobs: tuple[FileDigest, ...]
    of: str


@dataclass(frozen=True)
class KnownFacts:
    """SHA-256 -> facts; None for what is neither an ELF file, an archive nor a script."""

    by_sha256: Mapping[str, Outcome]


@dataclass(frozen=True)
class _Batch:
    blobs: tuple[FileDigest, ...]
    of: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Batch) and self.blobs == other.blobs

    def __hash__(self) -> int:
        return hash(self.blobs)


@rule
async def scan_batch(batch: _Batch) -> KnownFacts:
    entries = [FileEntry(f"{_INPUT}/{blob.fingerprint}", blob) for blob in batch.blobs]
    files = "1 file" if len(entries) == 1 else f"{len(entries)} files"
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.elf.scan",
            argv=(_INPUT, _OUTPUT),
            description=f"Scan ELF files of {batch.of} ({files})",
            input_digest=await create_digest(CreateDigest(entries)),
            output_files=(_OUTPUT,),
        ),
    )
    result = await run_tool_or_raise(process)
    contents = await get_digest_contents(result.output_digest)
    found = json.loads(contents[0].content)
    return KnownFacts({sha256: outcome_from_json(found[sha256]) for sha256 in sorted(found)})


@rule
async def elf_facts(request: FactsRequest) -> KnownFacts:
    blobs = {blob.fingerprint: blob for blob in request.blobs}
    batches = await concurrently(
        scan_batch(_Batch(tuple(group), request.of)) for group in content_groups(blobs, BATCH_FILES)
    )
    merged = {sha256: facts for batch in batches for sha256, facts in batch.by_sha256.items()}
    return KnownFacts(dict(sorted(merged.items())))


def rules() -> Iterable[Rule]:
    return collect_rules()
