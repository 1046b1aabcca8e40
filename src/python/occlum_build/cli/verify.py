"""`occlum-build verify`: everything of what somebody else built, computed again and compared."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import say, say_json
from occlum_build.shown import shorter

if TYPE_CHECKING:
    from occlum_build.verify.rows import Row, Verified

EXIT_TROUBLE = 2  # as 1 says that something differs

_DESCRIPTION = """
Compute secure file systems, configuration, MRENCLAVE and signature of a built instance again, and
compare them with what it states. Exit code: 0 nothing differs, 1 something does, 2 it cannot be
done. What cannot be known is told and does not count. See docs/verify.md.
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb `verify`."""
    parser = subparsers.add_parser(
        "verify",
        help="verify an instance, archive, bundle or OCI image that somebody else built",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "target",
        type=Path,
        metavar="INSTANCE|ARCHIVE|BUNDLE|OCI",
        help="directory or tar archive of an instance or OCI image layout; bundle of rune",
    )
    parser.add_argument("--expect", metavar="MRENCLAVE", help="what it must be, 64 hex digits")
    parser.add_argument("--expect-mrsigner", metavar="MRSIGNER", help="who must have signed")
    parser.add_argument(
        "--measurement",
        metavar="FILE",
        type=Path,
        help="a measurement.json to compare with; default: the one in the directory of an instance",
    )
    parser.add_argument(
        "--image-key", metavar="FILE", type=Path, help="the key of an encrypted image"
    )
    parser.add_argument(
        "--insecure-key-file",
        action="store_true",
        help="accept a key file that group or others can read or write",
    )
    parser.add_argument("--ref", metavar="NAME", help="which image of a layout with several")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run, exit_failure=EXIT_TROUBLE)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; 1 where something differs. OcclumError `verify` where it cannot be done."""
    verified = _verify(arguments)
    if arguments.json:
        say_json(verified.to_json(), indent=2)
    else:
        _print(arguments.target, verified)
    return 0 if verified.agrees else 1


def _verify(arguments: argparse.Namespace) -> Verified:
    from occlum_build.files.secret import no_core_dumps
    from occlum_build.sefs.keys import read_key_file
    from occlum_build.verify.verify import Wanted, verify

    wanted = Wanted(
        mrenclave=arguments.expect,
        mrsigner=arguments.expect_mrsigner,
        measurement=arguments.measurement,
        ref=arguments.ref,
    )
    no_core_dumps()  # a key may also be built in
    if arguments.image_key is None:
        return verify(arguments.target, wanted)
    with read_key_file(arguments.image_key, allow_insecure=arguments.insecure_key_file) as key:
        return verify(arguments.target, replace(wanted, image_key=key))


def _print(target: Path, verified: Verified) -> None:
    what = f", Occlum {verified.version}, {verified.sgx_mode}" if verified.version else ""
    say(shorter(f"{target}: {verified.kind}{what}"))
    for row in verified.rows:
        _print_row(row)
    counts = verified.to_json()["counts"]
    say(
        f"{counts['agrees']:,} agree, {counts['differs']:,} differ, "
        f"{counts['unknown']:,} cannot be known"
    )
    if verified.mrenclave:
        say(f"MRENCLAVE {verified.mrenclave}, recomputed")


def _print_row(row: Row) -> None:
    """One line, and where something differs both values below it."""
    value = f": {row.stated}" if row.stated and row.status != "differs" else ""
    note = f" ({row.note})" if row.note else ""
    say(shorter(f"{row.status:<8} {row.about}: {row.what}{value}{note}"))
    if row.status == "differs" and (row.stated or row.recomputed):
        say(shorter(f"           stated      {row.stated}"))
        say(shorter(f"           recomputed  {row.recomputed}"))
