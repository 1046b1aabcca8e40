"""The steps of an enclave: modules of occlum_build.occlum, each run as one process.

That of its image is in sealing.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
)
from pants.engine.process import FallibleProcessResult, Process, ProcessCacheScope
from pants.engine.rules import Rule
from pants.util.frozendict import FrozenDict

from occlum_build.occlum.runtime_boot import BootSettings
from occlum_build.occlum.seal import ROOT
from occlum_build.shown import escaped, output_of
from pants_occlum.compat.by_name import collect_rules, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    get_digest_entries,
    merge_digests,
)
from pants_occlum.enclave.keys import KEY_CACHE, KEY_DIR, ImageKey
from pants_occlum.problems import InvalidEnclave
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool

COMPILED = ("cryptography", "cffi")
PURE = ("pyelftools", "pycparser")
REQUEST, _OUT, TOOLCHAIN = "request.json", "out", "toolchain"
# Inputs of a step beside a file of the project, which keeps its path, as errors name it.
_STEP = ".step"
# What errors call the patch of Occlum.json: by the field that it is given in.
_CONFIG = "`config`"
# The secure file system of an initfs, and beside it what is in it.
SEALED_INITFS, INITFS_TREE = f"{_OUT}/{ROOT}", f"{_OUT}/tree"


@dataclass(frozen=True)
class Parts:
    """Files by name below one digest, as a step left them."""

    digest: Digest
    files: FrozenDict[str, FileDigest]


@dataclass(frozen=True)
class Step:
    """A run of a module of occlum_build.occlum that writes the directory `out`.

    `argv` comes before and `key` after it: a path that leads to the image key, and the fingerprint.
    `caches` are append-only caches that it needs besides.
    """

    module: str
    argv: tuple[str, ...]
    input: Digest
    description: str = field(compare=False)
    key: tuple[str, ...] = ()
    uses_key: bool = False
    caches: FrozenDict[str, str] = field(default_factory=FrozenDict)


async def process_of(step: Step) -> Process:
    return await prepare_tool_process(
        ToolProcessRequest(
            module=f"occlum_build.occlum.{step.module}",
            argv=(*step.argv, _OUT, *step.key),
            description=step.description,
            input_digest=step.input,
            requirements=PURE,
            compiled_requirements=COMPILED,
            output_directories=(_OUT,),
            append_only_caches=FrozenDict(
                {**({KEY_CACHE: KEY_DIR} if step.uses_key else {}), **step.caches}
            ),
            # What was made with a key stays on this machine, and out of its caches.
            cache_scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL
            if step.uses_key
            else ProcessCacheScope.SUCCESSFUL,
        ),
    )


async def parts_of_step(step: Step, result: FallibleProcessResult) -> Parts:
    if result.exit_code:
        raise InvalidEnclave(f"{escaped(step.description)} failed:\n\n{output_of(result.stderr)}")
    entries = await get_digest_entries(result.output_digest)
    files = {
        entry.path[len(_OUT) + 1 :]: entry.file_digest
        for entry in entries
        if isinstance(entry, FileEntry)
    }
    return Parts(result.output_digest, FrozenDict(sorted(files.items())))


@rule
async def run_step(step: Step) -> Parts:
    process = await process_of(step)
    return await parts_of_step(step, await run_tool(process))


@dataclass(frozen=True)
class InitfsRequest:
    """The initfs: an image of its own, or the default one, maybe with another init.

    `boot` makes it that of a boot template.
    """

    image: Digest | None
    identity: bytes
    toolchain: Digest
    version: str
    sgx_mode: str
    image_type: str
    key: ImageKey | None
    boot: BootSettings | None
    of: str = field(compare=False)


@rule
async def seal_initfs(request: InitfsRequest) -> Parts:
    asked = {
        "version": request.version,
        "sgx_mode": request.sgx_mode,
        "image_type": request.image_type,
        "tree": "tree" if request.image else None,
        "manifest": "manifest.json" if request.image else None,
        "image_key": request.key.path if request.key else None,
        "key_fingerprint": request.key.fingerprint if request.key else None,
        "boot": asdict(request.boot) if request.boot else None,
    }
    files = [FileContent(REQUEST, _json(asked))]
    inputs = [request.toolchain]
    if request.image:
        files.append(FileContent("manifest.json", request.identity))
        inputs.append(await add_prefix(AddPrefix(request.image, "tree")))
    inputs.append(await create_digest(CreateDigest(files)))
    return await run_step(
        Step(
            module="initfs",
            argv=(REQUEST, TOOLCHAIN),
            input=await merge_digests(MergeDigests(inputs)),
            description=f"Make the initfs of {request.of}",
            uses_key=request.key is not None,
        )
    )


@dataclass(frozen=True)
class ConfigureRequest:
    """Configuration and measurement: Occlum.json and its patch, the libOS, both MACs.

    `strict`: warnings of the configuration are errors. `needs_hostfs`: a mount must be a hostfs.
    """

    configs: tuple[FileEntry, ...]
    patch: str
    libos: FileDigest
    image_mac: FileDigest
    initfs_mac: FileDigest
    sgx_mode: str
    edmm: bool
    date: str
    with_newline: bool
    strict: bool
    needs_hostfs: bool
    of: str = field(compare=False)


@rule
async def configure_enclave(request: ConfigureRequest) -> Parts:
    paths = [entry.path for entry in request.configs]
    files: list[FileContent | FileEntry] = [
        *request.configs,
        FileEntry(f"{_STEP}/libos.so", request.libos),
        FileEntry(f"{_STEP}/image.mac", request.image_mac),
        FileEntry(f"{_STEP}/initfs.mac", request.initfs_mac),
    ]
    if request.patch:
        paths.append(_CONFIG)
        files.append(FileContent(_CONFIG, request.patch.encode()))
    asked = {
        "configs": paths,
        "libos": f"{_STEP}/libos.so",
        "image_mac": f"{_STEP}/image.mac",
        "initfs_mac": f"{_STEP}/initfs.mac",
        "sgx_mode": request.sgx_mode,
        "edmm": request.edmm,
        "date": request.date,
        "with_newline": request.with_newline,
        "strict": request.strict,
        "needs_hostfs": request.needs_hostfs,
    }
    asked_path = f"{_STEP}/{REQUEST}"
    files.append(FileContent(asked_path, _json(asked)))
    return await run_step(
        Step(
            module="configure",
            argv=(asked_path,),
            input=await create_digest(CreateDigest(files)),
            description=f"Configure and measure {request.of}",
        )
    )


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1).encode()


def rules() -> Iterable[Rule]:
    return collect_rules()
