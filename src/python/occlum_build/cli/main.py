"""The command `occlum-build`: finds the verb, runs it, turns errors into text and exit codes."""

from __future__ import annotations

from occlum_build.cli.start import GC_THRESHOLD, Stopped, clean_up_when_stopped, finish, start

if __name__ == "__main__":
    start()

import argparse
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from occlum_build.cli.output import (
    close_streams,
    flush_output,
    open_streams,
    print_problem,
    print_problems,
    standard_output,
    working_directory,
)
from occlum_build.cli.usage import Parser
from occlum_build.errors import OcclumError, Problem
from occlum_build.version import VERSION

# verb -> its module; a run imports only the one that it needs
VERBS = {
    "new": "instance",
    "init": "instance",
    "build": "build",
    "package": "package",
    "gen-image-key": "gen_image_key",
    "copy-bom": "copy_bom",
    "gen-conf": "gen_conf",
    "sefs": "sefs",
    "protect": "protect",
    "show": "protect",
    "show-mac": "protect",
    "sign": "sign",
    "gendata": "sign",
    "catsig": "sign",
    "print": "print_measurement",
    "occlum": "occlum_command",
    "sigstruct-view": "sigstruct_view",
    "packages": "packages",
    "why": "why",
    "diff": "diff",
    "size": "size",
    "report": "report",
    "verify": "verify",
    "sbom": "sbom",
    "run": "run",
    "trace": "trace",
    "schema": "schema",
    "init-pants": "init_pants",
    "completion": "completion",
}

# Exit codes by the first error's code; those of copy_bom, which scripts test for.
EXIT_CODES = {
    "bom-missing": 255,
    "hash-missing": 255,
    "file": 254,
    "bom-invalid": 253,
    "directory": 252,
    "link": 251,
    "hash": 249,
    "libraries": 248,
    "library-unreachable": 248,
    "library-version": 248,
    "program": 248,
}
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["occlum"]:
        from occlum_build.cli import occlum_command

        return occlum_command.main(arguments[1:])
    if arguments[:1] == ["run"]:
        from occlum_build.cli.run import split_program

        arguments, program = split_program(arguments)
        return run(_parser(arguments), arguments, program=program)
    return run(_parser(arguments), arguments)


def run(
    parser: argparse.ArgumentParser, arguments: Sequence[str], program: Sequence[str] = ()
) -> int:
    """Call the `func` of the parsed arguments; tells errors, and returns the exit code.

    That is what `func` returns, 0 for nothing; `exit_failure` of the arguments is that of errors.
    `program` is what a verb is to run, as options have it: no arguments of ours.
    """
    parser.set_defaults(program=program)
    gc.set_threshold(GC_THRESHOLD)
    open_streams()
    options = argparse.Namespace()
    try:
        clean_up_when_stopped()
        with suppress(MemoryError):
            return _run(parser, arguments, program, options)
        # Out of the block: with the exception all that the run held has gone.
        gc.collect()
        print_problem(Problem("system", "there is not enough memory"))
        return int(getattr(options, "exit_failure", EXIT_FAILURE))
    except KeyboardInterrupt as stop:
        return stop.exit_code if isinstance(stop, Stopped) else EXIT_INTERRUPTED
    finally:
        finish()
        close_streams()


def _run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    program: Sequence[str],
    options: argparse.Namespace,
) -> int:
    exit_failure, code = EXIT_FAILURE, 0
    try:
        if not all(map(_can_name_a_file, (*arguments, *program))):
            parser.error("an argument has a character that no name of a file can have")
        try:
            with standard_output():  # of --help and --version
                parser.parse_args(arguments, options)
        except SystemExit:
            flush_output()
            raise
        _check_locale()
        exit_failure = getattr(options, "exit_failure", EXIT_FAILURE)
        code = options.func(options) or 0
        flush_output()
    except OcclumError as error:
        with suppress(OSError):  # the error counts, whatever becomes of a result before it
            flush_output()
        print_problems([*error.told, *(_with_option(one, options) for one in error.problems)])
        if exit_failure != EXIT_FAILURE:  # its exit codes are those of another command
            return exit_failure
        return EXIT_CODES.get(error.code, EXIT_FAILURE)
    except BrokenPipeError:
        return exit_failure
    except OSError as error:
        print_problem(_system_problem(error))
        return exit_failure
    return code


def _with_option(problem: Problem, options: argparse.Namespace) -> Problem:
    """A problem that an option of the verb leaves out is told with it."""
    if problem.code == "key-file-mode" and hasattr(options, "insecure_key_file"):
        return replace(problem, hint=f"{problem.hint}, or give --insecure-key-file")
    return problem


def _can_name_a_file(argument: str) -> bool:
    """Whether a shell could have given it: without NUL, and no half of a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(argument)
    except UnicodeEncodeError:
        return sys.getfilesystemencoding() != "utf-8"  # which is refused as such


def _system_problem(error: OSError) -> Problem:
    if error.errno == errno.ENOENT and error.filename is None and not working_directory():
        hint = "go to a directory that exists, or give all paths as absolute ones"
        return Problem("system", "the working directory does not exist any more", hint=hint)
    where = f"{error.filename}: " if error.filename else ""
    return Problem("system", f"{where}{error.strerror or error}")


def _check_locale() -> None:
    """Refuse locales in which Python would take names of files for other characters."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        hint = "set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        raise OcclumError(
            "locale", f"the locale has names of files in {encoding}, not UTF-8", hint=hint
        )


def whole_parser() -> argparse.ArgumentParser:
    """The parser with all verbs, as --help has it."""
    return _parser([])


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="occlum-build",
        description="Build Occlum enclave images without an Occlum toolchain.",
    )
    parser.add_argument("--version", action="version", version=f"occlum-build {VERSION}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    wanted = arguments[0] if arguments else ""
    for name in [VERBS[wanted]] if wanted in VERBS else dict.fromkeys(VERBS.values()):
        importlib.import_module(f"occlum_build.cli.{name}").add_parser(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
