"""`sbom`: a bill of materials of an image, or where it comes from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import print_problem, say_document
from occlum_build.cli.packages_inputs import add_download_options
from occlum_build.errors import NOTE, OcclumError, Place, Problem
from occlum_build.shown import in_utf8, quoted

if TYPE_CHECKING:
    from occlum_build.sbom.describe import Deb
    from occlum_build.sbom.packages import DebFile
    from occlum_build.sbom.rows import ImageRows, Row

CYCLONEDX, SPDX, SLSA = "cyclonedx", "spdx", "slsa"
INSTALL = "pip install cyclonedx-python-lib==10.3.0 spdx-tools==0.8.3"


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "sbom",
        help="write a bill of materials of an image, or its provenance",
        description="Write what an image is made of, as CycloneDX 1.6 or SPDX 2.3, or where it "
        "comes from, as SLSA provenance v1. Equal images of equal packages give equal bytes; "
        "provenance also has the paths of BOMs and sources, as the manifest does.",
    )
    add = parser.add_argument
    add("image", metavar="MANIFEST|DIR", type=Path, help="manifest.json, or the directory with it")
    add("--format", choices=(CYCLONEDX, SPDX, SLSA), required=True)
    add("--output", metavar="FILE", type=Path, help="default: standard output")
    add("--name", default="image", help="what the image is called in it (default: image)")
    add(
        "--tree",
        metavar="DIR",
        type=Path,
        help="the image's files, of which distributions and jars are read (default: `image` "
        "beside the manifest)",
    )
    packages = parser.add_mutually_exclusive_group()
    packages.add_argument(
        "--sysroot",
        metavar="DIR",
        type=Path,
        help="the root that the image was made of: packages and licenses by its dpkg",
    )
    packages.add_argument(
        "--deb",
        metavar="FILE",
        type=Path,
        action="append",
        nargs="+",
        help="the .deb files that the root was made of, or a directory of such",
    )
    packages.add_argument(
        "--lock",
        metavar=("FILE", "CONFIG"),
        type=Path,
        nargs=2,
        help="the lock file of these, and the configuration that it is of",
    )
    add("--builder", metavar="URI", help="who built it (slsa)")
    add_download_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Write the document; raises OcclumError before one byte changes."""
    if options.builder is not None and options.format != SLSA:
        raise OcclumError("usage", f"--builder goes with --format {SLSA} alone")
    for option in ("name", "builder"):
        if getattr(options, option) is not None and not getattr(options, option).strip():
            raise OcclumError("usage", f"--{option} is empty")
    options.name = in_utf8(options.name)
    created = _created() if options.format == SPDX else 0
    from occlum_build.sbom.rows import MANIFEST, read_manifest

    is_directory = options.image.is_dir()
    manifest = options.image / MANIFEST if is_directory else options.image
    image = read_manifest(manifest)
    tree = options.tree or manifest.parent / "image"
    if options.tree is not None and not tree.is_dir():
        raise OcclumError("sbom", "there is no such directory", place=Place(str(tree)))
    if not tree.is_dir() and options.format != SLSA:
        message = f"there is no {tree}: Python distributions and jars are not looked for"
        hint = "name the directory of the image's files by --tree"
        print_problem(Problem("sbom", message, hint=hint, severity=NOTE))
    try:
        data = _document(options, image, manifest, tree, created)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "occlum_build":
            raise
        message = f"--format {options.format} needs the Python module {error.name}"
        raise OcclumError("sbom", message, hint=INSTALL) from None
    if options.output is None:
        say_document(data)
        return
    from occlum_build.files.change import Change

    with Change() as change:
        change.write(options.output, data)
        change.commit()


