from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError
from occlum_build.image.tar import entries_json
from occlum_build.process.complete import table_json
from occlum_build.run import case as case_module
from occlum_build.run.case import run_case
from occlum_build.run.case_file import EXIT_SKIPPED, Case, case_json, case_of
from occlum_build.run.expected import Expected
from occlum_build.run.forbidden import cannot_run
from occlum_build.run.testing import SECONDS


def bash(script: str, **changes: object) -> Case:
    values = {"args": ("/bin/bash", "-c", script), "expected": Expected(), "env": ("PATH=/bin",)}
    return Case(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def copy(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    subprocess.run(["cp", "-a", image, tmp_path / "root"], check=True)
    monkeypatch.chdir(tmp_path)
    return "root"


def test_a_case_is_the_same_as_json() -> None:
    case = bash("true", services=(("/a", "b"),), expected=Expected(1, "o", None, {"/f": "x"}))
    read = case_of(json.loads(case_json(case)))
    assert (read.services, read.expected) == (case.services, case.expected)
    assert case_json(read) == case_json(case)


def test_what_a_program_does_is_as_expected(copy: str) -> None:
    case = bash(
        "read line; echo $line $A; echo err >&2; echo x > /tmp/f; echo y > /data/g; exit 3",
        stdin="given\n",
        env=("PATH=/bin", "A=b"),
        scratch=("/tmp",),
        timeout=60,
        expected=Expected(3, "given b\n", "re:^err$", {"/tmp/f": "x\n", "/link/g": "y\n"}),
    )
    assert run_case(copy, case) == []


def test_what_it_does_else_is_told(copy: str) -> None:
    case = bash("echo real; exit 4", expected=Expected(0, "wanted\n", None, {"/data/f": "x"}))
    assert run_case(copy, case) == [
        "exit code: expected 0, found 4",
        "--- standard output (expected)",
        "+++ standard output (found)",
        "@@ -1 +1 @@",
        "-wanted",
        "+real",
        "/data/f: expected a file, found none",
    ]


def test_of_a_large_text_the_start_counts_and_it_is_not_the_whole(copy: str) -> None:
    script = "x=$'0123456789abcde\\n'; for i in {1..16}; do x=$x$x; done; "
    large = script + 'printf %s0 "$x"; printf %s0 "$x" > /data/f'
    start = "0123456789abcde\n" * (1 << 16)  # 1 MiB
    pattern = Expected(0, "re:^0123", None, {"/data/f": "re:"})
    assert run_case(copy, bash(large, expected=pattern)) == []
    os.rename(".outputs", "first")
    lines = run_case(copy, bash(large, expected=Expected(0, start, None, {"/data/f": start})))
    titles = ["+++ standard output (found)", "+++ /data/f (found)"]
    assert [line for line in lines if line.startswith("+++")] == titles


def test_a_program_that_does_not_end(copy: str) -> None:
    case = bash("echo begun; sleep 600", timeout=1)
    assert run_case(copy, case) == [
        "/bin/bash: it did not end within 1 s",
    ]


def test_services_are_waited_for(copy: str) -> None:
    service = ("/bin/bash", "-c", "PATH=/bin; sleep 0.2; echo x > /tmp/ready; sleep 600")
    case = bash(
        "cat /tmp/ready", services=(service,), wait_for=("file:/tmp/ready",),
        expected=Expected(stdout="x\n"),
    )  # fmt: skip
    assert run_case(copy, case) == []


def test_services_that_end_or_do_not_become_ready(copy: str) -> None:
    service = ("/bin/bash", "-c", "echo no port >&2; exit 2")
    case = bash("true", services=(service,), wait_for=("tcp:1", "unix:/tmp/s"))
    assert run_case(copy, case) == [
        "/bin/bash: all services have ended, and this is not ready: tcp:1, unix:/tmp/s",
        "the service /bin/bash had ended with 2",
        "its stderr:",
        "  no port",
    ]


def test_services_that_run_and_are_not_ready(copy: str) -> None:
    service = ("/bin/sleep", "600")
    case = bash("true", services=(service,), wait_for=("file:/gone",), timeout=1)
    assert run_case(copy, case) == [
        "/bin/bash: this did not become ready: file:/gone",
        "the service /bin/sleep was running",
    ]


def test_there_is_no_network(copy: str) -> None:
    case = bash("echo > /dev/tcp/127.0.0.1/1; cat /proc/net/route", expected=Expected(1))
    lines = run_case(copy, case)
    assert any("Connection refused" in line for line in lines)


def test_a_program_that_cannot_be_started(copy: str) -> None:
    with pytest.raises(OcclumError, match="/nothing cannot be started"):
        run_case(copy, Case(("/nothing",), Expected()))


def test_a_program_that_is_not_started_has_no_exit_code(copy: str) -> None:
    with pytest.raises(OcclumError, match="/bin/bash cannot be started: embedded null byte"):
        run_case(copy, bash("echo a\0b", expected=Expected(127)))


def step(folder: Path, root: Root, case: Case) -> subprocess.CompletedProcess[str]:
    """The process, with a tree that has lost its modes, as a sandbox of Pants has it."""
    rows = [root.at(path) for path in root.paths if path != "/"]
    (folder / "entries.json").write_bytes(entries_json(one for one in rows if one is not None))
    (folder / "table.json").write_bytes(table_json(()))
    (folder / "case.json").write_bytes(case_json(case))
    files = ("root", "entries.json", "table.json", "case.json")
    return subprocess.run(
        [sys.executable, "-m", "occlum_build.run.case", *files],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_the_process_gives_the_image_its_modes_and_its_own_files(copy: str, tmp_path: Path) -> None:
    tree = tmp_path / copy
    (tree / "data/secret").write_text("x")
    (tree / "data/secret").chmod(0o640)
    (tree / "data/locked").mkdir(mode=0o555)
    root = Root.of_directory(str(tree))
    (tree / "data/secret").chmod(0o644)
    (tree / "data/locked").chmod(0o755)
    os.link(tree / "data/secret", tmp_path / "stored")
    script = "ls -l /data; echo y > /data/secret; exec 2>&1; mkdir /x || ls -ld /bin"
    case = bash(script, expected=Expected(1, "", None))
    done = step(tmp_path, root, case)
    assert done.returncode == 1, done.stderr
    assert "dr-xr-xr-x" in done.stdout
    assert "-rw-r-----" in done.stdout
    assert (tmp_path / "stored").read_text() == "x"
    assert not tree.exists()


def test_the_process_ends_well_or_says_what_cannot_be_run(copy: str, tmp_path: Path) -> None:
    root = Root.of_directory(str(tmp_path / copy))
    done = step(tmp_path, root, Case(("/bin/x",), Expected(), problem="there is no /bin/x"))
    assert (done.returncode, done.stdout) == (1, "there is no /bin/x\n")
    done = step(tmp_path, root, bash("echo fine", expected=Expected(0, "fine\n", "")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def ended_of_step(case: Case, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of the process that runs a case in an empty image, and what it prints."""
    Path("root").mkdir()
    Path("entries.json").write_bytes(entries_json(()))
    Path("table.json").write_bytes(table_json({}))
    Path("case.json").write_bytes(case_json(case))
    with pytest.raises(SystemExit) as ended:
        case_module._step("root", "entries.json", "table.json", "case.json")
    return int(str(ended.value.code)), capsys.readouterr().out


@pytest.mark.parametrize(("may_be_forbidden", "code"), [(True, EXIT_SKIPPED), (False, None)])
def test_a_machine_that_forbids_it_skips_only_what_says_so(
    may_be_forbidden: bool,
    code: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(*_: object) -> list[str]:
        raise OcclumError.of([cannot_run(PermissionError(errno.EPERM, "no", "new namespaces"))])

    monkeypatch.setattr(case_module, "run_case", refused)
    if code is None:
        with pytest.raises(OcclumError, match="lets nobody but root"):
            ended_of_step(bash("true"), capsys)
    else:
        ended, told = ended_of_step(bash("true", may_be_forbidden=may_be_forbidden), capsys)
        assert ended == code and "this machine lets nobody but root" in told


def test_a_case_that_is_skipped_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = ended_of_step(bash("true", problem="no image", skipped="no redis"), capsys)
    assert ended == (EXIT_SKIPPED, "no redis\n")
