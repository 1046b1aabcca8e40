"""`expected_measurement`: a file that a build is compared with, and the goal that writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pants.engine.addresses import Address
from pants.engine.fs import GlobMatchErrorBehavior
from pants.engine.internals.graph import Owners, OwnersRequest
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.rules import QueryRule

from pants_occlum.enclave.goals.expect import OcclumExpect
from pants_occlum.testing import Project

NAME = "app/app.measurement.json"
ENCLAVE = "app:enclave"
BUILD = """
occlum_files(name="files", target="/bin", files=["app.sh"])
occlum_files(name="points", target="/", mkdirs=["dev", "etc", "host", "proc"])
occlum_image(name="image", boms=[":files", ":points"])
file(name="archive", source="stand_in.tar.xz")
occlum_toolchain(name="toolchain", archive=":archive")
files(name="sources", sources=["app.sh"])
"""


def enclave(name: str = "enclave", **fields: object) -> str:
    given = {"image": ":image", "toolchain": ":toolchain", **fields}
    text = ", ".join(f"{field}={value!r}" for field, value in given.items())
    return f'occlum_enclave(name="{name}", {text})\n'


EXPECTING = enclave(expected_measurement="app.measurement.json")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"), QueryRule(Owners, [OwnersRequest]))
    (project.root / "app").mkdir()
    shutil.copy("testprojects/toolchain/stand_in.tar.xz", project.root / "app")
    return project


@pytest.fixture
def app(project: Project) -> Project:
    """An enclave that names a file, which is not there, and nothing in dist."""
    project.write({"app/BUILD": BUILD + EXPECTING, "app/app.sh": "#!/bin/sh\necho app\n"})
    (project.root / NAME).unlink(missing_ok=True)
    shutil.rmtree(project.root / "dist", ignore_errors=True)
    return project


def test_written_compared_and_explained(app: Project) -> None:
    missing = app.failure(ENCLAVE)
    assert missing.splitlines() == [
        f"{ENCLAVE} cannot be built, 1 error:",
        "",
        f"{NAME}: there is no such file, which the 'expected_measurement' field names",
        f"  hint: write it: pants occlum-expect {ENCLAVE}",
    ]
    written = app.run(OcclumExpect, ENCLAVE)
    file = app.root / NAME
    record = json.loads(file.read_text())
    assert written.stdout == f"{ENCLAVE}: MRENCLAVE {record['mrenclave']}\n"
    assert written.stderr == f"Wrote {NAME}\n"
    assert record["image_entries"]["/bin/app.sh"].startswith("file 0644 ")

    dist = app.package(ENCLAVE)
    measured = json.loads((dist / "measurement.json").read_text())
    assert record == {**measured, "image_entries": record["image_entries"]}
    before = file.stat()
    assert app.run(OcclumExpect, ENCLAVE).stderr == f"{NAME} is right\n"
    assert file.stat().st_mtime_ns == before.st_mtime_ns

    shutil.rmtree(dist)
    config = {"metadata": {"version_number": 3, "debuggable": False}}
    build = BUILD + enclave(config=config, expected_measurement="app.measurement.json")
    build = build.replace('"proc"', '"proc", "tmp"')
    app.write({"app/BUILD": build, "app/app.sh": "#!/bin/sh\necho another\n"})
    told = app.failure(ENCLAVE)
    assert f"\n{NAME}: MRENCLAVE is " in told
    assert f", not {record['mrenclave']} as expected\n" in told
    for line in (
        "enclave debuggable: true -> false",
        "enclave isv_svn: 0 -> 3",
        "config $.metadata.debuggable: true -> false",
        "image digest: sha256:",
        "image entry /bin/app.sh: file 0644 ",
        "image entry /tmp: added, dir 0755",
    ):
        assert f"\n    {line}" in told
    assert told.endswith(f"\n  where that is meant, write it anew: pants occlum-expect {ENCLAVE}")
    assert not dist.exists()
    again = app.run(OcclumExpect, ENCLAVE)
    assert "  enclave isv_svn: 0 -> 3\n" in again.stdout
    assert app.package(ENCLAVE).is_dir()


def test_a_file_that_is_none(app: Project) -> None:
    app.write({NAME: '{\n "mrenclave": "",\n<<<<<<< HEAD\n'})
    assert f"\n\n{NAME}:3:1: not JSON: " in app.failure(ENCLAVE)
    app.write({NAME: '{\n "schema": 2\n}\n'})
    assert f"\n\n{NAME}:2: its schema is 2, not 1\n  hint: a newer" in app.failure(ENCLAVE)
    app.run(OcclumExpect, ENCLAVE)
    assert app.package(ENCLAVE).is_dir()


def test_any_signer(app: Project) -> None:
    app.run(OcclumExpect, ENCLAVE)
    record = json.loads((app.root / NAME).read_text())
    app.write({NAME: json.dumps({**record, "mrsigner": "00" * 32})})
    told = app.failure(ENCLAVE)
    assert f"{NAME}: MRENCLAVE is as expected, and other values are not: 1\n" in told
    assert f"\n    enclave mrsigner: {'00' * 32} -> {record['mrsigner']}\n" in told
    app.write({NAME: json.dumps({**record, "mrsigner": None})})
    assert app.package(ENCLAVE).is_dir()
    app.run(OcclumExpect, ENCLAVE)
    assert json.loads((app.root / NAME).read_text())["mrsigner"] is None


@pytest.mark.parametrize(
    ("enclaves", "message"),
    [
        (
            enclave(expected_measurement="a.measurement.json", expected_mrenclave="0" * 64),
            f"{ENCLAVE} has `expected_mrenclave` and `expected_measurement`: leave the first one",
        ),
        (
            enclave(expected_measurement="Occlum.json"),
            "The 'expected_measurement' field in target app:enclave must be a file below its BUILD",
        ),
        (
            enclave(expected_measurement="/a.measurement.json"),
            "ends so, not '/a.measurement.json'.",
        ),
        (
            enclave("other", expected_measurement="./a.measurement.json")
            + enclave(expected_measurement="a.measurement.json"),
            f"{ENCLAVE} and app:other have one file, app/a.measurement.json, as `expected",
        ),
        (enclave(), "`occlum-expect` takes an `occlum_enclave` that says which file is to be w"),
    ],
)
def test_mistakes(app: Project, enclaves: str, message: str) -> None:
    app.write({"app/BUILD": BUILD + enclaves})
    with pytest.raises(ExecutionError) as caught:
        app.run(OcclumExpect, "app:")
    errors: tuple[Exception, ...] = caught.value.wrapped_exceptions
    assert message in str(errors[0])
    if "expected_mrenclave" in enclaves:
        assert message in app.failure(ENCLAVE)


def test_a_file_that_cannot_be_written(app: Project) -> None:
    (app.root / NAME).mkdir()
    try:
        with pytest.raises(ExecutionError, match=r"cannot write .*: not a regular file"):
            app.run(OcclumExpect, ENCLAVE)
    finally:
        (app.root / NAME).rmdir()


def test_whose_files_pants_knows(app: Project) -> None:
    """The files of all fields, by which `--changed-since` finds the enclave."""
    fields = {"config_file": "Occlum.json", "init": "init", "expected_measurement": Path(NAME).name}
    app.write({"app/BUILD": BUILD + enclave(**fields)})
    paths = tuple(f"app/{name}" for name in fields.values())
    for path in (*paths, "app/app.sh"):
        request = OwnersRequest((path,), owners_not_found_behavior=GlobMatchErrorBehavior.ignore)
        owners = app.request(Owners, request)
        assert (Address("app", target_name="enclave") in owners) is (path in paths)
