"""`run`: a program of an image as it is, with the image as its root file system and without SGX."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import print_problem, print_problems
from occlum_build.errors import NOTE, OcclumError, Problem
from occlum_build.run.spec import EXIT_NOT_STARTED, READ_ONLY, SCRATCH, Program, RootSpec

if TYPE_CHECKING:
    from occlum_build.run.settings import RunSettings

VERB = "run"
_ROOT = Path("/")
_NO_ENCLAVE = (
    "this is no enclave: {program} runs on the kernel of this machine, in the open, and with the "
    "image {access}"
)


@dataclass(frozen=True)
class _Words:
    """How messages call what the user may write."""

    start: str = "occlum-build run IMAGE"
    writable: str = "--writable"
    env: str = "--env"


def _words_of_pants(address: str) -> _Words:
    return _Words(f"pants run {address}", "--occlum-run-writable", "--occlum-run-env")


def split_program(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and the program and its arguments after it."""
    if "--" not in arguments:
        return list(arguments), []
    index = arguments.index("--")
    return list(arguments[:index]), list(arguments[index + 1 :])


def add_parser(subparsers: Any) -> None:
    """Add the verb `run`."""
    parser = subparsers.add_parser(
        VERB,
        help="run a program of an image without SGX",
        usage="occlum-build run [options] IMAGE -- PROGRAM [ARGUMENT ...]",
        description="Run a program with an image as its root file system, and without SGX.",
    )
    parser.add_argument(
        "image",
        metavar="IMAGE",
        type=Path,
        help="an image's directory, its manifest.json, or an instance with its Occlum.json",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the Occlum.json whose environment, entry points, mounts and memory hold; "
        "default: that of an instance, else none",
    )
    parser.add_argument(
        "--writable",
        action="store_true",
        help="let programs write to the image: to a layer above it, which is thrown away",
    )
    parser.add_argument(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="as set outside of the enclave: for names that `env.untrusted` lists; without a "
        "configuration any",
    )
    # The target that Pants runs.
    parser.add_argument("--target", help=argparse.SUPPRESS)
    _add_trace_options(parser)
    parser.set_defaults(func=_run)


def _add_trace_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trace",
        action="store_true",
        help="tell afterwards what the program asked for that the image lacks, as a BOM to paste "
        "(docs/trace.md); meanwhile the root shows what is missing",
    )
    parser.add_argument(
        "--record",
        metavar="FILE",
        type=Path,
        help="keep what was asked for, added to what FILE has of earlier runs, for "
        "`occlum-build trace`; goes with --trace",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=_ROOT,
        help="with --trace: the root file system that the image is made from; default: /",
    )
    parser.add_argument(
        "--alone",
        action="store_true",
        help="with --trace: the program sees the image alone, and may end at what it lacks first",
    )


def _run(options: argparse.Namespace) -> None:
    from occlum_build.checks.root import Root
    from occlum_build.run.inside import run_program
    from occlum_build.run.program import check_program, lacking_places
    from occlum_build.run.target import find_target

    args = tuple(options.program)
    words = _words_of_pants(options.target) if options.target else _Words()
    if not args:
        hint = f"{words.start} -- /bin/program"
        raise OcclumError("usage", "no program is named after `--`", hint=hint)
    is_traced = options.trace or options.record is not None
    if not is_traced and (options.alone or options.root != _ROOT):
        raise OcclumError("usage", "--root and --alone go with --trace, or --record")
    target = find_target(options.image)
    config = options.config or target.config
    settings, entry_points = _settings(config, str(target.folder), _given(options.env, words))
    root = Root.of_directory(str(target.image))
    check_program(root, args[0], entry_points)
    print_problems([*settings.notes, *lacking_places(root, settings.mounts)])
    access = "writable; what is written is thrown away"
    if not options.writable:
        access = f"read-only ({words.writable}: what is written is thrown away)"
    text = _NO_ENCLAVE.format(program=args[0], access=access)
    print_problem(Problem(VERB, text, severity=NOTE))
    spec = RootSpec(str(target.image), settings.mounts, SCRATCH if options.writable else READ_ONLY)
    started = Program(args, settings.env, settings.memory_bytes)
    if is_traced:
        from occlum_build.cli.trace import run_and_tell

        code = run_and_tell(options, root, spec, started)
    else:
        code = run_program(spec, started)
    if code == EXIT_NOT_STARTED and started.memory_bytes is not None:
        print_problem(_little_memory(started))
    raise SystemExit(code)


def _little_memory(program: Program) -> Problem:
    """What may be behind a loader that tells of a segment, or of a library, and not of memory."""
    text = (
        f"{program.args[0]} ended with {EXIT_NOT_STARTED}, as what cannot be loaded; it had an "
        f"address space of {program.memory_bytes:,} bytes"
    )
    hint = "if that is too little, make the user space larger in `resource_limits` of Occlum.json"
    return Problem(VERB, text, hint=hint, severity=NOTE)


def _given(texts: Sequence[str], words: _Words) -> dict[str, str]:
    """The variables of --env."""
    for text in texts:
        if text.find("=") < 1:
            raise OcclumError("usage", f"{words.env} takes NAME=VALUE, not {text}")
    return dict(text.partition("=")[::2] for text in texts)


def _settings(
    config: Path | None, folder: str, given: Mapping[str, str]
) -> tuple[RunSettings, list[str] | None]:
    """The settings of a run with its environment, and the entry points of its configuration."""
    from occlum_build.checks.enclave import entry_points_of
    from occlum_build.occlum.configure import read_config
    from occlum_build.run.settings import RunSettings, settings_of
    from occlum_build.sgx.config import check

    if config is None:
        return RunSettings().with_env(given), None
    document = read_config([config])
    checked = check(document)
    settings = settings_of(document, checked, folder)
    settings.check_outside(given)
    return settings.with_env({**os.environ, **given}), entry_points_of(checked.config)
