"""Downloads of .deb files, and the index of each: what it holds, made once ever.

A cached index needs no .deb. So the process that makes it is asked for first, with an input that
may be in no store, and only what it lacks is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pants.base.build_root import BuildRoot
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileDigest, FileEntry
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError, Place
from occlum_build.files.json_text import load_json
from occlum_build.packages.deriving import check_package
from occlum_build.packages.http_files import ENVIRONMENT
from occlum_build.packages.index import DebIndex
from occlum_build.packages.linked import put_file, remove_unused, use
from occlum_build.packages.lock import LockedPackage, LockedSuite, PackagesLock
from occlum_build.packages.locking import HINT_GONE, Places, fetch_debs
from occlum_build.shown import output_of
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
from pants_occlum.logs import logger_of
from pants_occlum.packages.awaited import is_missing
from pants_occlum.packages.progress import megabytes, with_progress
from pants_occlum.packages.requests import (
    AskedPackages,
    PackagesOf,
    asked_packages,
)
from pants_occlum.packages.sharing import share, store_debs, take_shared
from pants_occlum.packages.site_mirrors import archive_mirrors
from pants_occlum.process.client_env import ClientEnvRequest, client_env
from pants_occlum.process.execution import Execution
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool
from pants_occlum.subsystem import OcclumSubsystem

logger = logger_of(__name__)
DEBS_CACHE = "occlum_debs"
DEBS, INDEXES = "debs", "indexes"  # as the library has them
_HINT_GONE = (
    f"{HINT_GONE}, or let a machine that has the file build once with `[occlum].share_packages`"
)
_DEB = "package.deb"
_INDEX, _CONTROL, _MD5SUMS = _OUTPUTS = ("index.json", "control", "md5sums")


@dataclass(frozen=True)
class DebRequest:
    """A .deb by its content."""

    sha256: str
    size: int
    merged_usr: bool
    name: str = field(compare=False)


@dataclass(frozen=True)
class IndexedDeb:
    """An index, and the package's control members of these names, which are in the store."""

    index: DebIndex
    control: FileDigest
    md5sums: FileDigest


@dataclass(frozen=True)
class TriedDeb:
    """Whether there is an index, or what it is made of."""

    is_there: bool


@dataclass(frozen=True)
class FetchRequest:
    """Packages of a root that are wanted as files; `suites` are those of their lock.

    hint: what to do about packages that are nowhere to be had.
    """

    address: Address
    packages: tuple[LockedPackage, ...]
    suites: tuple[LockedSuite, ...]
    hint: str = field(default=_HINT_GONE, compare=False)


@dataclass(frozen=True)
class FetchedDebs:
    """The paths of the files, by SHA-256."""

    files: Mapping[str, str]


@dataclass(frozen=True)
class SharedDebs:
    """The remote cache has what this machine has."""


@rule(desc="Index a package", level=LogLevel.DEBUG)
async def index_deb(request: DebRequest) -> IndexedDeb:
    deb = FileEntry(_DEB, FileDigest(request.sha256, request.size))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.packages.indexing",
            argv=(_DEB, *_OUTPUTS, *([] if request.merged_usr else ["plain"])),
            description=f"Index {request.name}",
            input_digest=await create_digest(CreateDigest([deb])),
            compiled_requirements=("zstandard",),
            output_files=_OUTPUTS,
            level=LogLevel.DEBUG,
        ),
    )
    result = await run_tool(process)
    if result.exit_code:
        message = output_of(result.stderr).replace(f"{_DEB}: ", "")
        raise OcclumError("deb-file", message, place=Place(request.name))
    entries = await get_digest_entries(result.output_digest)
    files = {one.path: one for one in entries if isinstance(one, FileEntry)}
    (content,) = await get_digest_contents(await create_digest(CreateDigest([files[_INDEX]])))
    value = load_json(content.content, request.name, code="deb-index")
    index = DebIndex.from_json(value, request.name)
    return IndexedDeb(index, files[_CONTROL].file_digest, files[_MD5SUMS].file_digest)


@_uncacheable_rule(desc="Look for the index of a package", level=LogLevel.DEBUG)
async def try_deb(request: DebRequest) -> TriedDeb:
    try:
        await index_deb(request)
    except Exception as error:  # whatever Pants raises, if it names a content
        if not is_missing(error, [request.sha256]):
            raise
        return TriedDeb(False)
    return TriedDeb(True)


