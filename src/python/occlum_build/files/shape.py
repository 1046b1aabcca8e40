"""Compares a JSON value with the shape that its reader relies on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from occlum_build.errors import OcclumError, Place

_NAMES = {
    dict: "an object", list: "a list", str: "a string", int: "a whole number",
    bool: "true or false", float: "a number", type(None): "null",
}  # fmt: skip
_MOST_OF_A_KEY = 80


@dataclass(frozen=True)
class ListOf:
    """A list whose items all have this shape."""

    item: Any


@dataclass(frozen=True)
class MapOf:
    """An object whose values all have this shape, whatever its keys are."""

    value: Any


@dataclass(frozen=True)
class AnyOf:
    """One of these types or shapes; the first of a kind of container is the one that counts."""

    shapes: tuple[Any, ...]


# A type or None; ListOf, MapOf or AnyOf; or a dict of names to shapes: an object that has these
# keys and maybe others, where a name that ends with "?" may be missing. `object` takes everything.
Shape = Any
_Check = Callable[[Any], None]


def check_shape(value: Any, shape: Shape, name: str, *, code: str) -> None:
    """Raises OcclumError `code` at the file `name`, which says where in it another shape stands."""
    try:
        _check_of(shape)(value)
    except _Other as other:
        where = "".join(reversed(other.where)).lstrip(".") or "the document"
        raise OcclumError(code, f"{where} {other.message}", place=Place(name)) from None


class _Other(Exception):
    """Another shape; where it is comes together on the way up: what is right costs little."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.where: list[str] = []

    def below(self, where: str) -> _Other:
        self.where.append(where)
        return self


def _check_of(shape: Shape) -> _Check:
    """A function that raises _Other for what has another shape."""
    if shape is object:
        return lambda value: None
    if isinstance(shape, AnyOf):
        return _check_of_any(shape)
    if isinstance(shape, ListOf):
        return _check_of_list(_check_of(shape.item))
    if isinstance(shape, MapOf):
        return _check_of_map(_check_of(shape.value))
    if isinstance(shape, Mapping):
        return _check_of_object(shape)
    kind = _type_of(shape)

    def check(value: Any) -> None:
        if type(value) is not kind:
            _refuse(value, kind)

    return check


def _check_of_any(shape: AnyOf) -> _Check:
    by_type = {_type_of(one): _check_of(one) for one in reversed(shape.shapes)}
    first = _check_of(shape.shapes[0])

    def check(value: Any) -> None:
        by_type.get(type(value), first)(value)

    return check


def _check_of_list(item: _Check) -> _Check:
    def check(value: Any) -> None:
        if type(value) is not list:
            _refuse(value, list)
        for index, one in enumerate(value):
            try:
                item(one)
            except _Other as other:
                raise other.below(f"[{index}]") from None

    return check


def _check_of_map(below: _Check) -> _Check:
    def check(value: Any) -> None:
        if type(value) is not dict:
            _refuse(value, dict)
        for key, one in value.items():
            try:
                below(one)
            except _Other as other:
                raise other.below(f".{key[:_MOST_OF_A_KEY]}") from None

    return check


def _check_of_object(shape: Mapping[str, Shape]) -> _Check:
    checks = [(key.rstrip("?"), key[-1:] == "?", _check_of(one)) for key, one in shape.items()]

    def check(value: Any) -> None:
        if type(value) is not dict:
            _refuse(value, dict)
        for key, is_optional, below in checks:
            if key in value:
                try:
                    below(value[key])
                except _Other as other:
                    raise other.below(f".{key}") from None
            elif not is_optional:
                raise _Other(f"has no {key!r}")

    return check


def _type_of(shape: Shape) -> Any:
    if isinstance(shape, ListOf):
        return list
    if isinstance(shape, (MapOf, Mapping)):
        return dict
    return type(None) if shape is None else shape


def _refuse(value: Any, kind: type) -> None:
    found = _NAMES.get(type(value), type(value).__name__)
    raise _Other(f"is {found}, not {_NAMES[kind]}")
