"""In any environment a command works or ends with one clear error, and with the exit code it has.

Locales, closed and full streams, working directories that have gone, arguments that nobody means,
signals in the first moments. The last test records how many runs were looked at.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from hostile.evil_names import MAC, command_lines, main_in
from hostile.printed import Printed, run
from occlum_build.cli import copy_bom_command, main, occlum_command
from toolchain.make_toolchain import make_toolchain

NOT_UTF8 = os.fsdecode("ä".encode() + b"\xff")
_looked_at: list[str] = []


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toolchain(tmp_path_factory.mktemp("tc"))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/f").write_text("f")
    bom = "targets: [{target: /, copy: [{files: [src/f]}]}]"
    (tmp_path / "bom.yaml").write_text(bom)
    return tmp_path


def shell(
    command: str, directory: Path, redirect: str = "", env: dict[str, str] | None = None
) -> Printed:
    """Run the command in a shell, a process of its own, with nothing else in the environment."""
    program = f"{shlex.quote(sys.executable)} -B -m occlum_build.cli.main"
    done = subprocess.run(
        ["bash", "-c", f"{program} {command} {redirect}; exit ${{PIPESTATUS[0]}}"],
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            **(env or {}),
        },
        capture_output=True,
        timeout=60,
    )
    _looked_at.append(command)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr, done.stderr
    return Printed(done.returncode, done.stdout, done.stderr)


LOCALES: dict[str, dict[str, str]] = {
    "strict UTF-8": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8:strict"},
    "en_US": {"LC_ALL": "en_US.UTF-8", "PYTHONIOENCODING": "utf-8:strict"},
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    "none": {},
    "ASCII": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
    "Latin-1": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1:strict"},
}


@pytest.mark.parametrize("locale", LOCALES)
def test_names_are_shown_in_any_locale(locale: str, world: Path, toolchain: Path) -> None:
    env = LOCALES[locale]
    place = world / NOT_UTF8
    place.mkdir()
    for name in ("src", "bom.yaml"):
        (world / name).rename(place / name)
    tools = f"--toolchain {toolchain}"
    bom = "copy-bom -f bom.yaml --root image"
    done = {
        "new": shell(f"new {NOT_UTF8} {tools}", place, env=env),
        "copy-bom": shell(bom, place, env={**env, "OCCLUM_LOG_LEVEL": "info"}),
        "why": shell(f"{bom} --why /f", place, env=env),
        "json": shell(f"{bom} --json --dry-run", place, env=env),
        "zip": shell("sefs zip src img mac", place, env=env),
        "missing": shell(f"{bom} --why /{NOT_UTF8}", place, env=env),
        "key": shell(f"gen-image-key gone/{NOT_UTF8}", place, env=env),
        "usage": shell(f"build --{NOT_UTF8}", place, env=env),
    }
    (place / "inst").mkdir()
    done["init"] = shell(f"init {tools}", place / "inst", env=env)
    codes = {name: one.code for name, one in done.items()}
    assert codes == {**dict.fromkeys(done, 0), "missing": 254, "key": 1, "usage": 2}
    umlaut = {"ASCII": b"\\xe4", "Latin-1": b"\xe4"}.get(locale, "ä".encode())
    for name in ("new", "why", "init"):
        assert umlaut + b"\\xff" in done[name].out
    for name in ("copy-bom", "missing", "key", "usage"):
        assert umlaut + b"\\xff" in done[name].err
    assert done["json"].out.isascii()


def test_a_locale_that_is_not_utf8_is_refused(world: Path) -> None:
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = shell("copy-bom -f bom.yaml --root image", world, env=env)
    assert (done.code, (world / "image").exists()) == (1, False)
    assert done.err.startswith(b"error: the locale has names of files in ascii, not UTF-8")


# What is run, its exit code, and whether it has a result to print.
RESULTS = {
    "--version": (0, True),
    "--help": (0, True),
    "copy-bom -f bom.yaml --root image --why /f": (0, True),
    "copy-bom -f bom.yaml --root image --json": (0, True),
    "copy-bom -f bom.yaml --root image": (0, False),
    "copy-bom -f gone.yaml --root image": (255, False),
    "copy-bom -f bom.yaml --root image --why /gone": (254, False),
    "sefs verify gone": (1, False),
    "build --gone": (2, False),
}
REDIRECTS = {
    "2>&-": "error",
    "2>/dev/full": "error",
    ">&-": "result",
    "<&- >&- 2>&-": "both",
    ">/dev/full": "result",
    ">/dev/full 2>/dev/full": "both",
    ">/dev/full 2>&-": "both",
    "| true": "pipe",
    "2>&1 | true": "pipe",
}


@pytest.mark.parametrize("redirect", REDIRECTS)
def test_streams_change_no_exit_code(redirect: str, world: Path) -> None:
    for command, (code, has_result) in RESULTS.items():
        done = shell(command, world, redirect)
        lost = REDIRECTS[redirect]
        codes = {code}
        if has_result and lost in ("result", "both"):
            codes = {1}
        elif lost == "pipe":
            codes = {code, 1} if has_result else {code}  # it may be written before the pipe ends
        assert done.code in codes, (command, done)
        if has_result and lost == "result":
            why = b"Bad file descriptor" if redirect == ">&-" else b"No space left on device"
            assert done.err == b"error: standard output: %s\n" % why, (command, done)
        elif code and lost == "result":
            assert b"error: " in done.err, (command, done)


# Working directories


def _absolute(world: Path, toolchain: Path) -> Iterator[tuple[int, list[str]]]:
    at = str(world)
    yield 0, ["copy-bom", "-f", f"{at}/bom.yaml", "--root", f"{at}/image"]
    yield 255, ["copy-bom", "-f", f"{at}/gone.yaml", "--root", f"{at}/image"]
    yield 0, ["copy-bom", "-f", f"{at}/bom.yaml", "--root", f"{at}/image", "--why", "/f"]
    yield 0, ["new", f"{at}/inst", "--toolchain", str(toolchain)]
    yield 0, ["gen-image-key", f"{at}/key"]
    yield 0, ["sefs", "zip", f"{at}/src", f"{at}/img", f"{at}/mac", "--key", f"{at}/key"]
    yield 0, ["sefs", "verify", f"{at}/img", "--key", f"{at}/key"]
    yield 0, ["sefs", "ls", f"{at}/img", "--key", f"{at}/key"]
    yield 0, ["sefs", "unzip", f"{at}/img", f"{at}/out", "--key", f"{at}/key"]
    yield 1, ["sefs", "verify", f"{at}/gone"]
    yield 0, ["protect", f"{at}/bom.yaml"]
    yield 0, ["show", f"{at}/bom.yaml.protected"]
    yield 0, ["show-mac", f"{at}/bom.yaml.protected"]
    yield 1, ["show", f"{at}/gone"]
    yield 1, ["print", "mrenclave", f"{at}/bom.yaml"]
    yield 1, ["sigstruct-view", f"{at}/gone"]
    gen_conf = ["gen-conf", "--config", f"{at}/bom.yaml", "--image-mac", MAC, "--initfs-mac", MAC]
    yield 1, [*gen_conf, "--enclave-xml", f"{at}/x", "--sys-json", f"{at}/s"]


RELATIVE = (
    "copy-bom -f bom.yaml --root image",
    "copy-bom -f /dev/null --root image",
    "copy-bom -f /gone --root /gone --include-dir x",
    "new inst",
    "init",
    "build",
    "package",
    "package name",
    "gen-image-key key",
    "sefs zip src img mac",
    "sefs ls img",
    "sefs verify img",
    "sefs unzip img out",
    "protect f",
    "show f",
    "show-mac f",
    "print mrenclave",
    "print mrenclave f",
    "sigstruct-view f",
    "sign --enclave e --key k --out o",
    "gendata --enclave e --out o",
    "catsig --enclave e --unsigned u --signature s --pubkey p --out o",
    f"gen-conf --config c --image-mac {MAC} --initfs-mac {MAC} --enclave-xml x --sys-json s",
    "occlum status",
    "occlum build",
    "occlum package",
    "occlum run f",
)


def _where_none_is(arguments: list[str], world: Path) -> Printed:
    """Run in a working directory that has gone."""

    def command() -> int:
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
        return main.main(arguments)

    _looked_at.append(arguments[0])
    printed = run(command, world, {})
    printed.check()
    return printed


def test_absolute_paths_need_no_working_directory(world: Path, toolchain: Path) -> None:
    for code, arguments in _absolute(world, toolchain):
        printed = _where_none_is(arguments, world)
        assert printed.code == code, (arguments, printed)
        assert printed.err.count(b"error: ") == bool(code), (arguments, printed)


@pytest.mark.parametrize("command", RELATIVE)
def test_relative_paths_are_one_error_without_one(command: str, world: Path) -> None:
    printed = _where_none_is(command.split(), world)
    assert printed.code not in (0, 2)
    assert printed.err.count(b"error: ") == 1, printed


# Arguments


ARGUMENTS = {
    "empty": "",
    "blank": " ",
    "a NUL": "a\0b",
    "100 KB": "x" * 100_000,
    "a path of 100 KB": "x/" * 50_000,
    "not UTF-8": NOT_UTF8,
    "half a character": "\ud800",
    "a dash": "-",
    "two dashes": "--",
    "a line break": "\n",
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_arguments_that_nobody_means(argument: str, world: Path, toolchain: Path) -> None:
    (world / "tc").symlink_to(toolchain)
    text = ARGUMENTS[argument]
    for arguments in command_lines(text):
        printed = run(partial(main_in, world, arguments), world, {})
        printed.check()
        _looked_at.append(arguments[0])
        assert len(printed.err) < 200_000
        if printed.code:
            assert printed.err.count(b"error: ") >= 1, (arguments, printed)
        for made in ("image", " ", "-"):  # of the last command
            shutil.rmtree(world / made, ignore_errors=True)
    for command in (partial(copy_bom_command.main, [text]), partial(occlum_command.main, [text])):
        run(command, world, {}).check()
        _looked_at.append("commands")


# The first moments


IMPORTING = """
import time
print("importing", flush=True)
time.sleep(30)
"""


# What starts a command -> the module that it imports.
COMMANDS = {"occlum_build": "main", "copy_bom": "copy_bom_command", "occlum": "occlum_command"}


def _installed(world: Path, function: str) -> Path:
    """A command as ./pants writes it, of a library whose commands are never done importing."""
    library = world / "src/python/occlum_build"
    (library / "cli/memo").mkdir(parents=True, exist_ok=True)
    start = Path(main.__file__).with_name("start.py")
    for name, text in {
        "__init__.py": "",
        "cli/__init__.py": "",
        "cli/start.py": start.read_text(),
        "cli/memo/__init__.py": "",
        "cli/memo/find.py": "def attempt(_arguments):\n    return None\n",
        f"cli/{COMMANDS[function]}.py": IMPORTING,
    }.items():
        (library / name).write_text(text)
    (world / "venv/bin").mkdir(parents=True, exist_ok=True)
    (world / "venv/bin/python").unlink(missing_ok=True)
    (world / "venv/bin/python").symlink_to(sys.executable)
    body = Path("pants").read_text().partition("\nwrite_command() {")[2].partition("\n}\n")[0]
    script = f"venv={world}/venv root={world}\nwrite_command() {{{body}\n}}\n"
    subprocess.run(["sh", "-c", f"{script}write_command command {function}"], check=True)
    return world / "venv/bin/command"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("function", COMMANDS)
def test_a_signal_while_a_command_imports(
    number: signal.Signals, function: str, world: Path
) -> None:
    process = subprocess.Popen(
        [_installed(world, function), "build"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"importing\n"
    process.send_signal(number)
    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 128 + number
    _looked_at.append("signal")


def test_how_many_runs_were_looked_at(record_property: Callable[[str, object], None]) -> None:
    record_property("runs in odd environments", len(_looked_at))
    assert len(_looked_at) > 500
