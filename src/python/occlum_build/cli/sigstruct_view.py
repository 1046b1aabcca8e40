"""`occlum-build sigstruct-view`: the fields of a SIGSTRUCT, for people or as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from occlum_build.cli.output import say, say_json
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import ENCLAVE_BYTES
from occlum_build.files.reading import content_of, read_file


def add_parser(subparsers: Any) -> None:
    """Add the verb `sigstruct-view`."""
    parser = subparsers.add_parser("sigstruct-view", help="show the SIGSTRUCT of an enclave")
    parser.add_argument("file", type=Path, help="signed enclave, or the 1808 bytes of a SIGSTRUCT")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the fields; OcclumError `signature` when the signature is not valid."""
    from occlum_build.sgx.measurement import read_sigstruct, sigstruct_to_json

    data = read_file(arguments.file, ENCLAVE_BYTES)
    with content_of(arguments.file):
        fields = sigstruct_to_json(read_sigstruct(data))
    if arguments.json:
        say_json(fields, indent=2)
    else:
        _print_table({key: value for key, value in fields.items() if key != "schema"})
    if not fields["signature_valid"]:
        raise OcclumError("signature", f"the signature in {arguments.file} is not valid")


def _print_table(fields: dict[str, Any]) -> None:
    attributes = fields.pop("attributes")
    fields.update(attributes)
    for name in sorted(fields):
        say(f"{name:16} {fields[name]}")
