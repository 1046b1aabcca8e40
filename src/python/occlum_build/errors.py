"""The one error base class: every mistake of a user has a code, a place and a hint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any

from occlum_build.shown import Lines, shorter, shorter_name, shown

# How grave a problem is. What is certain to fail is an error; a warning depends on what is run; a
# note tells of something that is right as it is, but may be looked for.
ERROR, WARNING, NOTE = "error", "warning", "note"
MOST_TOLD = 1_000  # problems of one kind, of which a file of others may give any number


@dataclass(frozen=True, order=True)
class Place:
    """Where in a text file something stands; line and column count from 1, 0 = unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return self._with_position(self.file)

    def shown(self) -> str:
        """As a message has it: a very long path without its middle."""
        return shown(self._with_position(shorter_name(self.file)))

    def _with_position(self, file: str) -> str:
        if not self.line:
            return file
        if not self.column:
            return f"{file}:{self.line}"
        return f"{file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a short stable code, the message, where, and what to do.

    Names and values of others may be in all of them as they are: `str` escapes what cannot be
    printed, line breaks too. A message or hint of several lines is one of shown.Lines.

    `missing` holds the source paths that were looked for in vain, if that is what is wrong;
    `severity` is ERROR, WARNING or NOTE.
    """

    code: str
    message: str
    place: Place | None = None
    hint: str = ""
    missing: tuple[str, ...] = ()
    severity: str = ERROR

    def __str__(self) -> str:
        place = f"{self.place.shown()}: " if self.place else ""
        hint = f"\n  hint: {shown(shorter(self.hint))}" if self.hint else ""
        return f"{place}{shown(shorter(self.message))}{hint}"

    def to_json(self) -> dict[str, Any]:
        """A plain dict with every field; a text of several lines is a list of them."""
        texts = {name: _plain(getattr(self, name)) for name in ("message", "hint")}
        return {**asdict(replace(self, message="", hint="")), **texts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Problem:
        """The inverse of `to_json`."""
        place = Place(**value["place"]) if value["place"] else None
        texts = {name: _text(value[name]) for name in ("message", "hint")}
        return cls(**{**value, **texts, "place": place, "missing": tuple(value["missing"])})


def _plain(text: str) -> str | list[str]:
    return text.lines if isinstance(text, Lines) else text


def _text(plain: str | list[str]) -> str:
    return Lines(*plain) if isinstance(plain, list) else plain


def first_told(problems: Iterable[Problem]) -> list[Problem]:
    """The problems that are told: each once, MOST_TOLD of each severity, and how many are not."""
    told: dict[str, list[Problem]] = {}
    unique = list(dict.fromkeys(problems))
    if len(unique) <= MOST_TOLD:
        return unique
    first: list[Problem] = []
    for one in unique:
        of_kind = told.setdefault(one.severity, [])
        of_kind.append(one)
        if len(of_kind) <= MOST_TOLD:
            first.append(one)
    for severity, of_kind in told.items():
        more = len(of_kind) - MOST_TOLD
        if more > 0:
            text = f"and {more:,} more, of which no more than {MOST_TOLD:,} are told"
            first.append(Problem(of_kind[0].code, text, severity=severity))
    return first


class OcclumError(Exception):
    """Raised by the library for every mistake in the input; holds at least one problem.

    `told` are warnings and notes to be told beside them.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Place | None = None,
        hint: str = "",
        missing: tuple[str, ...] = (),
    ) -> None:
        self.problems: tuple[Problem, ...] = (Problem(code, message, place, hint, missing),)
        self.told: tuple[Problem, ...] = ()
        super().__init__(str(self.problems[0]))

    @classmethod
    def of(cls, problems: Sequence[Problem], told: Sequence[Problem] = ()) -> OcclumError:
        """One error of several problems, all of them reported."""
        if not problems:
            raise ValueError("an error needs at least one problem")
        error = cls(problems[0].code, problems[0].message)
        error.problems, error.told = tuple(problems), tuple(told)
        error.args = ("\n".join(str(problem) for problem in problems[:MOST_TOLD]),)
        return error

    @property
    def code(self) -> str:
        return self.problems[0].code


class TooMuch(OcclumError):
    """More than a bound allows: what would follow it is of no use, and so nothing does."""


@dataclass
class Report:
    """Collects the problems of a run, so that all are told and not only the first.

    `warnings` holds warnings and notes.
    """

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(
        self,
        code: str,
        message: str,
        place: Place | None = None,
        hint: str = "",
        missing: tuple[str, ...] = (),
    ) -> None:
        self.errors.append(Problem(code, message, place, hint, missing))

    def warn(self, code: str, message: str, place: Place | None = None, hint: str = "") -> None:
        self.warnings.append(Problem(code, message, place, hint, severity=WARNING))

    def note(self, code: str, message: str, place: Place | None = None, hint: str = "") -> None:
        self.warnings.append(Problem(code, message, place, hint, severity=NOTE))

    def add(self, problem: Problem) -> None:
        """Take a problem as what its severity says."""
        (self.errors if problem.severity == ERROR else self.warnings).append(problem)

    def __enter__(self) -> Report:
        """Within `with report:` an OcclumError ends the block and becomes part of the report."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, OcclumError):
            return False
        self.errors.extend(error.problems)
        self.warnings.extend(error.told)
        return True

    def at(self, place: Place) -> ReportAt:
        """For `with report.at(place):`, where a problem that has no place gets this one."""
        return ReportAt(self, place)

    def raise_errors(self) -> None:
        """Raise all errors so far as one OcclumError with the warnings, if there are any errors."""
        if self.errors:
            raise OcclumError.of(self.errors, self.warnings)


@dataclass(frozen=True)
class ReportAt:
    """A report of what goes wrong at one place; can be entered again and again.

    TooMuch goes on, to end more than what is done at the place.
    """

    report: Report
    place: Place

    def __enter__(self) -> Report:
        return self.report

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, OcclumError):
            return False
        problems = [
            problem if problem.place else replace(problem, place=self.place)
            for problem in error.problems
        ]
        if isinstance(error, TooMuch):
            error.problems = tuple(problems)
            return False
        self.report.errors.extend(problems)
        self.report.warnings.extend(error.told)
        return True
