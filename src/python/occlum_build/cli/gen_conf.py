"""`occlum-build gen-conf`: Occlum.json -> Enclave.xml and .Occlum_sys.json."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from occlum_build.cli.output import print_problems
from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.change import Change
from occlum_build.files.reading import read_file
from occlum_build.sgx.config import generate, parse_json

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb; its `func` takes the parsed arguments and gives the exit status."""
    parser = subparsers.add_parser(
        "gen-conf",
        help="make Enclave.xml and the system config of an Occlum.json",
        description="Check an Occlum.json and make of it the signing tool's Enclave.xml and the "
        "libOS's system config. Every mistake is an error; on an error nothing is written.",
    )
    parser.add_argument("--config", required=True, type=Path, metavar="OCCLUM_JSON")
    parser.add_argument(
        "--image-mac", required=True, metavar="MAC", help="of the image's secure file system"
    )
    parser.add_argument(
        "--initfs-mac", required=True, metavar="MAC", help="of the initfs's secure file system"
    )
    parser.add_argument("--enclave-xml", required=True, type=Path, metavar="OUT")
    parser.add_argument("--sys-json", required=True, type=Path, metavar="OUT")
    parser.add_argument("--edmm", action="store_true", help="the platform has EDMM")
    parser.add_argument("--strict", action="store_true", help="every warning is an error")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Make both files, or raise OcclumError and leave both as they were; warnings go to stderr."""
    config, xml, sys_json = (
        path.absolute() for path in (args.config, args.enclave_xml, args.sys_json)
    )
    data = read_file(
        config, CONFIG_BYTES, code="config-read", large="json-size", name=str(args.config)
    )
    document = parse_json(data, str(config))
    generated = generate(
        document, args.image_mac, args.initfs_mac, edmm=args.edmm, strict=args.strict
    )
    print_problems(generated.warnings)
    try:
        with Change() as change:
            change.write(xml, generated.enclave_xml)
            change.write(sys_json, generated.sys_json)
            change.commit()
    except OSError as error:
        message = error.strerror or "cannot write"
        raise OcclumError("output-write", message, place=Place(str(error.filename))) from error
    return 0
