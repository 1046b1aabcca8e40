"""Suites of archives, from their mirrors: signed Release files, and the indexes that they name."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.files.bounds import ARCHIVE_INDEX_BYTES, shown_bytes
from occlum_build.files.reading import read_file
from occlum_build.packages.config import ArchiveConfig
from occlum_build.packages.fetching import fetch_all
from occlum_build.packages.linked import use
from occlum_build.packages.lock import LockedSuite, PackagesLock
from occlum_build.packages.mirrors import Failure, Mirrors, Nowhere, gone
from occlum_build.packages.package_index import PackageIndex
from occlum_build.packages.release import (
    IndexFile,
    Release,
    check_release,
    date_text,
    parse_release,
)
from occlum_build.packages.signature import Keyring, Signed, verify_clear, verify_detached
from occlum_build.packages.universe import Suite
from occlum_build.packages.unpacked import unpacked
from occlum_build.packages.urls import Wanted


@dataclass(frozen=True)
class Fetching:
    """How files are fetched. cache: a directory; mirrors: by the name of their archive.

    now: what Valid-Until is compared with, in any time zone. locked: the lock that is replaced.
    """

    cache: Path
    mirrors: Mapping[str, Mirrors]
    now: datetime
    parallel: int
    locked: PackagesLock | None = None


class SignedSuite(NamedTuple):
    """A suite whose Release has been verified, by that and as a lock has it."""

    archive: ArchiveConfig
    name: str
    release: Release
    locked: LockedSuite

    @property
    def base(self) -> str:
        """Where its files are, below the archive."""
        return _base(self.name)


def _base(suite: str) -> str:
    """A suite that ends in "/" is a flat repository, in that directory."""
    if not suite.endswith("/"):
        return f"dists/{suite}/"
    return suite[2:] if suite.startswith("./") else suite.lstrip("/")


def signed_suite(archive: ArchiveConfig, name: str, fetching: Fetching) -> SignedSuite:
    """Fetch and verify one. Raises OcclumError `archive-signature` and `archive-index`."""
    keyring = Keyring(archive.keyring, archive.keyring_name)
    mirrors = fetching.mirrors[archive.name]
    what = f"{name} of {archive.name}"
    locked = fetching.locked.date_of(archive.name, name) if fetching.locked else ""

    def accept(signed: Signed, data: bytes) -> SignedSuite:
        release = parse_release(signed, what)
        check_release(release, name, archive, fetching.now, locked)
        digest = hashlib.sha256(data).hexdigest()
        pinned = LockedSuite(archive.name, name, date_text(release.date), digest, release.signers)
        return SignedSuite(archive, name, release, pinned)

    def accept_clear(data: bytes) -> SignedSuite:
        return accept(verify_clear(data, keyring, what), data)

    found: SignedSuite
    with contextlib.suppress(Nowhere):
        found = mirrors.text(Wanted(f"{_base(name)}InRelease"), accept_clear)
        return found
    # As archives were made before InRelease, and some still are.
    release = Wanted(f"{_base(name)}Release", what=f"InRelease or Release of {what}")
    signature = Wanted(f"{_base(name)}Release.gpg", what=f"Release.gpg of {what}")

    def accept_apart(data: bytes) -> SignedSuite:
        try:
            signed = mirrors.text(signature, lambda gpg: verify_detached(data, gpg, keyring, what))
        except Nowhere as nowhere:
            problem = gone(signature, nowhere.failures, code="archive-signature")
            raise OcclumError.of([problem]) from None
        return accept(signed, data)

    try:
        found = mirrors.text(release, accept_apart)
    except Nowhere as nowhere:
        hint = "compare 'suites' and 'mirrors' with what the archive says of itself"
        problem = gone(release, nowhere.failures, code="archive-index", hint=hint)
        raise OcclumError.of([problem]) from None
    return found


class _Index(NamedTuple):
    """An index of a suite in one form, and where it is in the cache."""

    suite: SignedSuite
    file: IndexFile
    cached: Path

    def wanted(self, *, by_hash: bool) -> Wanted:
        path = self.file.path
        if by_hash:  # while a mirror is being updated, the other name has another content
            path = f"{path.rpartition('/')[0]}/by-hash/SHA256/{self.file.sha256}".lstrip("/")
        what = f"{self.file.path} of {self.suite.release.what}"
        return Wanted(self.suite.base + path, self.file.sha256, self.file.size, what=what)


_Forms = tuple[_Index, ...]


def fetch_indexes(
    suites: Sequence[SignedSuite], architecture: str, fetching: Fetching
) -> list[Suite]:
    """What suites have, each index from the cache where that has it.

    Raises OcclumError `archive-index`, with all that is wrong.
    """
    report = Report()
    indexes: list[_Forms] = []
    for suite in suites:
        for component in ("",) if suite.name.endswith("/") else suite.archive.components:
            with report:
                for forms in suite.release.indexes(component, architecture):
                    indexes.append(tuple(_index(suite, one, fetching) for one in forms))
    report.raise_errors()
    found = _fetch(indexes, fetching)
    return [_suite(one, [index for index in found if index.suite is one]) for one in suites]


def _index(suite: SignedSuite, file: IndexFile, fetching: Fetching) -> _Index:
    if file.size > ARCHIVE_INDEX_BYTES:
        allowed = shown_bytes(ARCHIVE_INDEX_BYTES)
        message = f"{file.path} of {suite.release.what} has more than {allowed}"
        raise OcclumError("archive-index", message)
    return _Index(suite, file, fetching.cache / "indexes" / file.sha256)


def _fetch(indexes: Sequence[_Forms], fetching: Fetching) -> list[_Index]:
    """Bring one form of each index into the cache, the smallest that some mirror has."""
    found: dict[int, _Index] = {}
    problems: dict[int, Problem] = {}
    for form in range(max(map(len, indexes), default=0)):
        left = {
            n: forms[form]
            for n, forms in enumerate(indexes)
            if n not in found and form < len(forms)
        }
        failures = _by_hash_or_name(left, fetching)
        found.update((n, one) for n, one in left.items() if not failures[n])
        for n, one in left.items():
            if failures[n]:
                problems.setdefault(n, _index_problem(one.wanted(by_hash=False), failures[n]))
    missing = [problem for n, problem in sorted(problems.items()) if n not in found]
    if missing:
        raise OcclumError.of(missing)
    return [found[n] for n in range(len(indexes))]


def _by_hash_or_name(indexes: Mapping[int, _Index], fetching: Fetching) -> dict[int, list[Failure]]:
    """Why each is nowhere to be had; nothing where it is in the cache now."""
    hashed = {n: one for n, one in indexes.items() if one.suite.release.by_hash}
    failures = _all(hashed, fetching, by_hash=True)
    named = {n: one for n, one in indexes.items() if failures.get(n, True)}
    return {**failures, **_all(named, fetching, by_hash=False)}


def _all(
    indexes: Mapping[int, _Index], fetching: Fetching, *, by_hash: bool
) -> dict[int, list[Failure]]:
    for one in indexes.values():
        use(str(one.cached))
    failures = fetch_all(
        [
            (fetching.mirrors[one.suite.archive.name], one.wanted(by_hash=by_hash), one.cached)
            for one in indexes.values()
        ],
        fetching.parallel,
    )
    return dict(zip(indexes, failures))


def _index_problem(file: Wanted, failures: Sequence[Failure]) -> Problem:
    if any(one.is_other for one in failures):
        message = f"{file.what} is not what InRelease says: the mirror is being updated or damaged"
        return Problem("archive-index", message, hint="try it again later, or another mirror")
    return gone(file, failures, code="archive-index")


def _suite(suite: SignedSuite, indexes: Sequence[_Index]) -> Suite:
    archive = suite.archive
    return Suite(
        archive.name,
        suite.name,
        tuple(_package_index(one) for one in indexes),
        archive.only,
        suite.release.automatic,
    )


def _package_index(index: _Index) -> PackageIndex:
    """Parse what is in the cache, which somebody may have changed since."""
    data = read_file(index.cached, ARCHIVE_INDEX_BYTES, code="archive-index")
    if hashlib.sha256(data).hexdigest() != index.file.sha256:
        raise OcclumError("archive-index", f"{index.cached} was changed while it was read")
    name = f"{index.suite.release.what}: {index.file.path}"
    return PackageIndex(unpacked(data, index.file.path, ARCHIVE_INDEX_BYTES), name)
