"""Run a module of the library as a process whose cache key is the same on every machine."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pants.engine.fs import (
    EMPTY_DIGEST,
    Digest,
    DigestEntries,
    FileContent,
    FileEntry,
    MergeDigests,
)
from pants.engine.process import Process, ProcessCacheScope
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from occlum_build.shown import escaped
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import get_digest_entries, merge_digests
from pants_occlum.process import execution as executions
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.execution import PYTHON_CACHE, Execution
from pants_occlum.process.tool_sources import requirement_modules, tool_modules

TOOL_DIR = ".tool"
PYTHON_DIR = ".py"
# Isolated from the environment and the sandbox's own files: an input called struct.py is no module.
INTERPRETER = (f"{PYTHON_DIR}/python", "-I", "-S", "-B", "-X", "utf8")
# Pants races a process against the remote cache's answer from the start, and what takes 100 ms here
# would win from a distant server. A miss starts it at once; only a server that hangs is waited for.
REMOTE_CACHE_HEAD_START_MILLIS = 10_000
# Pants keeps such contents in files of their own and reads them without a look at their hash.
LARGE_BYTES = 512 << 10
INPUTS = ".inputs.json"
# A process that reads a damaged input would give results of it that caches keep.
LAUNCHER = b"""import os
import runpy
import sys

del sys.argv[0]
if os.path.exists(".inputs.json"):
    import hashlib
    import json

    damaged = False
    with open(".inputs.json", encoding="utf-8") as text:
        inputs = json.load(text)
    for path, sha256 in inputs:
        hasher = hashlib.sha256()
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
        if hasher.hexdigest() != sha256:
            damaged = True
            place = f"immutable/files/{sha256[:2]}/{sha256} below Pants' local_store_dir"
            sys.stderr.write(
                f"{path}: the input is damaged, its SHA-256 is not {sha256}\\n"
                f"  hint: remove {place}, and run Pants once with --no-pantsd: what it held is made"
                " anew\\n"
            )
    if damaged:
        sys.exit(1)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class ToolSourcesRequest:
    """module: one of the library; requirements: names of distributions, pure ones and compiled.

    requirement_data: files of the pure ones that are no modules, by their paths in RECORD.
    """

    module: str
    requirements: tuple[str, ...] = ()
    compiled_requirements: tuple[str, ...] = ()
    requirement_data: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequirementRequest:
    """A distribution that tools need; `data` are those of its files that are no modules."""

    name: str
    compiled: bool
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequirementFiles:
    """The modules of a distribution."""

    digest: Digest


@dataclass(frozen=True)
class ToolSources:
    """A directory that the interpreter can run: `python <directory> <module> <arguments>`."""

    digest: Digest


@dataclass(frozen=True)
class ToolPython:
    """The interpreter that runs tools, named by a link in a named cache that stands in for it.

    Its path is no part of the value, nor of any process, so that machines share their caches.
    """

    argv: tuple[str, ...]
    append_only_cache: tuple[str, str]


@dataclass(frozen=True)
class ToolProcessRequest:
    """A run of a module of the library (its `__main__`) in a sandbox that holds `input_digest`.

    Paths in argv and outputs are relative to the sandbox. The description is no part of the key.
    """

    module: str
    argv: tuple[str, ...]
    description: str = field(compare=False)
    input_digest: Digest = EMPTY_DIGEST
    requirements: tuple[str, ...] = ()
    compiled_requirements: tuple[str, ...] = ()
    requirement_data: tuple[str, ...] = ()
    append_only_caches: FrozenDict[str, str] = field(default_factory=FrozenDict)
    output_files: tuple[str, ...] = ()
    output_directories: tuple[str, ...] = ()
    level: LogLevel = LogLevel.INFO
    cache_scope: ProcessCacheScope = ProcessCacheScope.SUCCESSFUL


@dataclass(frozen=True)
class ToolProcess:
    """What is run; rules that give a Process itself are choices wherever a Process is run."""

    process: Process


