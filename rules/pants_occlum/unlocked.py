"""Lock files that cannot be made: an error for who asks for one, no obstacle for others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pants.core.goals.generate_lockfiles import (
    GenerateLockfile,
    GenerateLockfileResult,
    GenerateLockfilesSubsystem,
)
from pants.engine.fs import CreateDigest, PathGlobs
from pants.engine.target import InvalidTargetException, Target

from occlum_build.errors import Problem
from occlum_build.shown import Lines
from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import create_digest, get_digest_entries
from pants_occlum.invalid import invalid_target
from pants_occlum.logs import logger_of
from pants_occlum.project_paths import literal, project_path

logger = logger_of(__name__)


def tell_unlocked(name: str, error: Exception, goal: GenerateLockfilesSubsystem) -> None:
    """Raise the error where the lock file is asked for by name, else log it."""
    if name in goal.resolve:
        raise error
    message = f"{name} is not locked, its lock file stays as it is: {error}"
    hint = f"lock files of others are written all the same; --resolve={name} fails"
    logger.error("%s", Problem("unlocked", Lines(*message.splitlines()), hint=hint))


def lock_files_of(
    targets: Mapping[str, Target],
    names: Iterable[str],
    lock_file_of: Callable[[Target], str],
    goal: GenerateLockfilesSubsystem,
    everything: Iterable[Target],
) -> dict[str, str]:
    """The lock files of those names whose targets say where, each its own; tells of the others.

    everything: all targets, some of which have lock files of another kind.
    """
    files: dict[str, str] = {}
    wrong: dict[str, InvalidTargetException] = {}
    for name, target in sorted(targets.items()):
        try:
            files[name] = lock_file_of(target)
        except InvalidTargetException as error:
            wrong[name] = error
    sharing: dict[str, list[Target]] = {}
    for target in sorted(everything, key=lambda one: one.address.spec):
        path = _lock_file(target)
        if path:
            sharing.setdefault(path, []).append(target)
    for name, file in files.items():
        if len(sharing[file]) > 1:
            first, second, *_ = sharing[file]
            wrong[name] = invalid_target(
                f"The 'lockfile' field in target {first.address} is {file}, which is that of "
                f"another `{second.alias}` too, {second.address}: each needs its own."
            )
    asked = sorted(names)
    for name in asked:
        if name in wrong:
            tell_unlocked(name, wrong[name], goal)
    return {name: files[name] for name in asked if name not in wrong}


def _lock_file(target: Target) -> str:
    """What a target of this backend names as its lock file, empty where it has none."""
    for kind, field in target.field_values.items():
        if field.alias == "lockfile" and kind.__module__.startswith("pants_occlum."):
            return project_path(field.value or "", target.address.spec_path)
    return ""


async def lock_as_it_is(
    request: GenerateLockfile, error: Exception, goal: GenerateLockfilesSubsystem
) -> GenerateLockfileResult:
    """The lock file that is there, if any, in place of one that cannot be made."""
    tell_unlocked(request.resolve_name, error, goal)
    entries = await get_digest_entries(**implicitly(PathGlobs([literal(request.lockfile_dest)])))
    digest = await create_digest(CreateDigest(entries))
    # Pants does nothing with the path but say that it wrote that.
    path = f"{request.lockfile_dest}, as it was (see the error above)"
    return GenerateLockfileResult(digest, request.resolve_name, path)
