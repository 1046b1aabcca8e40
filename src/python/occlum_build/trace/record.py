"""What traced runs have asked for, as a file that several runs add to.

Its JSON schema is trace/record.schema.json. It has paths of the image and programs alone: nothing
of the machine, no times and no arguments.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.change import Change
from occlum_build.files.json_text import load_json
from occlum_build.files.locks import locked
from occlum_build.files.reading import read_file
from occlum_build.files.shape import ListOf, check_shape
from occlum_build.shown import quoted
from occlum_build.trace.calls import KINDS
from occlum_build.trace.processes import Ask

CODE = "trace"
SCHEMA = 1
MOST_ASKS = 500_000  # different ones in a record; what comes later is left out, which is told
_ASK = {"path": str, "by": str, "kind": str, "found": bool}
_SHAPE = {"runs": int, "incomplete": bool, "asks": ListOf(_ASK)}


@dataclass
class Record:
    """`asks` are those of all `runs`; `is_incomplete`: there were more than are kept."""

    runs: int = 0
    is_incomplete: bool = False
    asks: set[Ask] = field(default_factory=set)

    def add(self, ask: Ask) -> None:
        """Keep what was asked for, if there is room; no image has names that are not UTF-8."""
        if ask in self.asks or not (_can_be_in_an_image(ask.path) and _can_be_in_an_image(ask.by)):
            return
        if len(self.asks) >= MOST_ASKS:
            self.is_incomplete = True
        else:
            self.asks.add(ask)

    def merge(self, other: Record) -> None:
        """Add the runs of another record."""
        self.runs += other.runs
        self.is_incomplete |= other.is_incomplete
        for ask in sorted(other.asks):
            self.add(ask)

    def to_json(self) -> dict[str, Any]:
        """As an object, sorted."""
        asks = [
            {"path": one.path, "by": one.by, "kind": one.kind, "found": one.is_found}
            for one in sorted(self.asks)
        ]
        return {
            "schema": SCHEMA,
            "runs": self.runs,
            "incomplete": self.is_incomplete,
            "asks": asks,
        }


def read_records(paths: Iterable[Path]) -> Record:
    """The records of some files as one. Raises OcclumError `trace`."""
    record = Record()
    for path in paths:
        record.merge(read_record(path))
    return record


def read_record(path: Path) -> Record:
    """A record that anybody may have written. Raises OcclumError `trace`."""
    name = str(path)
    value: dict[str, Any] = load_json(read_file(path, MANIFEST_BYTES, code=CODE), name, code=CODE)
    check_shape(value, {"schema": int}, name, code=CODE)
    if value["schema"] != SCHEMA:
        raise _error(name, f"its schema is {value['schema']}, not {SCHEMA}")
    check_shape(value, _SHAPE, name, code=CODE)
    record = Record(max(value["runs"], 0), value["incomplete"])
    for one in value["asks"]:
        if not (_is_absolute(one["path"]) and _is_absolute(one["by"])):
            raise _error(name, f"{quoted(one['path'])} or who asked for it is no absolute path")
        if "\0" in one["path"] or "\0" in one["by"]:
            raise _error(name, f"{quoted(one['path'])} has a character that no path has")
        if one["kind"] not in KINDS:
            raise _error(name, f"{quoted(one['kind'])} is no kind of asking for a path")
        record.add(Ask(one["path"], one["by"], one["kind"], one["found"]))
    return record


def check_place(path: Path) -> None:
    """Raise what `add_to_file` would; nothing is changed but that the directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        read_record(path)
    with Change() as change:
        change.write(path, b"")  # and no commit


def add_to_file(path: Path, record: Record) -> Record:
    """Add a record to that of a file, which is made where there is none; what it has then.

    Raises OcclumError, for a file that is no record, and OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        merged = Record()
        if os.path.lexists(path):
            merged.merge(read_record(path))
        merged.merge(record)
        with Change() as change:
            data = json.dumps(merged.to_json(), indent=0, sort_keys=True) + "\n"
            change.write(path, data.encode("ascii"))
            change.commit()
    return merged


def _is_absolute(path: str) -> bool:
    return path.startswith("/") and not path.startswith("//")


def _can_be_in_an_image(path: str) -> bool:
    with suppress(UnicodeEncodeError):
        return b"\0" not in path.encode()
    return False


def _error(name: str, message: str) -> OcclumError:
    return OcclumError(CODE, message, place=Place(name))
