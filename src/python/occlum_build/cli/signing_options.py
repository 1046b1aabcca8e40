"""Options of verbs that sign: the signer, and the date in SIGSTRUCT."""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
from pathlib import Path

from occlum_build.cli.output import print_problem
from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.occlum.signing import DetachedSignature, KeyFile, Signer, SignerCommand
from occlum_build.shown import quoted

DEFAULT_DATE = "19700101"


def add_signer_options(parser: argparse.ArgumentParser) -> None:
    """--sign-key, --signer, --signature or --unsigned; --pubkey for the two in the middle."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--sign-key", type=Path, metavar="PEM", help="default: Occlum's public test key"
    )
    ways.add_argument(
        "--signer",
        metavar="CMD",
        help="command that signs: data on stdin, raw signature (384 bytes) on stdout; no shell",
    )
    ways.add_argument(
        "--signature", type=Path, metavar="FILE", help="over build/signing-data, made elsewhere"
    )
    ways.add_argument(
        "--unsigned", action="store_true", help="write build/signing-data to be signed elsewhere"
    )
    parser.add_argument(
        "--pubkey", type=Path, metavar="PEM", help="public key of --signer or --signature"
    )


def signer_of(options: argparse.Namespace, default_key: Path) -> Signer | None:
    """The signer that the options name, `default_key` without any, None for --unsigned."""
    if bool(options.signer or options.signature) != bool(options.pubkey):
        raise OcclumError("usage", "--pubkey goes with --signer or --signature")
    if options.unsigned:
        return None
    if options.signature:
        return DetachedSignature(options.signature, options.pubkey)
    if options.signer:
        return SignerCommand(split_command(options.signer), options.pubkey)
    if options.sign_key:
        warn_if_exposed(options.sign_key)
        return KeyFile(options.sign_key)
    return KeyFile(default_key)


def signing_date(text: str | None) -> str:
    """YYYYMMDD: the given text, or SOURCE_DATE_EPOCH, or 19700101."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text is not None or not epoch:
        return text or DEFAULT_DATE
    try:
        moment = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise OcclumError("date", f"SOURCE_DATE_EPOCH={quoted(epoch)} is no time") from error
    return f"{moment.year:04}{moment.month:02}{moment.day:02}"


def split_command(command: str) -> tuple[str, ...]:
    """The words of --signer; no shell is ever started. OcclumError `usage`."""
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise OcclumError("usage", f"--signer: {error}") from error


def warn_if_exposed(key: Path) -> None:
    """Tell of a key file that others can read: Occlum's public test key is one, so not an error."""
    try:
        mode = key.stat().st_mode
    except OSError:
        return  # reading it tells why
    if mode & 0o077:
        message = f"{key} can be read by others (mode {mode & 0o777:o})"
        hint = f"chmod 600 {key}"
        print_problem(Problem("sign-key", message, hint=hint, severity=WARNING))
