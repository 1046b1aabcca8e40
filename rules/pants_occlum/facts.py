"""ELF facts of contents, by cacheable processes that are keyed by content alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from pants.engine.fs import CreateDigest, Digest, DigestContents, FileDigest, FileEntry
from pants.engine.process import Process, ProcessResult
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.util.frozendict import FrozenDict

from occlum_build.elf.facts import ElfFacts, Malformed
from pants_occlum.util_rules.tool_process import ToolProcessRequest

BATCH_FILES = 64
_INPUT, _OUTPUT = "blobs", "facts.json"

Facts = Union[ElfFacts, Malformed, None]


@dataclass(frozen=True)
class FactsRequest:
    """Contents in the store whose facts are wanted; `of` tells the user what they belong to."""

    blobs: tuple[FileDigest, ...]
    of: str


@dataclass(frozen=True)
class KnownFacts:
    """SHA-256 -> facts; None for what is no ELF file."""

    by_sha256: FrozenDict[str, Facts]


@dataclass(frozen=True)
class _Batch:
    blobs: tuple[FileDigest, ...]
    of: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Batch) and self.blobs == other.blobs

    def __hash__(self) -> int:
        return hash(self.blobs)


@rule
async def elf_facts(request: FactsRequest) -> KnownFacts:
    batches = await MultiGet(
        Get(KnownFacts, _Batch(tuple(batch), request.of)) for batch in batches_of(request.blobs)
    )
    merged = {sha256: facts for batch in batches for sha256, facts in batch.by_sha256.items()}
    return KnownFacts(FrozenDict(sorted(merged.items())))


@rule
async def scan_batch(batch: _Batch) -> KnownFacts:
    entries = [FileEntry(f"{_INPUT}/{blob.fingerprint}", blob) for blob in batch.blobs]
    files = "1 file" if len(entries) == 1 else f"{len(entries)} files"
    process = await Get(
        Process,
        ToolProcessRequest(
            module="occlum_build.elf.scan",
            argv=(_INPUT, _OUTPUT),
            description=f"Scan ELF files of {batch.of} ({files})",
            input_digest=await Get(Digest, CreateDigest(entries)),
            requirements=("pyelftools",),
            output_files=(_OUTPUT,),
        ),
    )
    result = await Get(ProcessResult, Process, process)
    contents = await Get(DigestContents, Digest, result.output_digest)
    found = json.loads(contents[0].content)
    return KnownFacts(FrozenDict((sha256, parse_facts(found[sha256])) for sha256 in sorted(found)))


def batches_of(blobs: Iterable[FileDigest]) -> list[list[FileDigest]]:
    """Groups by the first bits of the digest, so that one changed file re-runs one group only.

    The number of groups is a power of two: it stays the same until the files have doubled.
    """
    unique = sorted({blob.fingerprint: blob for blob in blobs}.items())
    groups = 1
    while groups * BATCH_FILES < len(unique):
        groups *= 2
    batches: dict[int, list[FileDigest]] = {}
    for fingerprint, blob in unique:
        batches.setdefault(int(fingerprint[:8], 16) * groups >> 32, []).append(blob)
    return [batches[group] for group in sorted(batches)]


def parse_facts(value: object) -> Facts:
    if not isinstance(value, dict):
        return None
    return Malformed(value["malformed"]) if "malformed" in value else ElfFacts.from_json(value)


def rules() -> Iterable[Rule]:
    return collect_rules()