# On its own, as many tools need the same one.
@rule(level=LogLevel.DEBUG)
async def collect_requirement(request: RequirementRequest) -> RequirementFiles:
    contents = requirement_modules(request.name, compiled=request.compiled, data=request.data)
    return RequirementFiles(await digest_of(_files(contents)))


@rule(level=LogLevel.DEBUG)
async def collect_tool_sources(request: ToolSourcesRequest) -> ToolSources:
    # Without a look at the disk: the library's modules are as old as the rules that run them.
    modules = {"__main__.py": LAUNCHER, **tool_modules(request.module)}
    wanted = [
        *(RequirementRequest(one, False, request.requirement_data) for one in request.requirements),
        *(RequirementRequest(one, True) for one in request.compiled_requirements),
    ]
    requirements = await concurrently(collect_requirement(one) for one in wanted)
    digests = [await digest_of(_files(modules)), *(one.digest for one in requirements)]
    return ToolSources(await merge_digests(MergeDigests(digests)))


def _files(contents: Mapping[str, bytes]) -> list[FileContent]:
    return [FileContent(path, content) for path, content in sorted(contents.items())]


@rule(level=LogLevel.DEBUG)
async def tool_python(named_caches_dir: NamedCachesDirOption, execution: Execution) -> ToolPython:
    execution.require_usable()
    link_python(named_caches_dir)
    return ToolPython(INTERPRETER, (PYTHON_CACHE, PYTHON_DIR))


@rule(level=LogLevel.DEBUG)
async def make_tool_process(request: ToolProcessRequest, python: ToolPython) -> ToolProcess:
    sources = await collect_tool_sources(
        ToolSourcesRequest(
            request.module,
            request.requirements,
            request.compiled_requirements,
            request.requirement_data,
        )
    )
    inputs = request.input_digest
    table = _large_files(await get_digest_entries(inputs))
    if table:
        files = [FileContent(INPUTS, json.dumps(table, ensure_ascii=False).encode())]
        compared = await digest_of(files)
        inputs = await merge_digests(MergeDigests([inputs, compared]))
    made = Process(
        (*python.argv, TOOL_DIR, request.module, *request.argv),
        description=escaped(request.description),
        level=request.level,
        input_digest=inputs,
        immutable_input_digests={TOOL_DIR: sources.digest},
        append_only_caches={**dict([python.append_only_cache]), **request.append_only_caches},
        output_files=request.output_files,
        output_directories=request.output_directories,
        cache_scope=request.cache_scope,
        remote_cache_speculation_delay_millis=REMOTE_CACHE_HEAD_START_MILLIS,
    )
    return ToolProcess(made)


async def prepare_tool_process(request: ToolProcessRequest) -> Process:
    """What runs a module of the library, for rules."""
    return (await make_tool_process(request, **implicitly())).process


def _large_files(entries: DigestEntries) -> list[tuple[str, str]]:
    """Path and SHA-256 of those that the launcher compares."""
    return sorted(
        (entry.path, entry.file_digest.fingerprint)
        for entry in entries
        if isinstance(entry, FileEntry) and entry.file_digest.serialized_bytes_length >= LARGE_BYTES
    )


def link_python(named_caches_dir: NamedCachesDirOption) -> None:
    """See to the interpreter's link, which the user may delete with the caches at any time.

    As the rule above is memoised, the look at the sysroot, which is not, does this once more.
    """
    folder = named_caches_dir.val / PYTHON_CACHE
    # What a virtual environment's interpreter is a link to lasts longer than the environment.
    link_in_cache(os.path.realpath(sys.executable), str(folder / "python"))


def link_in_cache(target: str, link: str) -> None:
    """Make `link` lead to `target`; atomic, for other runs may be starting processes by it."""
    if os.path.islink(link) and os.readlink(link) == target:
        return
    os.makedirs(os.path.dirname(link), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(link)) as folder:
        temporary = os.path.join(folder, "link")
        os.symlink(target, temporary)
        os.replace(temporary, link)


def rules() -> Iterable[Rule]:
    return [*collect_rules(), *executions.rules()]
