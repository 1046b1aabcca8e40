"""`occlum-build sign`, and its two halves for a signer elsewhere: `gendata` and `catsig`.

The signing modules are imported where they are used: they take longer to load than most verbs run.
"""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.signing_options import (
    DEFAULT_DATE,
    signing_date,
    split_command,
    warn_if_exposed,
)
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import CONFIG_BYTES, ENCLAVE_BYTES, KEY_BYTES
from occlum_build.files.reading import content_of, read_file
from occlum_build.sgx.files import write_files

if TYPE_CHECKING:
    from occlum_build.sgx.sign import Unsigned

_SIGNING_DATA_SIZE = 256
_DATE_OFFSET = 20
_DATA_MODE = 0o644


def add_parser(subparsers: Any) -> None:
    """Add the verbs `sign`, `gendata` and `catsig`; each sets `func(arguments)`."""
    sign = subparsers.add_parser("sign", help="measure and sign an enclave")
    _add_input(sign)
    _add_date(sign)
    signer = sign.add_mutually_exclusive_group(required=True)
    signer.add_argument("--key", type=Path, metavar="PEM", help="private key: RSA-3072, e = 3")
    signer.add_argument(
        "--signer",
        metavar="CMD",
        help="command that signs: data on stdin, raw signature (384 bytes) on stdout; no shell",
    )
    sign.add_argument("--pubkey", type=Path, metavar="PEM", help="public key of --signer")
    _add_output(sign)
    sign.set_defaults(func=run_sign)

    gendata = subparsers.add_parser("gendata", help="write the 256 bytes an enclave's signer signs")
    _add_input(gendata)
    _add_date(gendata)
    gendata.add_argument("--out", type=Path, required=True, metavar="FILE", help="256 bytes")
    gendata.set_defaults(func=run_gendata)

    catsig = subparsers.add_parser("catsig", help="put a signature made elsewhere into an enclave")
    _add_input(catsig)
    catsig.add_argument("--unsigned", type=Path, required=True, metavar="FILE", help="of gendata")
    catsig.add_argument(
        "--signature", type=Path, required=True, metavar="FILE", help="384 bytes, as openssl writes"
    )
    catsig.add_argument("--pubkey", type=Path, required=True, metavar="PEM")
    _add_output(catsig)
    catsig.set_defaults(func=run_catsig)


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--enclave", type=Path, required=True, metavar="SO", help="unsigned")
    parser.add_argument(
        "--config", type=Path, metavar="XML", help="Enclave.xml; the SDK's defaults without it"
    )


def _add_date(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--date",
        metavar="YYYYMMDD",
        help=f"date in SIGSTRUCT; default: SOURCE_DATE_EPOCH or {DEFAULT_DATE}",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="SO", help="signed enclave")
    parser.add_argument("--sigstruct", type=Path, metavar="FILE", help="also write SIGSTRUCT")


def run_sign(arguments: argparse.Namespace) -> None:
    """Sign with a key file or an external signer."""
    from occlum_build.files.secret import keep_from, no_core_dumps
    from occlum_build.sgx import keys
    from occlum_build.sgx.sign import finish

    if bool(arguments.signer) != bool(arguments.pubkey):
        raise OcclumError("usage", "--signer and --pubkey go together")
    keep_from([arguments.out, arguments.sigstruct], arguments.key or arguments.pubkey)
    enclave = read_file(arguments.enclave, ENCLAVE_BYTES)
    if arguments.key:
        warn_if_exposed(arguments.key)
        no_core_dumps()
        with content_of(arguments.key):
            key = keys.read_private_key(arguments.key)
        unsigned = _prepare(arguments, enclave, signing_date(arguments.date))
        modulus = keys.modulus_of(key)
        signature = keys.sign_data(key, unsigned.signing_data)
    else:
        modulus = _modulus(arguments.pubkey)
        unsigned = _prepare(arguments, enclave, signing_date(arguments.date))
        signature = keys.run_signer(split_command(arguments.signer), unsigned.signing_data)
    _write(arguments, finish(enclave, unsigned, signature, modulus))


def run_gendata(arguments: argparse.Namespace) -> None:
    """Write what has to be signed."""
    enclave = read_file(arguments.enclave, ENCLAVE_BYTES)
    unsigned = _prepare(arguments, enclave, signing_date(arguments.date))
    write_files((arguments.out, unsigned.signing_data, _DATA_MODE))


def run_catsig(arguments: argparse.Namespace) -> None:
    """Sign with a signature over the data of `gendata`; the date is the one in those data."""
    from occlum_build.sgx.sign import finish

    enclave = read_file(arguments.enclave, ENCLAVE_BYTES)
    data = read_file(arguments.unsigned, KEY_BYTES)
    if len(data) != _SIGNING_DATA_SIZE:
        raise OcclumError(
            "signature", f"{arguments.unsigned} has {len(data)} bytes, not {_SIGNING_DATA_SIZE}"
        )
    date = f"{int.from_bytes(data[_DATE_OFFSET : _DATE_OFFSET + 4], 'little'):08x}"
    unsigned = _prepare(arguments, enclave, date)
    if unsigned.signing_data != data:
        raise OcclumError(
            "signature", f"{arguments.unsigned} was not made from this enclave and configuration"
        )
    modulus = _modulus(arguments.pubkey)
    signature = read_file(arguments.signature, KEY_BYTES)
    _write(arguments, finish(enclave, unsigned, signature, modulus))


def _prepare(arguments: argparse.Namespace, enclave: bytes, date: str) -> Unsigned:
    from occlum_build.sgx.sign import prepare

    config = None if arguments.config is None else read_file(arguments.config, CONFIG_BYTES)
    with content_of(arguments.enclave, "enclave-elf"):
        return prepare(enclave, config, date, config_name=str(arguments.config))


def _modulus(public_key: Path) -> int:
    from occlum_build.sgx import keys

    pem = read_file(public_key, KEY_BYTES)
    with content_of(public_key):
        return keys.load_modulus(pem)


def _write(arguments: argparse.Namespace, signed: bytes) -> None:
    from occlum_build.sgx.measurement import read_sigstruct

    mode = stat.S_IMODE(os.stat(arguments.enclave).st_mode) & 0o777
    outputs = [(arguments.out, signed, mode)]
    if arguments.sigstruct:
        outputs.append((arguments.sigstruct, read_sigstruct(signed).to_bytes(), _DATA_MODE))
    write_files(*outputs)
