"""`report`: one page about an image, to be opened in a browser."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import print_problems
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.shown import in_utf8, quoted

if TYPE_CHECKING:
    from occlum_build.report.model import KnownImage
    from occlum_build.report.sides import Side

_HASH = re.compile("[0-9a-f]{64}")


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "report",
        help="write a page that shows an image, for a browser",
        description="Write one HTML file that shows an image: what makes it large, which file "
        "needs which, what was found wrong, the measurement, all entries with where they come "
        "from, and what changed. It needs no network and loads nothing.",
        epilog="IMAGE and OTHER: a manifest.json, a directory in dist/ that has one and maybe a "
        "measurement.json, an OCI layout, or git:REVISION:PATH of a file or directory of these.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("image", metavar="IMAGE")
    add("-o", "--output", metavar="FILE", type=Path, required=True)
    add("--against", metavar="OTHER", help="the earlier image, whose difference to it is shown")
    add("--name", default="image", help="what the image is called in it (default: image)")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Write the page; raises OcclumError before one byte changes."""
    from occlum_build.files.change import Change
    from occlum_build.report.diff import compare
    from occlum_build.report.model import without_graph
    from occlum_build.report.page.difference import difference_json
    from occlum_build.report.page.document import document
    from occlum_build.report.page.html import page, template
    from occlum_build.report.sides import read_side

    if not options.name.strip():
        raise OcclumError("usage", "--name is empty")
    side, report = read_side(options.image), Report()
    image = _image(options.image, side, report)
    record = _record(options.image, side)
    print_problems([*report.warnings, *without_graph(image)])
    difference = None
    if options.against is not None:
        difference = difference_json(compare(read_side(options.against), side))
    made = document(
        image,
        name=in_utf8(options.name),
        problems=[replace(one, place=_without_path(one.place)) for one in report.warnings],
        record=record,
        difference=difference,
    )
    with Change() as change:
        change.write(options.output, page(made, template()))
        change.commit()


def _record(operand: str, side: Side) -> Mapping[str, Any] | None:
    """That of a measurement.json; the page has its MRENCLAVE in a command that is to be run."""
    for name in ("mrenclave", "mrsigner"):
        value = side.record[name] if side.record is not None else None
        if value is not None and not _HASH.fullmatch(value):
            message = f"{operand}: its {name} is {quoted(value)}, and no 64 hex digits"
            raise OcclumError("measurement", message, hint="build the enclave anew")
    return side.record


def _without_path(place: Place | None) -> Place | None:
    """The name of the file alone, as the page is the same wherever it is made."""
    return replace(place, file=os.path.basename(place.file)) if place is not None else None


def _image(operand: str, side: Side, report: Report) -> KnownImage:
    """The image of a side, with its graph where it stands beside the manifest."""
    from occlum_build.report.model import KnownImage
    from occlum_build.report.read import image_of, read_image
    from occlum_build.report.sides import GIT

    if side.items is not None:
        return KnownImage(operand, side.items)
    if side.manifest is None:
        message = f"{operand} has a measurement alone, and no entries to show"
        hint = "name the directory in dist/ that has the manifest.json of the enclave beside it"
        raise OcclumError("report", message, hint=hint)
    if operand.startswith(GIT):
        return image_of(side.manifest, operand)
    return read_image(Path(operand), report)
