"""The command `occlum`: builds by ourselves, and hands what runs an enclave to an installed Occlum.

Its options and files are those that Occlum's scripts know; docs/switch.md has what differs.
"""

from __future__ import annotations

from occlum_build.cli.start import start

if __name__ == "__main__":
    start()

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from occlum_build.cli import build, gen_image_key, instance, package, print_measurement
from occlum_build.cli.main import EXIT_FAILURE, run
from occlum_build.cli.output import print_problem, say
from occlum_build.cli.usage import CommandParser, add_version
from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.files.reading import read_start
from occlum_build.shown import quoted

_VERSION_OF_OCCLUMS = "0.31"
_OURS = ("new", "init", "build", "package", "print", "gen-image-key", "status")
_RUNTIME = ("run", "start", "exec", "stop", "mount", "gdb")
_COMMAND = "build/bin/occlum"
# Our own commands, however they were installed, name their module in their first lines.
_OURSELVES = b"occlum_build.cli"
_READ_BYTES = 1 << 16


def add_parser(verbs: Any) -> None:
    """Name the verb in the help of `occlum-build`, which hands it to `main`."""
    verbs.add_parser("occlum", help="what Occlum's own command `occlum` does", add_help=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code, if no other program took our place."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments else ""
    if verb and verb not in _OURS and not verb.startswith("-"):
        return _hand_on(arguments)
    return run(_parser(), arguments)


def _hand_on(arguments: Sequence[str]) -> int:
    """Become the installed Occlum's `occlum`, with the same arguments and environment."""
    places = _places()
    for place in places:
        if place.is_file() and not _is_ours(place):
            return _become(place, arguments)
    verb = arguments[0]
    if verb in _RUNTIME:
        message = f"`occlum {verb}` needs Occlum's runtime, and none is installed: there is no "
        hint = "install Occlum there (its package occlum-runtime), or say where with "
        hint += "OCCLUM_TOOLCHAIN; what is built here can be run on another machine, by `package`"
    else:
        message = f"Occlum has no sub-command {quoted(verb)} that is known here, and there is no "
        hint = f"known are {', '.join((*_OURS, *_RUNTIME))}"
    print_problem(Problem("occlum", message + " nor ".join(map(str, places)), hint=hint))
    return EXIT_FAILURE


def _become(program: Path, arguments: Sequence[str]) -> int:
    """Give our process to the program; returns only where it cannot be run."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the caller
            stream.flush()
    try:
        os.execv(program, [str(program), *arguments])
    except OSError as error:
        message = f"{program} cannot be run: {error.strerror}"
        print_problem(Problem("occlum", message, hint="install Occlum there anew"))
    return EXIT_FAILURE


def _places() -> list[Path]:
    """Where an installed Occlum's command may be; never looked for in PATH, where we are."""
    from occlum_build.occlum.toolchain import ToolchainDirectory

    roots = (instance.toolchain_of_environment(), instance.DEFAULT_TOOLCHAIN)
    return list(dict.fromkeys(ToolchainDirectory(root).occlum / _COMMAND for root in roots))


def _is_ours(path: Path) -> bool:
    try:
        return _OURSELVES in read_start(path, _READ_BYTES)
    except OcclumError:
        return False  # a program need not be readable to be run


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="occlum",
        description="Build Occlum instances, without an Occlum toolchain's programs.",
        epilog=f"By an installed Occlum: {', '.join(_RUNTIME)}.",
    )
    add_version(parser, _VERSION_OF_OCCLUMS)
    verbs = parser.add_subparsers(metavar="SUB-COMMAND", required=True)
    for module in (instance, build, package, print_measurement, gen_image_key):
        module.add_parser(verbs)
    # A script that is run again makes its key again, and never looked at the mode of the file.
    verbs.choices["gen-image-key"].set_defaults(force=True)
    verbs.choices["build"].set_defaults(func=_build)
    verbs.choices["package"].set_defaults(func=_package)
    verbs.add_parser("status", help="print the status of the instance").set_defaults(func=_status)
    return parser


def _build(options: argparse.Namespace) -> None:
    """As our `build`, but with the mke2fs of an ext2 mount put into the image before."""
    from occlum_build.occlum.ext2 import add_mke2fs
    from occlum_build.occlum.instance import read_status, writing

    if options.image_key is not None and not options.insecure_key_file:
        _warn_of_open_key(options.image_key)
        options.insecure_key_file = True
    with writing(Path.cwd()):
        read_status(Path.cwd())
        with instance.naming_toolchain_option():
            add_mke2fs(Path.cwd(), options.toolchain)
        build.run(options)
    say("Built the Occlum image and enclave successfully")


def _warn_of_open_key(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError:
        return  # reading it tells why
    if mode & 0o066:
        message = f"{key} is open to group or others (mode {mode & 0o777:o})"
        print_problem(Problem("key-file", message, hint=f"chmod 600 {key}", severity=WARNING))


def _package(options: argparse.Namespace) -> None:
    """As our `package`, but the name may have directories; an archive that is there is replaced."""
    from occlum_build.occlum.package import SUFFIX

    name = options.name or Path.cwd().name
    if not name.endswith(SUFFIX):
        name += SUFFIX
    out = Path.cwd() / name
    if out.name[: -len(SUFFIX)] in ("", ".", ".."):
        raise OcclumError("usage", f"{quoted(name)} is no name of an archive")
    package.write_archive(out, debug=options.debug)
    say(f"The package {name} is generated successfully")


def _status(_options: argparse.Namespace) -> None:
    from occlum_build.files.recovery import sweep
    from occlum_build.occlum.instance import as_problem, read_status

    with as_problem(Path.cwd()):
        sweep(Path.cwd())
    say(read_status(Path.cwd()))


if __name__ == "__main__":
    sys.exit(main())
