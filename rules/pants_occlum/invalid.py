"""Pants' errors of targets and fields, whose texts hold addresses and values of others."""

from __future__ import annotations

from pants.engine.target import InvalidFieldException, InvalidTargetException

from occlum_build.shown import escaped, shorter, with_bytes


def invalid_target(message: str) -> InvalidTargetException:
    """The error of a target; nothing in its message can move a cursor."""
    return InvalidTargetException(_told(message))


def invalid_field(message: str) -> InvalidFieldException:
    """The error of a field; nothing in its message can move a cursor."""
    return InvalidFieldException(_told(message))


def _told(message: str) -> str:
    return escaped(shorter(with_bytes(message)))
