"""The launcher: how it finds a Python, makes the environment once, and gets out of the way."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pants_runner import PantsResult, PantsRunner, pants_runner

OUTER_VENV = Path(os.environ["OCCLUM_VENV"])
PYTHON39 = OUTER_VENV / "bin/python"
LAUNCHER_LOCK = "3rdparty/python/launcher.txt"
PEX_LOCK = "3rdparty/python/pex.txt"
COMMANDS = {
    "occlum-build": "occlum_build",
    "copy_bom": "copy_bom",
    "occlum": "occlum",
}
TOOLS = ["cat", "chmod", "dirname", "ls", "mkdir", "mv", "rm", "sed", "sh", "sha256sum", "tr"]


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), backends=None) as runner:
        yield runner


def test_version_from_the_environment_that_occlum_venv_names(pants: PantsRunner) -> None:
    pants.run("--version").expect(0)  # starts pantsd, which is told on stderr

    result = pants.run("--version").expect(0)

    assert (result.stdout, result.stderr) == ("2.17.1\n", "")
    assert not (pants.build_root / ".venv").exists()


def test_backends_load(pants: PantsRunner) -> None:
    result = pants.run("help", "backends").expect(0)

    assert "pants_occlum" in result.stdout


class Checkout:
    """A checkout with the real launcher, and a Pants that only prints its arguments.

    It requires that stand-in, and the pex wheel of the outer environment, so that a first run takes
    seconds and no network.
    """

    def __init__(self, top: Path) -> None:
        self.root = top / "checkout"
        self.wheels = top / "wheels"
        self.tools = top / "bin"
        self.lock = self.root / LAUNCHER_LOCK
        self.venv = self.root / ".venv"
        for directory in (self.wheels, self.tools, self.lock.parent, top / "home"):
            directory.mkdir(parents=True)
        shutil.copy2("pants", self.root / "pants")
        shutil.copy2(PEX_LOCK, self.root / PEX_LOCK)
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool) or "")
        self.env = {
            "HOME": str(top / "home"),
            "PATH": str(self.tools),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": f"{self.wheels} {OUTER_VENV / 'wheels'}",
            "PIP_NO_INDEX": "1",
        }
        self.require_version("1")

    def require_version(self, version: str) -> None:
        """Make the stand-in at this version, and a lock file that asks for it."""
        wheel = _stand_in_wheel(self.wheels, version)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        requirements = f"pantsbuild-pants=={version} \\\n    --hash=sha256:{digest}\n"
        self.lock.write_text(requirements)

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["./pants", *args],
            cwd=self.root,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, **env: str) -> PantsResult:
        return _end(self.start(*args, **env))


def _end(process: subprocess.Popen[str]) -> PantsResult:
    stdout, stderr = process.communicate()
    return PantsResult(process.returncode, stdout, stderr)


# It cannot reach its pantsd as often as STAND_IN_TIMEOUTS says, as a Pants on a busy machine.
_STAND_IN = """\
import os, pathlib, sys

class ProcessManager:
    class Timeout(Exception):
        pass

def main():
    left = pathlib.Path(os.environ.get("STAND_IN_TIMEOUTS", os.devnull))
    timeouts = int(left.read_text() or 0)
    if timeouts:
        left.write_text(str(timeouts - 1))
        raise ProcessManager.Timeout("exceeded timeout of 60 seconds while waiting for pantsd")
    if "--fail" in sys.argv:
        raise ValueError(sys.argv)
    print("pants VERSION", *sys.argv[1:])
