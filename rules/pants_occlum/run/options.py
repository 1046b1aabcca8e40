"""The options `[occlum-run]` and `[occlum-image-tests]`."""

from __future__ import annotations

from pants.option.option_types import BoolOption, SkipOption, StrListOption
from pants.option.subsystem import Subsystem
from pants.util.strutil import softwrap


class OcclumRunSubsystem(Subsystem):
    options_scope = "occlum-run"
    name = "occlum-run"
    help = "How `run` runs a program of an `occlum_image` or `occlum_enclave`, without SGX."

    writable = BoolOption(
        default=False,
        help="Let programs write to the image: to a layer above it, which is thrown away.",
    )
    trace = BoolOption(
        default=False,
        help=softwrap(
            """
            Tell afterwards what the program asked for that the image lacks and its sysroot has, as
            a BOM to paste, and keep what it asked for in `dist/PATH/NAME.trace.json`, added to that
            of earlier runs (docs/trace.md). It takes strace.
            """
        ),
    )
    env = StrListOption(
        help=softwrap(
            """
            Variables `NAME=value` for the program, as set outside of the enclave: of an
            `occlum_enclave` those that its `env.untrusted` lists.
            """
        ),
    )


class OcclumImageTestSubsystem(Subsystem):
    options_scope = "occlum-image-tests"
    name = "occlum-image-tests"
    help = "Tests of images, `occlum_image_test`."

    skip = SkipOption("test")
