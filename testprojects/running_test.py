"""Images of programs of this machine, built by ./pants, do their work in a chroot."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_image import WAYS, BuiltImage, ImageRoot, built_image, image_root
from pants_runner import PantsRunner, pants_runner
from system_tools import wait_for_file

PROJECTS = ("testprojects/hello", "testprojects/redis", "testprojects/python_app")
# The distribution's own, as its standard library has a known place.
PYTHON = Path("/usr/bin/python3")


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=PROJECTS) as runner:
        yield runner


@pytest.fixture(scope="module")
def hello(pants: PantsRunner) -> BuiltImage:
    return _package(pants, "testprojects/hello:image")


@pytest.mark.parametrize("way", WAYS)
def test_hello(hello: BuiltImage, way: str) -> None:
    with image_root(hello, way) as root:
        assert root.run("/bin/hello") == "Hello from the enclave: no motd\n"
        (root.path / "etc").mkdir(exist_ok=True)
        (root.path / "etc/motd").write_text("welcome\n")
        assert root.run("/bin/bash", "-c", "hello; ls /bin") == (
            "Hello from the enclave: welcome\nbash\ncat\nhello\nls\nsh\n"
        )


@pytest.fixture(scope="module")
def redis(pants: PantsRunner) -> BuiltImage:
    if not Path("/usr/bin/redis-server").exists():
        pytest.skip("there is no redis-server on this machine")
    return _package(pants, "testprojects/redis:image")


@pytest.mark.parametrize("way", WAYS)
def test_redis(redis: BuiltImage, way: str) -> None:
    server = ["/bin/redis-server", "--port", "0", "--unixsocket", "/tmp/redis", "--save", ""]
    with image_root(redis, way) as root, root.serving(*server) as process:
        wait_for_file(root.path / "tmp/redis", process)
        assert root.run("/bin/redis-cli", "-s", "/tmp/redis", "ping") == "PONG\n"
        assert root.run("/bin/redis-cli", "-s", "/tmp/redis", "incr", "n") == "1\n"


@pytest.fixture(scope="module")
def python_app(pants: PantsRunner) -> BuiltImage:
    version = _compile_extension(pants.build_root / "testprojects/python_app")
    return _package(pants, "testprojects/python_app:image", PYTHON_VERSION=version)


@pytest.mark.parametrize("way", WAYS)
def test_python_app(python_app: BuiltImage, way: str) -> None:
    with image_root(python_app, way) as root:
        assert _answer_of_app(root) == {
            "abs": 7,
            "fnv1a": _fnv1a(b"occlum"),
            "sqlite": 42,
            "ssl": "OpenSSL",
        }


def _answer_of_app(root: ImageRoot) -> object:
    with root.serving("/usr/bin/python3", "/app/app.py") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.strip().isdigit(), first + process.communicate()[0]
        connection = http.client.HTTPConnection("127.0.0.1", int(first), timeout=30)
        connection.request("GET", "/")
        return json.load(connection.getresponse())


def _package(pants: PantsRunner, address: str, **env: str) -> BuiltImage:
    pants.run("package", address, env=env).expect(0)
    return built_image(pants, address)


def _compile_extension(project: Path) -> str:
    """Build _fnv.so in a copy of python_app; the version of Python that it is for."""
    script = "import sysconfig as s; print(s.get_python_version(), s.get_path('include'))"
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON} on this machine")
    version, include = subprocess.check_output([PYTHON, "-I", "-c", script], text=True).split()
    for needed in (include + "/Python.h", f"/usr/lib/python{version}/sqlite3"):
        if not Path(needed).exists():
            pytest.skip(f"there is no {needed} on this machine")
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc on this machine")
    source, output = project / "_fnv.c", project / "_fnv.so"
    subprocess.run(["gcc", "-shared", "-fPIC", f"-I{include}", "-o", output, source], check=True)
    return version


def _fnv1a(data: bytes) -> int:
    hashed = 0xCBF29CE484222325
    for byte in data:
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return hashed
