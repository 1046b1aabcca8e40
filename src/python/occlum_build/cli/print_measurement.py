"""`occlum-build print mrenclave|mrsigner`: one identity of a signed enclave, in hexadecimal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from occlum_build.cli.output import say
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import ENCLAVE_BYTES
from occlum_build.files.reading import content_of, read_file

_DEFAULT = Path("build/lib/libocclum-libos.signed.so")


def add_parser(subparsers: Any) -> None:
    """Add the verb `print`."""
    parser = subparsers.add_parser("print", help="print MRENCLAVE or MRSIGNER of a signed enclave")
    parser.add_argument("what", choices=("mrenclave", "mrsigner"))
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        default=_DEFAULT,
        help=f"signed enclave or SIGSTRUCT; default: {_DEFAULT}",
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> None:
    """Print 64 hexadecimal digits."""
    from occlum_build.sgx.measurement import Measurement, read_sigstruct

    if arguments.file == _DEFAULT and not _DEFAULT.exists():
        hint = "run `occlum-build build` first, in the directory of the instance, or name a file"
        raise OcclumError("instance", f"there is no signed enclave {_DEFAULT}", hint=hint)
    data = read_file(arguments.file, ENCLAVE_BYTES)
    with content_of(arguments.file):
        measurement = Measurement.of(read_sigstruct(data))
    say((measurement.mrenclave if arguments.what == "mrenclave" else measurement.mrsigner).hex())
