"""Problems of the library as errors of Pants, which name the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pants.engine.addresses import Address
from pants.util.strutil import pluralize

from occlum_build.errors import OcclumError, Problem, first_told
from occlum_build.shown import Lines, escaped


class InvalidImage(Exception):
    """An image cannot be built as its BOMs say."""


class InvalidOption(Exception):
    """An option of this backend has a value that means nothing."""


class InvalidEnclave(Exception):
    """An enclave cannot be built as its target says."""


class InvalidPackages(Exception):
    """A root of packages cannot be locked as its target says."""


class InvalidContainer(Exception):
    """A bundle or an OCI image cannot be built, or published, as its target says."""


def invalid_image(address: Address | str, problems: Sequence[Problem]) -> InvalidImage:
    return InvalidImage(_text(address, problems))


@contextmanager
def told_of(what: str) -> Iterator[None]:
    """Problems of what a field or an option names have it, before the text or in the hint."""
    try:
        yield
    except OcclumError as error:
        raise OcclumError.of([_of(what, one) for one in error.problems], error.told) from None


def _of(what: str, problem: Problem) -> Problem:
    if problem.place is not None:
        return replace(problem, hint="; ".join(filter(None, [problem.hint, f"{what} names it"])))
    first, *others = getattr(problem.message, "lines", [problem.message])
    return replace(problem, message=Lines(f"{what}: {first}", *others))


@contextmanager
def image_errors(address: Address) -> Iterator[None]:
    """Turns an error of the library into one of Pants that names the image."""
    try:
        yield
    except OcclumError as error:
        raise invalid_image(address, error.problems) from None


@contextmanager
def enclave_errors(address: Address) -> Iterator[None]:
    """Turns an error of the library into one of Pants that names the enclave."""
    try:
        yield
    except OcclumError as error:
        raise InvalidEnclave(_text(address, error.problems)) from None


@contextmanager
def container_errors(address: Address, verb: str = "built") -> Iterator[None]:
    """Turns an error of the library into one of Pants that names the bundle or OCI image."""
    try:
        yield
    except OcclumError as error:
        raise InvalidContainer(_text(address, error.problems, verb)) from None


@contextmanager
def packages_errors(address: Address) -> Iterator[None]:
    """Turns an error of the library into one of Pants that names the root of packages."""
    try:
        yield
    except OcclumError as error:
        raise InvalidPackages(_text(address, error.problems, "locked")) from None


def _text(address: Address | str, problems: Sequence[Problem], verb: str = "built") -> str:
    count = pluralize(len(dict.fromkeys(map(str, problems))), "error")
    unique = list(dict.fromkeys(map(str, first_told(problems))))
    return f"{escaped(str(address))} cannot be {verb}, {count}:\n\n" + "\n\n".join(unique)
