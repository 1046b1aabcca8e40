"""Programs of images in `run` and `test`, by ./pants: no SGX, no chroot, no right of root."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pants_runner import PantsRunner, pants_runner

PROJECTS = ("hello", "redis", "python_app", "monorepo")
PARTS = (*(f"testprojects/{name}" for name in PROJECTS), "testprojects/toolchain")
PASSING = (
    "hello:greets",
    "hello:greets_with_the_configuration",
    "redis:ping",
    "python_app:imports",
    "monorepo/clock:tells_the_time",
)
WRONG = """
occlum_image_test(
    name="wrong",
    image=":image",
    args=["/bin/hello"],
    expect_exit=3,
    expect_stdout="Good bye\\n",
    expect_files={"/tmp/log": "re:"},
)
occlum_image_test(name="gone", image=":image", args=["/bin/helo"])
"""
REDIS_SERVER, PYTHON3 = Path("/usr/bin/redis-server"), Path("/usr/bin/python3")


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """With the targets of the projects; the copy of the project has no lock files."""
    for program in (REDIS_SERVER, PYTHON3):
        if not program.exists():
            pytest.skip(f"there is no {program} on this machine")
    version = PYTHON3.resolve().name.replace("python", "")
    if not Path(f"/usr/lib/python{version}/sqlite3").exists():
        pytest.skip(f"there is no {PYTHON3} with sqlite3 on this machine")
    with pants_runner(
        tmp_path_factory.mktemp("pants"),
        parts=PARTS,
        backends=None,
        options=("--no-python-enable-resolves",),
        env={"PYTHON_VERSION": version},
    ) as runner:
        yield runner


def test_images_are_tested(pants: PantsRunner) -> None:
    """All that pass; then, with these as they were kept, some that fail, and why."""
    done = pants.run("test", *(f"testprojects/{name}::" for name in PROJECTS)).expect(0)
    for name in PASSING:
        assert f"testprojects/{name} succeeded" in done.stderr
    written = {one.stem for one in (pants.dist / "test/reports").iterdir()}
    assert written == {f"testprojects.{re.sub('[/:]', '.', name)}" for name in PASSING}

    for name, text in {"redis/bom.yaml": "# Another comment\n", "hello/BUILD": WRONG}.items():
        path = f"testprojects/{name}"
        pants.write(path, text + (pants.build_root / path).read_text())
    done = pants.run("test", "testprojects/hello:", "testprojects/redis:").expect(1)
    (ping,) = (line for line in done.stderr.splitlines() if "testprojects/redis:ping" in line)
    assert "(memoized)" in ping or "(cached locally)" in ping
    assert "testprojects/hello:greets succeeded" in done.stderr
    assert "testprojects/hello:wrong failed" in done.stderr
    assert (
        "exit code: expected 3, found 0\n"
        "--- standard output (expected)\n"
        "+++ standard output (found)\n"
        "@@ -1 +1 @@\n"
        "-Good bye\n"
        "+Hello from the enclave: no motd\n"
        "/tmp/log: expected a file, found none\n"
    ) in done.stderr
    assert "there is no program /bin/helo in the image\n  hint: did you mean /bin/hello?" in (
        done.stderr
    )


def test_a_trace_tells_what_the_image_lacks(pants: PantsRunner) -> None:
    """Python without its compiled modules, as a person would miss them; one paste mends it."""
    python = Path("/usr/bin/python3").resolve()
    library = Path("/usr/lib", python.name)
    if shutil.which("strace") is None or not (library / "sqlite3").exists():
        pytest.skip("there is no strace, or no python3 with sqlite3 in /usr/bin")
    path = "testprojects/python_wrong"
    bom = f"""\
excludes: [__pycache__, dist-packages, lib-dynload, sitecustomize.py, test]
targets:
- target: /usr/bin
  copy: [{{files: [{python}]}}]
- target: /usr/lib
  copy: [{{dirs: [{library}]}}]
- {{target: /, mkdirs: [dev, proc]}}
"""
    pants.write(f"{path}/bom.yaml", bom)
    build = 'occlum_bom(name="bom", source="bom.yaml")\nocclum_image(name="image", boms=[":bom"])\n'
    pants.write(f"{path}/BUILD", build)
    env = "--occlum-run-env=['HOME=/', 'LC_ALL=C']"
    program = ("--", str(python), "-c", "import sqlite3; print('fine')")
    done = pants.run("run", env, "--occlum-run-trace", f"{path}:image", *program).expect(0)
    assert done.stdout == "fine\n"
    lines = done.stderr.splitlines()
    start = lines.index("targets:") + 1
    snippet = [line for line in lines[start : start + 10] if line.startswith((" ", "-"))]
    copied = [line.split()[1] for line in snippet if "  # " in line]
    assert copied == [str(next((library / "lib-dynload").glob("_sqlite3.*.so")))]
    record = pants.build_root / "dist/testprojects.python_wrong/image.trace.json"
    assert json.loads(record.read_text())["runs"] == 1
    pants.write(f"{path}/bom.yaml", bom + "".join(f"{line}\n" for line in snippet))
    assert pants.run("run", env, f"{path}:image", *program).expect(0).stdout == "fine\n"


def test_run(pants: PantsRunner) -> None:
    script = "/bin/hello; echo $OCCLUM; /bin/ls /host; exit 7"
    done = pants.run("run", "testprojects/hello:enclave", "--", "/bin/bash", "-c", script).expect(7)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Hello from the enclave: no motd", "yes"]
    assert "pants.toml" in lines  # the build root, from which an enclave would be started
    assert done.stderr.count("this is no enclave") == 1
    run = ("run", "--occlum-run-writable", "testprojects/hello:image", "--", "/bin/bash", "-c")
    assert pants.run(*run, "echo x > /new; /bin/cat /new").expect(0).stdout == "x\n"


@pytest.mark.parametrize(
    ("address", "program", "told"),
    [
        ("redis:image", ("/bin/redis-cli", "--version"), "redis-cli "),
        ("python_app:python", ("/usr/bin/python3", "-c", "import ssl; print(len('abc'))"), "3\n"),
        ("monorepo/clock:image", ("/bin/sh", "/app/clock.sh"), "It is "),
    ],
)
def test_run_of_each_project(
    pants: PantsRunner, address: str, program: tuple[str, ...], told: str
) -> None:
    env = "--occlum-run-env=['PATH=/bin']"
    done = pants.run("run", env, f"testprojects/{address}", "--", *program).expect(0)
    assert done.stdout.startswith(told)