async def indexes_of(
    address: Address, lock: PackagesLock, *, merged_usr: bool, hint: str = _HINT_GONE
) -> tuple[IndexedDeb, ...]:
    """The indexes of locked packages, of which those are downloaded that no cache has one of.

    hint: as of FetchRequest. Raises OcclumError.
    """
    packages = lock.packages
    requests = [
        DebRequest(one.sha256, one.size, merged_usr, f"{one.package} {one.version}")
        for one in packages
    ]
    try:
        indexed = await concurrently(index_deb(one) for one in requests)
    except Exception as error:  # whatever Pants raises, if it names a content
        if not is_missing(error, (one.sha256 for one in requests)):
            raise
        tried = await concurrently(try_deb(one) for one in requests)
        missing = tuple(one for one, found in zip(packages, tried) if not found.is_there)
        wanted = FetchRequest(address, missing, lock.suites, hint)
        fetched = await fetched_debs(wanted, **implicitly())
        await store_debs(missing, fetched.files)
        indexed = await concurrently(index_deb(one) for one in requests)
    for locked, found in zip(packages, indexed):
        check_package(locked, found.index)
    return tuple(indexed)


async def places_of(
    asked: AskedPackages,
    occlum: OcclumSubsystem,
    named_caches_dir: NamedCachesDirOption,
    build_root: BuildRoot,
) -> Places:
    """Where what is asked for comes from, and goes to, on this machine."""
    environment = await client_env(ClientEnvRequest(tuple(sorted(ENVIRONMENT))), **implicitly())
    mirrors = await archive_mirrors(occlum.archive_mirrors, build_root.path)
    cache = Path(str(named_caches_dir.val)) / DEBS_CACHE
    return Places(
        cache=cache,
        debs={
            path: cache / DEBS / f"{digest.fingerprint}.deb" for path, digest in asked.debs.items()
        },
        mirrors={name: mirrors.get(address, ()) for name, address in asked.archives.items()},
        parallel=occlum.parallel_downloads,
        environment=dict(environment.values),
    )


@_uncacheable_rule(desc="Download packages")
async def fetched_debs(
    request: FetchRequest,
    occlum: OcclumSubsystem,
    build_root: BuildRoot,
    named_caches_dir: NamedCachesDirOption,
    execution: Execution,
) -> FetchedDebs:
    """What is in the named cache already, and right, is not downloaded; nor what is shared."""
    asked = await asked_packages(PackagesOf(request.address), **implicitly())
    places = await places_of(asked, occlum, named_caches_dir, build_root)
    for one in request.packages:
        if not one.archive:
            entry = FileEntry(one.path, FileDigest(one.sha256, one.size))
            (content,) = await get_digest_contents(await create_digest(CreateDigest([entry])))
            put_file(str(places.debs[one.path]), content.content)
    of_archives = [one for one in request.packages if one.archive]
    files = {one.sha256: deb_in_cache(named_caches_dir, one) for one in of_archives}
    for file in (*files.values(), *places.debs.values()):
        use(str(file))
    for name in (DEBS, INDEXES):
        remove_unused(str(places.cache / name))
    also = "remote cache: not asked ([occlum].share_packages is off)"
    if occlum.share_packages:
        also = "remote cache: has not got it ([occlum].share_packages)"
        await take_shared(of_archives, files, by_process=not execution.remote_execution)
    lock = PackagesLock({}, request.suites, request.packages)
    what = f"packages of {request.address}"
    _tell([one for one in of_archives if not files[one.sha256].exists()], what)
    fetched = with_progress(
        what,
        lambda progress: fetch_debs(
            lock,
            asked.request,
            replace(places, progress=progress),
            hint=request.hint,
            also=[also],
        ),
    )
    if occlum.share_packages:
        await share(of_archives, files)
    return FetchedDebs({one.package.sha256: str(one.file) for one in fetched})


def _tell(missing: Sequence[LockedPackage], what: str) -> None:
    if missing:
        size = megabytes(sum(one.size for one in missing))
        logger.info("Downloading %d %s, %s", len(missing), what, size)


def deb_in_cache(named_caches_dir: NamedCachesDirOption, package: LockedPackage) -> Path:
    """Where a .deb of an archive is, if it is here."""
    return Path(str(named_caches_dir.val), DEBS_CACHE, DEBS, f"{package.sha256}.deb")


@_uncacheable_rule(desc="Share packages", level=LogLevel.DEBUG)
async def share_present(
    request: FetchRequest, named_caches_dir: NamedCachesDirOption
) -> SharedDebs:
    """Those that earlier runs have downloaded; nothing is downloaded for it."""
    of_archives = [one for one in request.packages if one.archive]
    files = {one.sha256: deb_in_cache(named_caches_dir, one) for one in of_archives}
    await share(of_archives, files)
    return SharedDebs()


def rules() -> Iterable[Rule]:
    return collect_rules()
