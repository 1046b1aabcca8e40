"""What the examples of the rows of the table are made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Union

from occlum_build.elf.facts import ElfFacts

Content = Union[ElfFacts, bytes, str, None]
PROGRAM = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True, interpreter="/lib64/ld.so")
LIBRARY = replace(PROGRAM, interpreter=None)
SCRIPT = b"#!/bin/sh\n"


def linked(*needed: str) -> ElfFacts:
    """A program or library that needs these libraries."""
    return replace(PROGRAM, needed=needed)


@dataclass(frozen=True)
class Case:
    """An image of `shown` needs each of `needed`; with any of `instead` beside it, it is whole."""

    title: str
    shown: dict[str, Content]
    needed: dict[str, Content]
    instead: tuple[dict[str, Content], ...] = field(default=())


def empty(*paths: str) -> dict[str, Content]:
    return dict.fromkeys(paths, b"x")
