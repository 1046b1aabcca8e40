from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
# A command whose imports or verb wait for a signal, which the first line of its output asks for.
WAIT = """
def wait():
    print("waiting", flush=True)
    for _ in range(3000):  # a signal right before a sleep is handled at its end
        time.sleep(0.01)
"""
IMPORTING = "wait()"
WORKING = """
import argparse
from occlum_build.cli import main
parser = argparse.ArgumentParser()
def work(options):
    try:
        wait()
    finally:
        time.sleep(0.3)
        print("cleaned up")
parser.set_defaults(func=work)
sys.exit(main.run(parser, []))
"""


def _started(body: str, prepare: str = "") -> subprocess.Popen[str]:
    # Who runs the tests may have SIGHUP ignored, as nohup does.
    default = "import signal, sys, time\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)"
    code = f"{default}\n{prepare}\nfrom occlum_build.cli.start import start\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}start()\n{WAIT}{body}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    return process


@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_it_imports_ends_it_quietly(number: signal.Signals) -> None:
    process = _started(IMPORTING)
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == CODES[number]


@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_it_works_lets_it_clean_up(number: signal.Signals) -> None:
    process = _started(WORKING)
    process.send_signal(number)
    for _ in range(3):  # these do not stop the cleaning up
        time.sleep(0.05)
        process.send_signal(number)
    assert process.communicate(timeout=20) == ("cleaned up\n", "")
    assert process.returncode == CODES[number]


@pytest.mark.parametrize("body", [IMPORTING, WORKING])
def test_a_signal_that_was_ignored_stays_so(body: str) -> None:
    process = _started(body, "signal.signal(signal.SIGINT, signal.SIG_IGN)")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143


def test_commands_import_nothing_before_they_start() -> None:
    """What is imported before would show a traceback where it is stopped."""
    for name in ("main", "copy_bom_command", "occlum_command"):
        lines = (Path(__file__).parent / f"{name}.py").read_text().split("\n")
        code = [line for line in lines if line.startswith(("import ", "from ", "if "))]
        assert code[0].startswith("from __future__ ")
        assert code[1].startswith("from occlum_build.cli.start import ")
        assert code[2] == 'if __name__ == "__main__":'
    code_of_start = "import sys; from occlum_build.cli import start; print(len(sys.modules))"
    plain = "import sys; import __future__, occlum_build.cli; print(len(sys.modules))"
    counts = [
        int(
            subprocess.check_output(
                [sys.executable, "-S", "-c", code],
                env={"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        )
        for code in (code_of_start, plain)
    ]
    assert counts[0] == counts[1] + 1