"""


def _stand_in_wheel(directory: Path, version: str) -> Path:
    """A wheel whose `pants` prints its version and arguments."""
    info = f"pantsbuild.pants-{version}.dist-info"
    files = {
        "stand_in.py": _STAND_IN.replace("VERSION", version),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: pantsbuild.pants\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\npants = stand_in:main\n",
    }
    record = "".join(f"{name},{_record_hash(text)},\n" for name, text in files.items())
    wheel = directory / f"pantsbuild.pants-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return wheel


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def _script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_first_run_then_silence(checkout: Checkout) -> None:
    first = checkout.run("list", "a b", PANTS_PYTHON=str(PYTHON39)).expect(0)
    assert first.stdout == "pants 1 list a b\n"
    assert "pants: first run" in first.stderr
    for command, function in COMMANDS.items():
        script = checkout.venv / "bin" / command
        assert os.access(script, os.X_OK)
        assert f"from occlum_build.cli.start import {function}\n" in script.read_text()
    pex = hashlib.sha256((checkout.venv / "pex.pex").read_bytes()).hexdigest()
    assert f"|linux_x86_64|{pex}|" in Path("pants.toml").read_text()

    second = checkout.run("list").expect(0)
    assert (second.stdout, second.stderr) == ("pants 1 list\n", "")


def test_commands_come_into_an_older_environment(checkout: Checkout) -> None:
    checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(0)
    made = {name: (checkout.venv / "bin" / name).read_text() for name in COMMANDS}
    before = {path.name for path in (checkout.venv / "bin").iterdir()}
    (checkout.venv / "bin/occlum").unlink()
    (checkout.venv / "bin/copy_bom").unlink()

    second = checkout.run("list").expect(0)

    assert (second.stdout, second.stderr) == ("pants 1 list\n", "")
    assert {name: (checkout.venv / "bin" / name).read_text() for name in COMMANDS} == made
    assert {path.name for path in (checkout.venv / "bin").iterdir()} == before


def test_changed_lock_file_makes_the_environment_anew(checkout: Checkout) -> None:
    checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(0)

    checkout.require_version("2")

    assert checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(0).stdout == "pants 2\n"


def test_interrupted_first_run_is_made_good_by_the_next(checkout: Checkout) -> None:
    process = checkout.start(PANTS_PYTHON=str(PYTHON39))
    while not (checkout.venv / "installed").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    _end(process)
    assert not (checkout.venv / "complete").exists()

    assert checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(0).stdout == "pants 1\n"


def test_of_two_first_runs_at_once_one_makes_the_environment(checkout: Checkout) -> None:
    processes = [checkout.start(PANTS_PYTHON=str(PYTHON39)) for _ in range(2)]

    results = [_end(process).expect(0) for process in processes]

    assert [result.stdout for result in results] == ["pants 1\n"] * 2
    assert sorted("pants: first run" in result.stderr for result in results) == [False, True]


def test_hash_mismatch_stops_the_first_run(checkout: Checkout) -> None:
    checkout.lock.write_text("pantsbuild-pants==1 --hash=sha256:" + 64 * "0" + "\n")

    result = checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(1)

    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert "pants: error: pip could not install" in result.stderr
    assert not (checkout.venv / "complete").exists()


def test_first_run_with_a_constraint_in_the_configuration_of_pip(
    checkout: Checkout, tmp_path: Path
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch<=2\npex<9\n")
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nconstraint = {constraints}\n")

    checkout.run(PANTS_PYTHON=str(PYTHON39), PIP_CONFIG_FILE=str(configuration)).expect(0)


def test_without_cpython39_the_error_says_how_to_get_it(checkout: Checkout) -> None:
    _script(
        checkout.tools / "python3.9", "echo 'pyenv: python3.9: command not found' >&2; exit 127"
    )

    result = checkout.run().expect(1)

    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("pants: error: Pants 2.17.1 needs CPython 3.9")
    assert "uv python install 3.9" in line


@pytest.mark.parametrize("value", ["/nowhere/python3.9", "sh"])
def test_pants_python_must_be_a_cpython39(checkout: Checkout, value: str) -> None:
    result = checkout.run(PANTS_PYTHON=value).expect(1)

    assert result.stderr == (
        f"pants: error: PANTS_PYTHON={value} is not a working CPython 3.9 with venv and ssl\n"
    )


@pytest.mark.parametrize("place", ["PATH", "pyenv", "uv"])
def test_finds_cpython39_in(checkout: Checkout, place: str) -> None:
    run_python = f'exec {PYTHON39} "$@"'
    if place == "PATH":
        _script(checkout.tools / "python3", run_python)
    elif place == "pyenv":
        _script(checkout.tools / "python3.9", "exit 127")
        home = Path(checkout.env["HOME"])
        _script(home / ".pyenv/versions/3.9.18/bin/python3.9", run_python)
    else:
        python = _script(checkout.root / "from uv/python3.9", run_python)
        _script(checkout.tools / "uv", f"echo '{python}'")

    assert checkout.run().expect(0).stdout == "pants 1\n"


def test_a_pantsd_that_is_late_gets_another_try(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(0)
    left = tmp_path / "timeouts"
    left.write_text("1")

    result = checkout.run("a b", "--x", STAND_IN_TIMEOUTS=str(left)).expect(0)

    assert result.stdout == "pants 1 a b --x\n"
    assert result.stderr == (
        "pants: exceeded timeout of 60 seconds while waiting for pantsd: this machine is busy; "
        "trying once more\n"
    )
    left.write_text("2")
    twice = checkout.run(STAND_IN_TIMEOUTS=str(left)).expect(1)
    assert "ProcessManager.Timeout: exceeded" in twice.stderr
    other = checkout.run("--fail").expect(1)
    assert f"ValueError: ['{checkout.venv}/bin/pants', '--fail']" in other.stderr
    assert "trying once more" not in other.stderr


def test_nothing_of_the_working_directory_is_imported(checkout: Checkout) -> None:
    checkout.run(PANTS_PYTHON=str(PYTHON39)).expect(0)
    for module in ("re", "runpy", "stand_in"):
        (checkout.root / f"{module}.py").write_text("raise SystemExit('of the project')\n")
    assert checkout.run().expect(0).stdout == "pants 1\n"


@pytest.mark.parametrize("lock", [LAUNCHER_LOCK, PEX_LOCK])
def test_without_a_network_the_error_says_what_to_set(checkout: Checkout, lock: str) -> None:
    places = [str(checkout.wheels)] if lock == PEX_LOCK else []
    env = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": " ".join(places), "PIP_RETRIES": "0"}
    nowhere = "http://127.0.0.1:9/simple/"

    result = checkout.run(PANTS_PYTHON=str(PYTHON39), PIP_INDEX_URL=nowhere, **env).expect(1)

    *_, last = result.stderr.splitlines()
    assert last.startswith("pants: error: pip could not ")
    assert "https_proxy names a proxy, and PIP_INDEX_URL an index of your own" in last
    assert not (checkout.venv / "complete").exists()


def test_occlum_venv_with_other_content_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    precious = tmp_path / "documents/thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years")

    result = checkout.run(PANTS_PYTHON=str(PYTHON39), OCCLUM_VENV=str(precious.parent)).expect(1)

    assert "is neither empty nor a Python environment" in result.stderr
    assert precious.read_text() == "years"


def test_own_time_is_below_50_ms(checkout: Checkout) -> None:
    locks = checkout.lock.read_bytes() + Path(PEX_LOCK).read_bytes()
    key = f"{hashlib.sha256(locks).hexdigest()}  - {checkout.venv}"
    _script(checkout.venv / "bin/python", "exit 0")
    (checkout.venv / "complete").write_text(key + "\n")

    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        checkout.run().expect(0)
        seconds.append(time.perf_counter() - start)

    assert min(seconds) < 0.050, f"{seconds} on {sys.platform}"
