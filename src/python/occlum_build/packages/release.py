"""The Release file of a suite: what is signed there, and the digests of the suite's indexes.

Sources of the format: https://wiki.debian.org/DebianRepository/Format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.packages.config import ArchiveConfig
from occlum_build.packages.signature import Signed
from occlum_build.packages.stanzas import one_line, stanzas_of
from occlum_build.shown import some

FIELDS = (
    "Suite", "Codename", "Date", "Valid-Until", "Acquire-By-Hash", "Architectures", "Components",
    "NotAutomatic", "No-Support-for-Architecture-all", "SHA256",
)  # fmt: skip
COMPRESSIONS = (".xz", ".gz", "")  # the smallest first
_ROW = re.compile(r"\s*([0-9a-f]{64})\s+([0-9]{1,15})\s+(\S+)\s*")
_DATE = "%Y-%m-%dT%H:%M:%SZ"


class IndexFile(NamedTuple):
    """A file of a suite: its path below that, SHA-256 and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Release:
    """What a suite says of itself. what: its name in errors; signers: fingerprints of keys."""

    what: str
    names: tuple[str, ...]
    date: datetime
    valid_until: datetime | None
    by_hash: bool
    automatic: bool
    architectures: tuple[str, ...]
    components: tuple[str, ...]
    all_apart: bool
    files: Mapping[str, IndexFile]
    signers: tuple[str, ...]

    def forms(self, directory: str) -> tuple[IndexFile, ...]:
        """The Packages file in a directory of the suite, in each of its forms, smallest first.

        A mirror need not have all of them: that of Debian has none that is plain.
        """
        names = (f"{directory}Packages{suffix}" for suffix in COMPRESSIONS)
        return tuple(self.files[name] for name in names if name in self.files)

    def indexes(self, component: str, architecture: str) -> tuple[tuple[IndexFile, ...], ...]:
        """The indexes of a component, "" for a flat repository, each with its forms.

        Raises OcclumError `archive-index` where there is none. What `Components` says is no path:
        Debian's security has `updates/main` there, and its files below `main`.
        """
        directories = [f"{component}/binary-{architecture}/" if component else ""]
        if component and self.all_apart:
            directories.append(f"{component}/binary-all/")
        found = tuple(forms for path in directories if (forms := self.forms(path)))
        if found:
            return found
        which = f"component {component} for {architecture}" if component else "Packages file"
        there = f"it has {some(self.components, 10)}" if component and self.components else ""
        raise OcclumError("archive-index", f"{self.what} has no {which}", hint=there)


def parse_release(signed: Signed, what: str) -> Release:
    """Read what is signed; raises OcclumError `archive-index` for what is no Release file."""
    stanza = next(stanzas_of(signed.content, FIELDS), {})
    one = {key: one_line(value) for key, value in stanza.items() if key != "SHA256"}
    if not stanza.get("SHA256"):
        message = f"{what} has no SHA256 of its indexes; MD5 and SHA-1 are too weak"
        raise OcclumError("archive-index", message)
    date = _date(one.get("Date", ""), "Date", what)
    if date is None:
        raise OcclumError("archive-index", f"{what} has no Date")
    return Release(
        what=what,
        names=tuple(one[key] for key in ("Suite", "Codename") if one.get(key)),
        date=date,
        valid_until=_date(one.get("Valid-Until", ""), "Valid-Until", what),
        by_hash=_is_yes(one, "Acquire-By-Hash"),
        automatic=not _is_yes(one, "NotAutomatic"),
        architectures=tuple(one.get("Architectures", "").split()),
        components=tuple(one.get("Components", "").split()),
        all_apart="all" in one.get("Architectures", "").split()
        and "Packages" not in one.get("No-Support-for-Architecture-all", "").split(),
        files=_files(stanza["SHA256"], what),
        signers=signed.signers,
    )


def _is_yes(stanza: Mapping[str, str], field: str) -> bool:
    return stanza.get(field, "").lower() == "yes"


def _files(table: str, what: str) -> dict[str, IndexFile]:
    found = {}
    for line in filter(None, map(str.strip, table.split("\n"))):
        match = _ROW.fullmatch(line)
        if match is None:
            message = f"{what} has a line below SHA256 that is none: {line[:200]}"
            raise OcclumError("archive-index", message)
        path = match[3]
        if path.startswith("./"):
            path = path[2:]
        found[path] = IndexFile(path, match[1], int(match[2]))
    return found


def _date(text: str, field: str, what: str) -> datetime | None:
    """The moment of a text such as `Sat, 11 Jul 2026 10:16:37 UTC`; None for ""."""
    from email.utils import parsedate_to_datetime  # slow to import

    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (TypeError, ValueError, IndexError, OverflowError):
        raise OcclumError("archive-index", f"{what} has a {field} that is none: {text}") from None


def date_text(moment: datetime) -> str:
    """As lock files have it: `2026-07-11T10:16:37Z`."""
    return moment.astimezone(timezone.utc).strftime(_DATE)


def snapshot_text(date: str) -> str:
    """The snapshot that still has all of a Release of that date: a day later.

    `20260712T101637Z`; "" where the text is no date.
    """
    try:
        moment = datetime.strptime(date, _DATE) + timedelta(days=1)
    except (ValueError, OverflowError):
        return ""
    return moment.strftime("%Y%m%dT%H%M%SZ")


def check_release(
    release: Release, suite: str, archive: ArchiveConfig, now: datetime, locked: str = ""
) -> None:
    """Refuse another suite, one that has expired, and one older than a lock's (`locked`, a date).

    Raises OcclumError `archive-signature`.
    """
    wanted = suite.rstrip("/")
    # As the file of another suite is signed as well. `buster/updates` is buster's.
    names = {wanted, wanted.partition("/")[0]}
    if not suite.endswith("/") and release.names and names.isdisjoint(release.names):
        message = f"{release.what} says that it is {some(release.names)}"
        hint = "the mirror answers with another suite, or the name in 'suites' is another"
        raise OcclumError("archive-signature", message, hint=hint)
    if archive.allow_expired:
        return
    hint = "the mirror is not updated any more; for a snapshot set allow_expired"
    if release.valid_until is not None and release.valid_until < now:
        message = f"{release.what} expired on {release.valid_until:%Y-%m-%d}"
        raise OcclumError("archive-signature", message, hint=hint)
    if locked and date_text(release.date) < locked:
        message = f"{release.what} is of {release.date:%Y-%m-%d}, older than the lock's"
        message += f" ({locked.partition('T')[0]})"
        raise OcclumError("archive-signature", message, hint=hint)
