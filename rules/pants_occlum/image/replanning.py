"""A plan made of the last one, where only contents of files differ that decided nothing in it.

A plan of 50,000 entries takes a second, and what most edits change in it is one SHA-256. Whether it
is so is told by what the planner asked (`Asked.decisive`, facts). Everything that the last plan had
of the engine is asked for again, so that the engine knows what this one is made of.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pants.engine.fs import FileDigest

from occlum_build.elf.facts import Archive, ElfFacts, Malformed, Outcome
from occlum_build.errors import Problem
from occlum_build.image.entries import FILE
from occlum_build.sources.model import SourceStat
from occlum_build.sources.recorded import MIN_ELF_BYTES, Asked, Unknown
from pants_occlum.bom.knowledge import Knowledge, learn, stat_of
from pants_occlum.bom.loading import LoadedBoms
from pants_occlum.bom.project_sources import ProjectFile, ProjectSources
from pants_occlum.compat.by_name import implicitly
from pants_occlum.image.planned import PlannedImage
from pants_occlum.problems import told_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.host import look_at_sysroot
from pants_occlum.sysroot.looks import SysrootRequest, SysrootSnapshot
from pants_occlum.sysroot.own_keys import OwnKeys

_FEW = 1_000  # files that may differ
_MOST_PLANS = 16
BINARY = (ElfFacts, Malformed, Archive)

Looks = Sequence[tuple[SysrootRequest, SysrootSnapshot]]


@dataclass(frozen=True)
class PlanInputs:
    """What a plan is made of beside the files of the sysroot."""

    loaded: LoadedBoms
    project: ProjectSources
    keys: OwnKeys
    options: tuple[object, ...]


class _Last(NamedTuple):
    """A plan, and what it was made of; `asked` are the contents that were asked for."""

    inputs: PlanInputs
    looks: Looks
    asked: Asked
    unowned: tuple[Problem, ...]
    plan: PlannedImage


_plans: OrderedDict[Hashable, _Last] = OrderedDict()
_lock = threading.Lock()


def remember(
    request: Hashable,
    inputs: PlanInputs,
    known: Knowledge,
    asked: Asked,
    unowned: tuple[Problem, ...],
    plan: PlannedImage,
) -> None:
    """Keep a plan for the next one of its request; `asked` is without what only hashes wanted."""
    sysroot = known.sysroot
    # Pins are compared with what was asked of each file, and a deferred file was not asked for.
    if sysroot.lock is LockMode.off and sysroot.packages is None and not known.undeferred:
        _keep(request, _Last(inputs, tuple(known.looks), asked, unowned, plan))


def _keep(request: Hashable, last: _Last) -> None:
    with _lock:
        _plans.pop(request, None)
        _plans[request] = last
        if len(_plans) > _MOST_PLANS:
            _plans.popitem(last=False)


async def replan(
    request: Hashable, of: str, inputs: PlanInputs, known: Knowledge
) -> tuple[PlannedImage, tuple[Problem, ...]] | None:
    """The plan, None where it has to be made from the beginning.

    It holds only if there is to be told of owners what was told then, which is given with it.
    """
    with _lock:
        last = _plans.get(request)
    if last is None or last.plan.sysroot != known.sysroot or not _are_alike(last.inputs, inputs):
        return None
    looks = []
    for request_of_look, _ in last.looks:
        with told_of(known.sysroot.named_by):
            snapshot = await look_at_sysroot(request_of_look, **implicitly())
        looks.append((request_of_look, snapshot))
    with quiet_gc():
        changed = _changed(last, inputs, looks)
    if changed is None or not changed.keys().isdisjoint(last.asked.decisive):
        return None
    plan = last.plan
    wanted = {path: stat for path, stat in changed.items() if path in plan.stats}
    if any(path in last.asked.contents and path not in wanted for path in changed):
        return None  # a library that was looked at and not taken
    if not all(stat.sha256 for stat in wanted.values()):
        return None  # another size in a listing, after the look at the content
    digests = {file.digest.fingerprint: file.digest for file in inputs.project.files.values()}
    asked = {path: stat for path, stat in wanted.items() if plan.sha256[path] in plan.facts}
    facts = dict(plan.facts)
    unknown = {one.sha256: path for path, one in asked.items() if one.sha256 not in facts}
    if any(isinstance(facts[plan.sha256[path]], BINARY) for path in unknown.values()):
        return None  # rarely the same, and a whole plan scans it together with others
    if unknown:
        learnt = Knowledge(known.sysroot, stats=dict(asked), digests=digests)
        await learn(learnt, Unknown(facts=unknown), of)
        facts.update(learnt.facts)
    if any(facts[stat.sha256] != facts[plan.sha256[path]] for path, stat in asked.items()):
        return None
    with quiet_gc():
        plan = _exchanged(plan, wanted, digests, facts)
    _keep(request, last._replace(inputs=inputs, looks=tuple(looks), plan=plan))
    return plan, last.unowned


def _are_alike(before: PlanInputs, now: PlanInputs) -> bool:
    """Do two plans read the same BOMs and have the same files of the project, contents apart?"""
    return (
        before.loaded == now.loaded
        and before.keys == now.keys
        and before.options == now.options
        and before.project.packages == now.project.packages
        and before.project.deferred == now.project.deferred
        and before.project.files.keys() == now.project.files.keys()
    )


def _changed(last: _Last, inputs: PlanInputs, looks: Looks) -> dict[str, SourceStat] | None:
    """The files of another content, as they are now; None where something else differs too."""
    changed: dict[str, SourceStat] = {}
    differing = [*_of_project(last.inputs.project.files, inputs.project.files)]
    for (_, old), (_, new) in zip(last.looks, looks):
        if new is old:
            continue
        if new.names != old.names or new.errors != old.errors:
            return None
        if new.undecodable != old.undecodable or new.entries.keys() != old.entries.keys():
            return None
        before_it = old.entries
        differing += [
            (path, before_it[path], stat)
            for path, stat in new.entries.items()
            if before_it[path] is not stat and before_it[path] != stat
        ]
    for path, before, now in differing:
        if before is None or now is None or not _is_other_content(before, now):
            return None
        if path not in changed or not changed[path].sha256:  # of a listing, without its content
            changed[path] = now
        if len(changed) > _FEW:
            return None
    return changed


def _of_project(
    before: Mapping[str, ProjectFile], now: Mapping[str, ProjectFile]
) -> Iterator[tuple[str, SourceStat | None, SourceStat | None]]:
    for path, file in now.items():
        if file != before[path]:
            yield path, stat_of(before[path]), stat_of(file)


def _is_other_content(before: SourceStat, now: SourceStat) -> bool:
    """Do two files differ in nothing but their bytes, as far as a plan asks without facts?"""
    return (
        now.kind == FILE
        and before._replace(size=now.size, sha256=now.sha256) == now
        and not now.holes
        and bool(before.sha256) == bool(now.sha256)
        and (before.size < MIN_ELF_BYTES) == (now.size < MIN_ELF_BYTES)
    )


def _exchanged(
    plan: PlannedImage,
    wanted: Mapping[str, SourceStat],
    digests: Mapping[str, FileDigest],
    facts: Mapping[str, Outcome],
) -> PlannedImage:
    sha256 = {**plan.sha256, **{path: stat.sha256 for path, stat in wanted.items()}}
    entries, project = plan.entries, plan.project
    # What is as it was stays the same object, which is compared in no time.
    if any(stat.size != plan.stats[path].size for path, stat in wanted.items()):
        entries = tuple(
            entry._replace(size=wanted[entry.source].size)
            if entry.source in wanted and entry.kind == FILE
            else entry
            for entry in entries
        )
    if any(path[:1] != "/" for path in wanted):
        stored = {**project, **digests}
        project = {one: stored[one] for path, one in sha256.items() if path[:1] != "/"}
    return replace(
        plan,
        entries=entries,
        sha256=sha256,
        project=project,
        stats={**plan.stats, **wanted},
        facts={one: facts[one] for one in sha256.values() if one in facts},
    )
