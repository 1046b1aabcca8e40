"""Compares a JSON value with the shape that its reader relies on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from occlum_build.errors import OcclumError, Place

_NAMES = {
    dict: "an object", list: "a list", str: "a string", int: "a whole number",
    bool: "true or false", float: "a number", type(None): "null",
}  # fmt: skip


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


def check_shape(value: Any, shape: Shape, name: str, *, code: str) -> None:
    """Raises OcclumError `code` at the file `name`, which says where in it another shape stands."""
    _check(value, shape, "", name, code)


def _check(value: Any, shape: Shape, where: str, name: str, code: str) -> None:
    if isinstance(shape, AnyOf):
        shape = _chosen(value, shape)
    kind = _type_of(shape)
    if kind is object:
        return
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        _refuse(value, kind, where, name, code)
    if isinstance(shape, ListOf):
        for index, item in enumerate(value):
            _check(item, shape.item, f"{where}[{index}]", name, code)
    elif isinstance(shape, MapOf):
        for key, item in value.items():
            _check(item, shape.value, f"{where}.{key}", name, code)
    elif isinstance(shape, Mapping):
        for key, below in shape.items():
            plain = key.rstrip("?")
            if plain in value:
                _check(value[plain], below, f"{where}.{plain}", name, code)
            elif plain == key:
                raise OcclumError(code, f"{_at(where)} has no {key!r}", place=Place(name))


def _chosen(value: Any, shapes: AnyOf) -> Shape:
    """The shape that the value is to have: the one of its type, otherwise the first."""
    for shape in shapes.shapes:
        kind = _type_of(shape)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return shape
    return shapes.shapes[0]


def _type_of(shape: Shape) -> Any:
    if isinstance(shape, ListOf):
        return list
    if isinstance(shape, (MapOf, Mapping)):
        return dict
    return type(None) if shape is None else shape


def _refuse(value: Any, kind: type, where: str, name: str, code: str) -> NoReturn:
    found = _NAMES.get(type(value), type(value).__name__)
    raise OcclumError(code, f"{_at(where)} is {found}, not {_NAMES[kind]}", place=Place(name))


def _at(where: str) -> str:
    return where.lstrip(".") or "the document"