def _document(
    options: argparse.Namespace, image: ImageRows, manifest: Path, tree: Path, created: int
) -> bytes:
    from occlum_build.image.graph import GRAPH
    from occlum_build.sbom.rows import read_edges

    image, debs = _packaged(options, image, tree)
    content: Callable[[Row], str | None] = _no_content
    if tree.is_dir():
        content = _Tree(tree)
    from occlum_build.sbom.describe import Known, describe, packages_of

    if options.format == SLSA:
        from occlum_build.sbom.slsa import BUILDER, provenance_json

        builder = BUILDER if options.builder is None else options.builder
        packages = packages_of(image, Known(content, debs))
        return provenance_json(options.name, image, packages, boms=image.boms, builder=builder)
    edges = read_edges(manifest.parent / GRAPH, image)
    bill = describe(options.name, image, Known(content, debs, edges))
    if options.format == SPDX:
        from occlum_build.sbom.spdx import spdx_json

        return spdx_json(bill, created)
    from occlum_build.sbom.cyclonedx import cyclonedx_json

    return cyclonedx_json(bill)


def _packaged(
    options: argparse.Namespace, image: ImageRows, tree: Path
) -> tuple[ImageRows, Mapping[str, Deb]]:
    """The rows with their packages, and what is known of these."""
    from occlum_build.sbom.packages import has_database, packaged_by_files, packaged_by_root
    from occlum_build.sources.os import OsSources

    debs: dict[str, Deb] = {}
    if options.sysroot is not None:
        if not options.sysroot.is_dir():
            place = Place(str(options.sysroot))
            raise OcclumError("sbom", "there is no such directory", place=place)
        root = OsSources(os.path.realpath(options.sysroot))
        if not has_database(root):
            message = "it has no database of dpkg: nothing is known of packages by it"
            hint = "name the .deb files of the root by --deb, or its lock file by --lock"
            place = Place(str(options.sysroot))
            print_problem(Problem("sbom", message, place, hint, severity=NOTE))
        image, of_root = packaged_by_root(image, root)
        debs.update(of_root)
    elif options.deb or options.lock:
        files, merged_usr = _of_lock(options) if options.lock else (_of_debs(options), True)
        image, of_files = packaged_by_files(image, files, merged_usr=merged_usr)
        debs.update(of_files)
    if tree.is_dir():
        sourceless = image._replace(rows=tuple(row._replace(source="") for row in image.rows))
        _, of_tree = packaged_by_root(sourceless, OsSources(os.path.realpath(tree)))
        debs = {**of_tree, **debs}
    return image, debs


def _of_debs(options: argparse.Namespace) -> list[DebFile]:
    from occlum_build.packages.assemble import debs_in
    from occlum_build.sbom.packages import DebFile

    found = debs_in([one for several in options.deb for one in several])
    return [DebFile(path, str(path)) for path in found]


def _of_lock(options: argparse.Namespace) -> tuple[list[DebFile], bool]:
    from occlum_build.cli.packages_inputs import inputs, locked
    from occlum_build.packages.locking import fetch_debs
    from occlum_build.sbom.packages import DebFile

    lock_file, config = options.lock
    with inputs(config, options) as (request, places):
        debs = fetch_debs(locked(lock_file, request, config), request, places)
    names = (f"{one.package.package} {one.package.version}" for one in debs)
    return [DebFile(one.file, name) for one, name in zip(debs, names)], request.merged_usr


def _no_content(row: Row) -> str | None:
    return None


class _Tree:
    """The files of an image in a directory, each compared with the manifest."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def __call__(self, row: Row) -> str | None:
        from occlum_build.files.source import open_source

        path = f"{self._top}{row.path}"
        with open_source(path) as file:
            if file.sha256() == row.sha256:
                return path
        message = "it is not the file of the manifest"
        hint = "name the tree that belongs to the manifest by --tree, or build both anew"
        raise OcclumError("sbom", message, place=Place(path), hint=hint)


def _created() -> int:
    """SOURCE_DATE_EPOCH, or 0, in seconds since 1970."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise OcclumError("date", f"SOURCE_DATE_EPOCH={quoted(text)} is no time")
    return int(text)
