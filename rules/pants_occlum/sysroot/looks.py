"""Looks at the files of a host, each with what the one before it may spare it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pants.engine.internals.session import RunId

from pants_occlum.sysroot.glance import glance_again
from pants_occlum.sysroot.hash_memo import HashMemo
from pants_occlum.sysroot.listing import host_path
from pants_occlum.sysroot.own_keys import OwnKeys
from pants_occlum.sysroot.walk import Found, KnownDirectory, SysrootWalk


@dataclass(frozen=True)
class SysrootRequest:
    """What to look at below `root`: absolute paths in normal form, seen as if `root` were `/`.

    stat_paths: the entry, each component on the way and what its links lead to. hash_paths: that,
    and the content of what it leads to. directories: that of stat_paths, and the entries in them.
    trees: directories with all below them and its content; links in a tree are recorded and not
    followed.
    """

    root: str
    stat_paths: tuple[str, ...] = ()
    hash_paths: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()


@dataclass(frozen=True)
class SysrootSnapshot(Found):
    """The entries found, and the sorted names in each directory that was listed.

    Each asked path has an entry, None where there is nothing. Undecodable names are told, as a
    digest cannot hold them. The mappings are plain ones: they are compared, and never hashed.
    """


class Scheduler:
    """One object for each scheduler of this process: pantsd makes a new one when options change."""


class Run(NamedTuple):
    """A run of Pants; run ids alone are the same in different schedulers."""

    scheduler: Scheduler
    run_id: RunId


@dataclass
class _Looks:
    """The last look of one request: the run it was made in, what it found, and the directories
    that the next one may take as they are. `lock` is held while somebody looks.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    run: Run | None = None
    keys: OwnKeys | None = None
    snapshot: SysrootSnapshot | None = None
    directories: Mapping[str, KnownDirectory] = field(default_factory=dict)
    tops: tuple[str, ...] = ()
    glance: bytes = b""


_MOST_LOOKS = 64
_MOST_AGAIN = 100
_looks: OrderedDict[SysrootRequest, _Looks] = OrderedDict()
_looks_lock = threading.Lock()


def look(request: SysrootRequest, run: Run, memo: HashMemo, keys: OwnKeys) -> SysrootSnapshot:
    """Look, with what the last look of the same request may spare this one.

    The engine may drop this rule and start it again within a run: one look serves both. The result
    is the very same object where nothing has changed, so that comparing it is no work.
    """
    with _looks_lock:
        last = _looks.pop(request, None) or _Looks()
        _looks[request] = last
        if len(_looks) > _MOST_LOOKS:
            _looks.popitem(last=False)
    with last.lock:
        if last.snapshot is not None and last.run == run:
            return last.snapshot
        started_ns = time.time_ns()
        known = last.directories if last.keys == keys else {}
        files = sum(len(one.names) for one in known.values())
        tops = [host_path(request.root, top) for top in last.tops]
        glance, changed = glance_again(tops, files, last.glance)
        walk = SysrootWalk(request.root, started_ns, known, keys.files)
        same = last.snapshot if changed == () else None
        if same is not None and _is_all_in(same, request, walk, memo, last.tops):
            last.run, last.directories = run, walk.directories(is_part=True)
            return same
        walk = SysrootWalk(request.root, started_ns, known, keys.files, last.tops, changed)
        now = found(walk, request, memo)
        snapshot = SysrootSnapshot(now.entries, now.names, now.errors, now.undecodable)
        if last.snapshot is None or last.snapshot != snapshot:
            last.snapshot = snapshot
        last.run, last.keys, last.directories = run, keys, walk.directories()
        last.glance, last.tops = glance if last.tops == tuple(walk.tops) else b"", tuple(walk.tops)
        return last.snapshot


def _is_all_in(
    snapshot: SysrootSnapshot,
    request: SysrootRequest,
    walk: SysrootWalk,
    memo: HashMemo,
    tops: Iterable[str],
) -> bool:
    """Is all as an earlier look found it, when a glance shows that no tree differs?

    What is not below the tops is looked at in any case, and so are directories that had just been
    changed then.
    """
    unsettled = snapshot.names.keys() - walk.known.keys()
    again = [path for path in unsettled if any(_is_below(path, top) for top in tops)]
    if len(again) > _MOST_AGAIN:
        return False
    beside = replace(request, stat_paths=(*request.stat_paths, *request.trees), trees=())
    return snapshot.has(found(walk, beside, memo, sorted(again)))


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def found(
    walk: SysrootWalk, request: SysrootRequest, memo: HashMemo, again: Iterable[str] = ()
) -> Found:
    """What a walk finds of what is asked, and in the directories `again`, which are listed anew."""
    for path in sorted(request.stat_paths):
        walk.probe(path)
    reached = {walk.probe(path) for path in request.hash_paths}
    for path in sorted(request.trees):
        walk.walk(path)
    for path in again:
        walk.list_real(path)
    in_trees = walk.listed()
    for path in sorted(request.directories):
        walk.list_dir(path)
    walk.hash([*(path for path in reached if path is not None), *in_trees], memo)
    return walk.found()


def forget_looks() -> None:
    """Let the next looks take no directory as it was."""
    with _looks_lock:
        for last in _looks.values():
            last.directories = {}
