"""What scripts for Occlum make, as far as it can be read of them: instances, and what is untold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Told(NamedTuple):
    """Something that was not translated: where, the text, why not, and what to do by hand."""

    file: str
    line: int
    text: str
    why: str
    todo: str


@dataclass(frozen=True)
class BomUse:
    """A BOM that goes into an image or initfs: its path, and the directories of its includes.

    `variables` are those of the script, as far as they are known.
    """

    path: str
    include_dirs: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Instance:
    """An instance that a script makes. Paths are relative to the root; "" is the root itself.

    `directory` is None where it cannot be told; `options` are fields of `occlum_enclave`.
    """

    script: str
    line: int
    depth: int
    directory: str | None
    config: dict[str, Any]
    boms: list[BomUse] = field(default_factory=list)
    initfs: list[BomUse] = field(default_factory=list)
    mkdirs: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    config_file: str = ""
    is_built: bool = False
    is_cleared: bool = False  # of what `occlum new` puts into the image


@dataclass(frozen=True)
class Script:
    """What a script makes, in its order, and what of it was not translated."""

    path: str
    instances: tuple[Instance, ...]
    told: tuple[Told, ...]
