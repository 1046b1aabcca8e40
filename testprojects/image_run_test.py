"""Programs of images in `run` and `test`, by ./pants: no SGX, no chroot, no right of root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pants_runner import PantsRunner, pants_runner

PARTS = ("testprojects/hello", "testprojects/redis", "testprojects/toolchain")
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
REDIS = """
occlum_image_test(
    name="ping",
    image=":image",
    args=["/bin/redis-cli", "ping"],
    services=["/bin/redis-server --save '' --daemonize no"],
    wait_for=["tcp:6379"],
    expect_stdout="PONG\\n",
    timeout=60,
)
"""
PYTHON = """
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
occlum_image_test(
    name="imports",
    image=":image",
    args=["/usr/bin/python3", "-c", "import json, ssl, sqlite3; print(json.dumps(40 + 2))"],
    expect_stdout="42\\n",
)
"""
PYTHON_BOM = """
excludes: [__pycache__, dist-packages, test]
targets:
  - target: /usr/bin
    copy: [{files: [/usr/bin/python3]}]
  - target: /usr/lib
    copy: [{dirs: [/usr/lib/VERSION]}]
"""
REDIS_SERVER, PYTHON3 = Path("/usr/bin/redis-server"), Path("/usr/bin/python3")


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=PARTS) as runner:
        yield runner


def add(pants: PantsRunner, project: str, text: str) -> None:
    path = f"testprojects/{project}/BUILD"
    file = pants.build_root / path
    pants.write(path, (file.read_text() if file.exists() else "") + text)


def python_version() -> str:
    """The name of the directory of the machine's own Python; skips without one."""
    version = PYTHON3.resolve().name
    if not Path(f"/usr/lib/{version}/sqlite3").exists():
        pytest.skip("there is no /usr/bin/python3 with sqlite3 on this machine")
    return version


def test_what_passes_passes_and_is_kept(pants: PantsRunner) -> None:
    if not REDIS_SERVER.exists():
        pytest.skip("there is no redis-server on this machine")
    add(pants, "redis", REDIS)
    add(pants, "python", PYTHON)
    pants.write("testprojects/python/bom.yaml", PYTHON_BOM.replace("VERSION", python_version()))
    specs = [f"testprojects/{name}:" for name in ("hello", "redis", "python")]
    done = pants.run("test", *specs).expect(0)
    for name in ("hello:greets", "hello:greets_with_the_configuration", "redis:ping"):
        assert f"testprojects/{name} succeeded" in done.stderr
    assert "testprojects/python:imports succeeded" in done.stderr
    bom = pants.build_root / "testprojects/redis/bom.yaml"
    pants.write("testprojects/redis/bom.yaml", f"# Another comment\n{bom.read_text()}")
    done = pants.run("test", "testprojects/redis:").expect(0)
    assert "testprojects/redis:ping succeeded" in done.stderr
    assert "(memoized)" in done.stderr or "(cached locally)" in done.stderr


def test_what_fails_says_why(pants: PantsRunner) -> None:
    add(pants, "hello", WRONG)
    done = pants.run("test", "testprojects/hello:").expect(1)
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


def test_run(pants: PantsRunner) -> None:
    script = "/bin/hello; echo $OCCLUM; /bin/ls /host; exit 7"
    done = pants.run("run", "testprojects/hello:enclave", "--", "/bin/bash", "-c", script).expect(7)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Hello from the enclave: no motd", "yes"]
    assert "pants.toml" in lines  # the build root, from which an enclave would be started
    assert done.stderr.count("this is no enclave") == 1
    run = ("run", "--occlum-run-writable", "testprojects/hello:image", "--", "/bin/bash", "-c")
    assert pants.run(*run, "echo x > /new; /bin/cat /new").expect(0).stdout == "x\n"
