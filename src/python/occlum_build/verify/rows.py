"""The table of a verification: one row a claim, with what is stated and what was recomputed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from occlum_build.errors import OcclumError, Problem
from occlum_build.shown import in_utf8

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "unknown"
STATUSES = (AGREES, DIFFERS, UNKNOWN)
SCHEMA = 1
MOST_OF_ONE = 20  # rows of a comparison that may have one for each entry of a tree
MISSING = "(missing)"


@dataclass(frozen=True)
class Row:
    """One claim: what it is about (a path in the instance, or what an image says), and which.

    `stated` is what was given, `recomputed` what ought to be there; either may be "".
    """

    about: str
    what: str
    status: str
    stated: str = ""
    recomputed: str = ""
    note: str = ""

    def to_json(self) -> dict[str, str]:
        """All fields; bytes of names that are not UTF-8 as escapes."""
        return {name: in_utf8(value) for name, value in asdict(self).items()}


@dataclass
class Table:
    """Rows in the order in which they were found."""

    rows: list[Row] = field(default_factory=list)

    def compare(
        self, about: str, what: str, stated: object, recomputed: object, note: str = ""
    ) -> bool:
        """A row that agrees or differs, and whether it agrees; the note is of a difference."""
        agrees = type(stated) is type(recomputed) and stated == recomputed
        status = AGREES if agrees else DIFFERS
        texts = str(stated), str(recomputed)
        self.rows.append(Row(about, what, status, *texts, "" if agrees else note))
        return agrees

    def agrees(self, about: str, what: str, value: str = "", note: str = "") -> None:
        self.rows.append(Row(about, what, AGREES, value, value, note))

    def differs(
        self, about: str, what: str, note: str, *, stated: str = "", recomputed: str = ""
    ) -> None:
        self.rows.append(Row(about, what, DIFFERS, stated, recomputed, note))

    def unknown(self, about: str, what: str, note: str, *, stated: str = "") -> None:
        self.rows.append(Row(about, what, UNKNOWN, stated, "", note))

    def problems(self, about: str, what: str, found: Iterable[Problem]) -> None:
        """A row that differs for each of the first problems, and one for all others."""
        rows = [Row(about, what, DIFFERS, note=_text(one)) for one in found]
        self.some(rows)

    def failed(self, about: str, what: str, error: OcclumError) -> None:
        """What could not be read or recomputed does not verify."""
        self.problems(about, what, error.problems)

    def some(self, rows: Sequence[Row]) -> None:
        """The first rows of many, and how many more differ."""
        self.rows += rows[:MOST_OF_ONE]
        left = [row for row in rows[MOST_OF_ONE:] if row.status == DIFFERS]
        if left:
            self.rows.append(replace(left[0], stated="", recomputed="", note=f"{len(left):,} more"))

    def counts(self) -> dict[str, int]:
        """How many rows have each status."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in STATUSES}


@dataclass(frozen=True)
class Verified:
    """What was verified (`kind`: "instance", "archive", "bundle" or "oci"), and the rows."""

    kind: str
    version: str
    sgx_mode: str
    mrenclave: str
    rows: tuple[Row, ...]

    @property
    def agrees(self) -> bool:
        """Does nothing differ? What cannot be known does not count."""
        return all(row.status != DIFFERS for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """As verify/verified.schema.json has it."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "version": self.version,
            "sgx_mode": self.sgx_mode,
            "mrenclave": self.mrenclave,
            "result": AGREES if self.agrees else DIFFERS,
            "counts": Table(list(self.rows)).counts(),
            "rows": [row.to_json() for row in self.rows],
        }


def _text(problem: Problem) -> str:
    """A problem in a row: its place is what the row is about, but for the name of its file."""
    name = problem.place.file.rpartition("/")[2] if problem.place else ""
    return f"{name}: {problem.message}" if name else problem.message
