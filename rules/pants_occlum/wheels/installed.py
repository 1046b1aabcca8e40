"""Wheels as files of an image: each is installed by a process, once ever.

A cached result needs no wheel. So the process is asked for first, with a token as an input that is
in no store before the wheel is in the named cache, from where the process takes it: a lock file
knows no sizes, and without one a wheel is no input. Where the process cannot see the named cache,
or somebody emptied it, the wheel is an input after all, under another key.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pants.engine.fs import CreateDigest, Digest, FileContent, FileDigest, FileEntry
from pants.engine.rules import Rule
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError, Place
from occlum_build.process.step import EXIT_CONTENT_MISSING
from occlum_build.shown import Lines, output_of
from occlum_build.wheels.archive import CODE
from occlum_build.wheels.install import Content, Layout
from occlum_build.wheels.lock import Wheel
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import (
    create_digest,
    get_digest_contents,
    get_digest_entries,
)
from pants_occlum.packages.awaited import is_missing
from pants_occlum.packages.storing import store_files
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool
from pants_occlum.wheels.fetched import WHEELS_CACHE, FetchWheels, fetched_wheels
from pants_occlum.wheels.requests import WheelsOf, asked_wheels

_CACHE, _TOKEN, _WHEEL = ".wheels", ".wheel", "wheel.whl"
_TREE, _INDEX = "tree", "index.json"
_SHOWN = 10


@dataclass(frozen=True)
class InstallWheel:
    """A wheel by its content; size: in bytes where it is an input of the process, else -1."""

    sha256: str
    file: str
    layout: Layout
    size: int = -1
    what: str = field(default="", compare=False)


@dataclass(frozen=True)
class InstalledFile:
    """may_hold_elf: whether it begins as an ELF file, an archive or a script does."""

    digest: FileDigest
    is_executable: bool
    may_hold_elf: bool


@dataclass(frozen=True)
class InstalledWheel:
    """The files by their paths in the image, as `usr/bin/x`; None where there is no wheel."""

    files: FrozenDict[str, InstalledFile] | None


@dataclass(frozen=True)
class TriedWheel:
    """Whether it is installed, or what it is made of is missing."""

    is_there: bool


@dataclass(frozen=True)
class InstalledWheels:
    """The files of each distribution, which is told as `name version`."""

    distributions: FrozenDict[str, FrozenDict[str, InstalledFile]]


def _token(sha256: str) -> bytes:
    return f"{sha256}\n".encode()


def _token_digest(sha256: str) -> FileDigest:
    token = _token(sha256)
    return FileDigest(hashlib.sha256(token).hexdigest(), len(token))


async def _installed(digest: Digest, name: str) -> FrozenDict[str, InstalledFile]:
    entries = await get_digest_entries(digest)
    files = {one.path: one for one in entries if isinstance(one, FileEntry)}
    (index,) = await get_digest_contents(await create_digest(CreateDigest([files.pop(_INDEX)])))
    may_hold_elf = set(Content.from_json(index.content, name).may_hold_elf)
    found = {path[len(_TREE) :]: one for path, one in files.items()}
    return FrozenDict(
        (path[1:], InstalledFile(one.file_digest, one.is_executable, path in may_hold_elf))
        for path, one in sorted(found.items())
    )


@rule(desc="Install a wheel", level=LogLevel.DEBUG)
async def install_wheel(request: InstallWheel) -> InstalledWheel:
    path, caches = f"{_CACHE}/{request.sha256}.whl", FrozenDict({WHEELS_CACHE: _CACHE})
    entry = FileEntry(_TOKEN, _token_digest(request.sha256))
    if request.size >= 0:
        path, caches = _WHEEL, FrozenDict({})
        entry = FileEntry(_WHEEL, FileDigest(request.sha256, request.size))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.wheels.install",
            argv=(path, request.sha256, request.file, *request.layout, _TREE, _INDEX),
            description=f"Install {request.what}",
            input_digest=await create_digest(CreateDigest([entry])),
            append_only_caches=caches,
            output_files=(_INDEX,),
            output_directories=(_TREE,),
            level=LogLevel.DEBUG,
        ),
    )
    result = await run_tool(process)
    if result.exit_code == EXIT_CONTENT_MISSING:
        return InstalledWheel(None)
    if result.exit_code:
        message = output_of(result.stderr).replace(f"{request.file}: ", "")
        raise OcclumError(CODE, message, place=Place(request.file))
    return InstalledWheel(await _installed(result.output_digest, request.file))


@_uncacheable_rule(desc="Look for an installed wheel", level=LogLevel.DEBUG)
async def try_wheel(request: InstallWheel) -> TriedWheel:
    try:
        await install_wheel(request)
    except Exception as error:  # whatever Pants raises, if it names a content
        if not is_missing(error, [_token_digest(request.sha256).fingerprint]):
            raise
        return TriedWheel(False)
    return TriedWheel(True)


async def _fetch(wheels: Iterable[Wheel]) -> dict[str, str]:
    return dict((await fetched_wheels(FetchWheels(tuple(wheels)), **implicitly())).files)


@rule(desc="Install wheels", level=LogLevel.DEBUG)
async def installed_wheels(request: WheelsOf) -> InstalledWheels:
    asked = await asked_wheels(request, **implicitly())
    wheels = asked.wheels
    requests = [
        InstallWheel(one.sha256, one.file, asked.layout, what=f"{one.name} {one.version}")
        for one in wheels
    ]
    tokens = [_token_digest(one.sha256).fingerprint for one in wheels]
    try:
        try:
            found = await concurrently(install_wheel(one) for one in requests)
        except Exception as error:  # whatever Pants raises, if it names a content
            if not is_missing(error, tokens):
                raise
            tried = await concurrently(try_wheel(one) for one in requests)
            missing = [one for one, there in zip(wheels, tried) if not there.is_there]
            await _fetch(missing)
            await create_digest(
                CreateDigest(FileContent(one.sha256, _token(one.sha256)) for one in missing)
            )
            found = await concurrently(install_wheel(one) for one in requests)
        lost = [one for one, there in zip(wheels, found) if there.files is None]
        if lost:
            files = await _fetch(lost)
            sizes = {one.sha256: os.stat(files[one.sha256]).st_size for one in lost}
            digests = {sha256: FileDigest(sha256, size) for sha256, size in sizes.items()}
            await store_files([(files[sha256], one) for sha256, one in digests.items()])
            found = await concurrently(
                install_wheel(replace(one, size=sizes.get(one.sha256, -1))) for one in requests
            )
        return InstalledWheels(_merged(wheels, found))
    except OcclumError as error:
        place = Place(request.address.spec)
        problems = [one if one.place else replace(one, place=place) for one in error.problems]
        raise OcclumError.of(problems) from None


def _merged(
    wheels: Sequence[Wheel], found: Sequence[InstalledWheel]
) -> FrozenDict[str, FrozenDict[str, InstalledFile]]:
    """Raises OcclumError where two have one path, and not one content."""
    owners: dict[str, tuple[InstalledFile, Wheel]] = {}
    clashes: list[str] = []
    distributions = {}
    for wheel, one in zip(wheels, found):
        files = one.files or FrozenDict({})
        for path, file in files.items():
            first, owner = owners.setdefault(path, (file, wheel))
            if first != file:
                clashes.append(f"  /{path}: {owner.name} and {wheel.name}")
        distributions[f"{wheel.name} {wheel.version}"] = files
    if clashes:
        more = [f"  and {len(clashes) - _SHOWN:,} more"] if len(clashes) > _SHOWN else []
        raise OcclumError(
            "wheels-conflict",
            Lines("two wheels have other files at one path:", *clashes[:_SHOWN], *more),
            hint="leave one out of `requirements`, or give it an `occlum_wheels` with a `target` "
            "of its own",
        )
    return FrozenDict(distributions)


def rules() -> Iterable[Rule]:
    return collect_rules()
