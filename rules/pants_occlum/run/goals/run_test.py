from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.run import RunRequest
from pants.engine.addresses import Address
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.rules import QueryRule

from occlum_build.run.testing import SECONDS
from pants_occlum.run.goals.run import RunEnclaveFieldSet, RunImageFieldSet
from pants_occlum.run.goals.test_test import APP, error_of, write_enclave
from pants_occlum.testing import Project


@pytest.fixture
def app(tmp_path: Path) -> Project:
    project = Project(
        tmp_path,
        QueryRule(RunRequest, [RunImageFieldSet]),
        QueryRule(RunRequest, [RunEnclaveFieldSet]),
    )
    project.default_sysroot = "/"
    project.write(APP)
    (project.root / "app/greet.sh").chmod(0o755)
    return project


def request(app: Project, name: str, *options: str) -> RunRequest:
    app.runner.set_options([*app.global_args, *options])
    target = app.runner.get_target(Address("app", target_name=name))
    kind: Any = RunImageFieldSet if name == "image" else RunEnclaveFieldSet
    return app.runner.request(RunRequest, [kind.create(target)])


def run(app: Project, found: RunRequest, *program: str, **env: str) -> tuple[int, str, str]:
    """As the goal runs it: in the build root, with the environment outside."""
    done = subprocess.run(
        [*found.args, *program],
        cwd=app.root,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **env},
    )
    return done.returncode, done.stdout, done.stderr


def test_an_image(app: Project) -> None:
    found = request(app, "image", "--occlum-run-env=['NAME=x y']")
    code, out, err = run(app, found, "/bin/greet.sh", "a")
    assert (code, out) == (0, "hello a x y\n"), err
    assert err.count("this is no enclave") == 1
    code, out, err = run(app, found, "/bin/bash", "-c", "echo > /new")
    assert (code, "Read-only file system" in err) == (1, True)
    tree = app.root / ".pants.d/occlum/run/app.image/image"
    assert stat.S_IMODE((tree / "bin/greet.sh").stat().st_mode) == 0o755


def test_messages_name_what_pants_takes(app: Project) -> None:
    code, _, err = run(app, request(app, "image"))
    assert (code, err) == (
        1,
        "error: no program is named after `--`\n  hint: pants run app:image -- /bin/program\n",
    )
    _, _, err = run(app, request(app, "image"), "/bin/greet.sh")
    assert "with the image read-only (--occlum-run-writable: what is written is" in err
    code, _, err = run(app, request(app, "image", "--occlum-run-env=['x']"), "/bin/greet.sh")
    assert (code, err) == (1, "error: --occlum-run-env takes NAME=VALUE, not x\n")


def test_what_was_done_to_the_tree_is_undone(app: Project) -> None:
    request(app, "image")
    tree = app.root / ".pants.d/occlum/run/app.image/image"
    (tree / "bin/greet.sh").unlink()
    (tree / "more").mkdir()
    found = request(app, "image", "--occlum-run-writable")
    assert not (tree / "more").exists()
    code, out, err = run(app, found, "/bin/bash", "-c", "echo x > /new; PATH=/bin; cat /new")
    assert (code, out) == (0, "x\n"), err


def test_an_enclave(app: Project) -> None:
    write_enclave(app)
    found = request(app, "enclave")
    code, out, err = run(app, found, "/bin/greet.sh", NAME="outside", A="not")
    assert (code, out) == (0, "hello outside\n"), err
    code, out, err = run(app, found, "/bin/bash")
    assert "below no entry point: /bin/greet.sh" in err
    config = json.loads((app.root / ".pants.d/occlum/run/app.enclave/Occlum.json").read_text())
    assert config["env"] == {"default": ["A=1"], "untrusted": ["NAME"]}


def test_an_image_that_cannot_be_built(app: Project) -> None:
    (app.root / "app/greet.sh").unlink()
    with pytest.raises(ExecutionError) as caught:
        request(app, "image")
    assert "app:image cannot be built" in error_of(caught.value)


def test_a_trace(app: Project) -> None:
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this machine")
    found = request(app, "image", "--occlum-run-trace")
    code, out, err = run(app, found, "/bin/bash", "-c", ": < /etc/debian_version")
    assert (code, out) == (0, "")
    assert "    - /etc/debian_version  # " in err
    record = json.loads((app.root / "dist/app/image.trace.json").read_text())
    assert (record["schema"], record["runs"]) == (1, 1)
    assert "--root" in found.args
    assert not {"--record", "--root"} & {*request(app, "image").args}
