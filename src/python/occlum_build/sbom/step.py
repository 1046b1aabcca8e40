"""Makes the bill of an image, as a process: `... sbom.step INPUT.json CONTENTS DEBS BILL.json`.

CONTENTS has those files of the image that `describe.is_read` names, by their SHA-256. DEBS has a
directory of each package, with its `control` and `copyright` as far as they are known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from occlum_build.files.bounds import MIB
from occlum_build.files.reading import read_file
from occlum_build.image.manifest import canonical_json
from occlum_build.process.step import run_step
from occlum_build.sbom.debian import Control, Copyright, controls_of, copyright_of
from occlum_build.sbom.describe import Deb, Known, describe
from occlum_build.sbom.model import bill_json
from occlum_build.sbom.rows import ImageRows, Row

CONTROL, COPYRIGHT = "control", "copyright"
_TEXT_BYTES = 4 * MIB


def input_json(name: str, image: ImageRows, debs: Mapping[str, Deb]) -> bytes:
    """What a bill is made of besides contents; `debs` has what is known of each package by now.

    Without what no bill has: where the build took a file from, and why it is in the image.
    """
    value = {
        "name": name,
        "digest": image.digest,
        "rows": [row[:5] for row in image.rows],
        "edges": image.edges,
        "debs": debs,
    }
    return canonical_json(value)


def _step(given: str, contents: str, debs: str, out: str) -> None:
    with open(given, encoding="utf-8") as file:
        value = json.load(file)
    image = ImageRows(value["digest"], tuple(Row(*row) for row in value["rows"]))
    known = Known(
        _content_in(Path(contents)),
        {name: _deb(Path(debs, name), *known) for name, known in value["debs"].items()},
        tuple((needer, needed) for needer, needed in value["edges"]),
    )
    Path(out).write_bytes(bill_json(describe(value["name"], image, known)))


def _content_in(directory: Path) -> Callable[[Row], str | None]:
    def content(row: Row) -> str | None:
        path = directory / row.sha256
        return str(path) if path.exists() else None

    return content


def _deb(directory: Path, control: list[str] | None, copyright: list[Any], sha256: str) -> Deb:
    """What was known of a package, and what its files tell besides."""
    known = Control(*control) if control is not None else None
    controls = controls_of(_text(directory / CONTROL))
    text = _text(directory / COPYRIGHT)
    licenses, texts = copyright
    told = Copyright(tuple(licenses), tuple((name, one) for name, one in texts))
    return Deb(controls[0] if controls else known, copyright_of(text) if text else told, sha256)


def _text(path: Path) -> bytes:
    return read_file(path, _TEXT_BYTES) if path.exists() else b""


if __name__ == "__main__":
    usage = "occlum_build.sbom.step INPUT.json CONTENTS DEBS BILL.json"
    sys.exit(run_step(_step, sys.argv[1:], usage))
