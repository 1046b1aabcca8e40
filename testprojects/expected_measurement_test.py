"""`expected_measurement` with the real ./pants: written once, and compared where dist is empty."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import TOOLCHAIN, built_enclave, package, small_enclave
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded

ADDRESS = "enclaves/app:enclave"
FILE = "enclaves/app/app.measurement.json"
FIELDS = {"expected_measurement": "app.measurement.json"}


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=(TOOLCHAIN, BACKENDS)) as runner:
        small_enclave(runner, "app", **FIELDS)
        yield runner


def _git(pants: PantsRunner, *arguments: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e")
    command = ["git", "-C", str(pants.build_root), *who, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_in_ci(pants: PantsRunner) -> None:
    written = pants.run("occlum-expect", ADDRESS).expect(0)
    assert f"Wrote {FILE}\n" in written.stderr
    assert "Filesystem changed" not in written.stderr
    package(pants, ADDRESS)
    mrenclave = built_enclave(pants, ADDRESS).mrenclave
    assert f"{ADDRESS}: MRENCLAVE {mrenclave}\n" in written.stdout

    file = pants.build_root / FILE
    file.write_bytes(file.read_bytes().replace(b'\n "type"', b'\n\n "type"'))
    assert run_recorded(pants, "package", ADDRESS).ran == []
    file.write_bytes(file.read_bytes().replace(b'\n\n "type"', b'\n "type"'))

    shutil.rmtree(pants.dist)
    pants.write("app/app.sh", "#!/bin/sh\necho another\n")
    small_enclave(pants, "app", **FIELDS, sgx_mode="SIM", date="20260101")
    told = pants.run("package", ADDRESS).expect(1).stderr
    assert "Traceback" not in told and "1 Exception encountered:" in told
    assert f"{FILE}: MRENCLAVE is " in told and f", not {mrenclave} as expected\n" in told
    for line in (
        "enclave date: 19700101 -> 20260101",
        "setting sgx_mode: HW -> SIM",
        "toolchain libos: sha256:",
        "image digest: sha256:",
        "image entry /bin/app.sh: file 0644 ",
        f"where that is meant, write it anew: pants occlum-expect {ADDRESS}",
    ):
        assert line in told
    assert not (pants.dist / "enclaves.app").exists()
    small_enclave(pants, "app", **FIELDS)


def test_an_enclave_changes_with_its_file(pants: PantsRunner) -> None:
    file = Path(pants.build_root, FILE)
    file.write_text("{}\n")
    _git(pants, "init", "-q")
    _git(pants, "add", "-f", "enclaves", "app", "testprojects")
    _git(pants, "commit", "-q", "-m", "one")
    file.write_text('{"schema": 1}\n')
    options = ("--changed-since=HEAD", "--no-pantsd")
    assert pants.run(*options, "list").expect(0).stdout == f"{ADDRESS}\n"
    file.unlink()
    assert pants.run(*options, "list").expect(0).stdout == f"{ADDRESS}\n"
