"""`build`: what `occlum build` does in an instance directory, without make, jq, objcopy and SDK."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from occlum_build.cli.instance import add_toolchain_option, naming_toolchain_option
from occlum_build.cli.output import add_allow_option, print_problem, print_problems, say
from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.occlum.earlier import MEASUREMENT
from occlum_build.occlum.toolchain import (
    BUILD,
    SGX_MODES,
    SIGN_KEY,
    TEST_KEY,
    ToolchainDirectory,
    find,
)
from occlum_build.shown import quoted

_YES = ("Y", "YES", "Yes", "yes", "True", "true", "1")
_PARTS = ("image", "initfs", "build", "run")  # of an instance, where no file of one's own is kept
_MRENCLAVE = re.compile(r"[0-9a-fA-F]{64}")


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    from occlum_build.cli.signing_options import add_signer_options

    parser = subparsers.add_parser(
        "build",
        help="build the instance in the working directory",
        description="Build the instance in the working directory: the secure file systems, the "
        "configurations, the signed libOS. The old build stays until the new one is whole.",
    )
    add_toolchain_option(parser)
    parser.add_argument("--sgx-mode", choices=SGX_MODES, help="default: SGX_MODE, or HW")
    parser.add_argument("--enable-edmm", metavar="Y|N", help="default: ENABLE_EDMM, or N")
    parser.add_argument("--image-key", type=Path, metavar="FILE", help="encrypt the image")
    parser.add_argument(
        "--buildin-image-key", action="store_true", help="put the image key into initfs, openly"
    )
    parser.add_argument(
        "--insecure-key-file",
        action="store_true",
        help="accept an image key file that group or others can read or write",
    )
    add_signer_options(parser)
    parser.add_argument("--sign-tool", metavar="PATH", help="not needed; ignored with a warning")
    parser.add_argument("-f", "--force", action="store_true", help="build even if nothing changed")
    parser.add_argument(
        "--date", metavar="YYYYMMDD", help="in SIGSTRUCT; default: SOURCE_DATE_EPOCH or 19700101"
    )
    parser.add_argument(
        "--builtin-config-bytes",
        type=int,
        choices=(47, 48),
        default=48,
        help="48 (default): with the newline that a stock build measures; 47: the MAC alone",
    )
    parser.add_argument("--expected-mrenclave", metavar="HEX", help="fail on any other")
    parser.add_argument(
        "--expected-measurement",
        type=Path,
        metavar="FILE",
        help="fail on all that is not as the file says, and tell it",
    )
    parser.add_argument(
        "--update-expected", action="store_true", help="write that FILE, and compare nothing"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="warnings of Occlum.json, and of mounts and entry points that the image lacks, are "
        "errors",
    )
    add_allow_option(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Build, print the warnings and MRENCLAVE."""
    from occlum_build.checks.allowed import parse_allowed
    from occlum_build.cli.signing_options import signer_of, signing_date
    from occlum_build.files.secret import no_core_dumps
    from occlum_build.occlum.build import build
    from occlum_build.occlum.configure import Settings
    from occlum_build.occlum.inputs import BuildRequest
    from occlum_build.occlum.signing import KeyFile

    settings = Settings(
        sgx_mode=options.sgx_mode or os.environ.get("SGX_MODE") or "HW",
        edmm=_edmm(options.enable_edmm),
        date=signing_date(options.date),
        with_newline=options.builtin_config_bytes == 48,
        strict=options.strict,
    )
    allowed = parse_allowed(options.allow)
    expected = options.expected_mrenclave or ""
    if expected and not _MRENCLAVE.fullmatch(expected):
        raise OcclumError("usage", f"--expected-mrenclave: {quoted(expected)} is not 64 hex digits")
    if expected and options.expected_measurement:
        raise OcclumError("usage", "--expected-measurement has the MRENCLAVE: give it alone")
    if options.update_expected:
        _check_written(options.expected_measurement)
    if options.sign_tool:
        message = "--sign-tool is ignored: the enclave is signed without one"
        print_problem(Problem("usage", message, severity=WARNING))
    toolchain = ToolchainDirectory(options.toolchain)
    signer = signer_of(options, toolchain.path(TEST_KEY))
    if signer == KeyFile(toolchain.path(TEST_KEY)):
        with naming_toolchain_option():
            key = toolchain.file(TEST_KEY)
            if key is None:  # which is told with all else that is missing
                find(options.toolchain, settings.sgx_mode, [BUILD, SIGN_KEY])
            else:
                signer = KeyFile(key)
    request = BuildRequest(
        instance=Path.cwd(),
        toolchain=options.toolchain,
        settings=settings,
        signer=signer,
        image_key=options.image_key,
        buildin_image_key=options.buildin_image_key,
        insecure_key_file=options.insecure_key_file,
        force=options.force,
        allowed=allowed,
        expected_mrenclave=expected,
        expected_measurement=options.expected_measurement,
        update_expected=options.update_expected,
    )
    no_core_dumps()
    with naming_toolchain_option():
        built = build(request)
    print_problems(built.warnings)
    if built.measurement["mrsigner"] is None:
        say("unsigned: sign build/signing-data, then give --signature and --pubkey")
    say(f"{'up to date' if built.unchanged else 'built'}: {built.measurement['mrenclave']}")


def _check_written(file: Path | None) -> None:
    """Raises OcclumError for a file that a slip may have named, as it is written over."""
    if file is None:
        raise OcclumError("usage", "--update-expected needs --expected-measurement FILE")
    if not file.name.endswith("measurement.json"):
        message = f"--update-expected: {file} is not called measurement.json and does not end so"
        raise OcclumError("usage", message)
    if file.resolve() == Path(MEASUREMENT).resolve():
        message = f"--update-expected: {file} is what each build writes: name another file"
        raise OcclumError("usage", message)
    instance = Path.cwd().resolve()
    if any(file.resolve().is_relative_to(instance / name) for name in _PARTS):
        message = f"--update-expected: {file} is in the image or in what each build writes anew"
        raise OcclumError("usage", message, hint="keep it beside the instance, with the source")


def _edmm(option: str | None) -> bool:
    """As Occlum reads it: the option is yes unless empty or N, the variable must say yes."""
    if option is not None:
        return option not in ("", "N")
    return os.environ.get("ENABLE_EDMM", "") in _YES
