"""A Python service of packages, wheels and a script, without a Python of the host: in a chroot."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from another_machine import another_machine
from built_enclave import listing_of
from built_image import WAYS, built_image, image_root
from debian_mirror import DebianMirror, debian_mirror
from occlum_build.wheels.testing_wheels import lock_of, locked
from pants_runner import PantsRunner, pants_runner

WANTED = ("python3", "libstdc++6")
IMAGE = "debian:python_image"
BUILD = """\
occlum_packages(
    name="packages", archives={archives}, packages={wanted}, lockfile="./debian.lock"
)
occlum_wheels(name="wheels", lockfile="./python.lock", python="@VERSION@", glibc="2.36")
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="python_image", boms=[":bom", ":wheels"], sysroot=":packages")
file(name="check", source="check.py")
"""
BOM = """\
targets:
- target: /usr/bin
  copy: [{files: [/usr/bin/python3]}]
- target: /usr/lib
  copy: [{dirs: [/usr/lib/python@VERSION@]}]
- target: /app
  copy: [{files: [../check.py]}]
- target: /tmp
"""
CHECK = """\
import ssl
import sys

import numpy

inverse = numpy.linalg.inv(numpy.array([[2.0, 0.0], [0.0, 4.0]]))
print(sys.version.split()[0], ssl.OPENSSL_VERSION.split()[0], inverse.tolist(), sys.prefix)
print(numpy.__version__, numpy.__file__)
"""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> DebianMirror:
    return debian_mirror(
        tmp_path_factory.mktemp("mirror"), tmp_path_factory.mktemp("downloads"), WANTED
    )


def python_of(mirror: DebianMirror) -> str:
    """The version of Debian's Python, as 3.11."""
    packages = mirror.root.rglob("python3_*.deb")
    found = next(filter(None, (re.match(r"python3_(3\.\d+)\.", one.name) for one in packages)))
    return found[1]


@pytest.fixture(scope="module")
def wheel(mirror: DebianMirror, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """numpy, as pip has it for that Python."""
    folder = tmp_path_factory.mktemp("wheels")
    python = str(Path(os.environ["OCCLUM_VENV"], "bin/python"))
    command = [python, "-m", "pip", "download", "--only-binary", ":all:", "--no-deps", "numpy<3"]
    command += ["--python-version", python_of(mirror), "--platform", "manylinux2014_x86_64"]
    done = subprocess.run([*command, "-d", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip has no numpy for Python {python_of(mirror)}: {done.stderr}")
    (found,) = folder.iterdir()
    return found


def write(pants: PantsRunner, mirror: DebianMirror, wheel: Path) -> None:
    version = python_of(mirror)
    folder = mirror.write(pants, BUILD.replace("@VERSION@", version), WANTED)
    pants.write("debian/bom.yaml", BOM.replace("@VERSION@", version))
    pants.write("debian/check.py", CHECK)
    name, number, *_ = wheel.name.split("-")
    lock = lock_of([locked(name, number, [(wheel.as_uri(), wheel.read_bytes())])], [name])
    (folder / "python.lock").write_bytes(lock)


def build(pants: PantsRunner) -> None:
    pants.run("generate-lockfiles", "--resolve=debian:packages").expect(0)
    pants.run("package", IMAGE).expect(0)


@pytest.fixture(scope="module")
def pants(
    mirror: DebianMirror, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants")) as runner:
        write(runner, mirror, wheel)
        build(runner)
        yield runner


def test_another_machine_builds_the_same(
    pants: PantsRunner, mirror: DebianMirror, wheel: Path, tmp_path: Path
) -> None:
    with another_machine(tmp_path / "m", lambda one: write(one, mirror, wheel)) as second:
        build(second)
        assert listing_of(second.dist) == listing_of(pants.dist)


def test_every_file_says_where_it_is_from(pants: PantsRunner, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    manifest = json.loads((built_image(pants, IMAGE).folder / "manifest.json").read_text())
    found = {one["path"]: one.get("provenance", {}) for one in manifest["entries"]}
    path = "/usr/lib/python3/dist-packages/numpy/__init__.py"
    assert found[path]["bom"] == f"debian:wheels (numpy {version})"
    # What native modules of wheels need of packages, and only that.
    libraries = [path for path, why in found.items() if "numpy" in str(why.get("needed_by"))]
    assert any(path.endswith("/libc.so.6") for path in found)
    assert all(path.startswith(("/lib", "/usr/lib")) for path in libraries)


def test_what_is_installed_is_what_pip_installs(
    pants: PantsRunner, mirror: DebianMirror, wheel: Path, tmp_path: Path
) -> None:
    python = str(Path(os.environ["OCCLUM_VENV"], "bin/python"))
    command = [python, "-m", "pip", "install", "--no-deps", "--no-compile", "--no-index"]
    command.append("--ignore-requires-python")  # it compares with that of pip
    command += ["--target", str(tmp_path), "--only-binary", ":all:", "--python-version"]
    command += [python_of(mirror), "--platform", "manylinux2014_x86_64", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    installed = built_image(pants, IMAGE).tree / "usr/lib/python3/dist-packages"
    by_pip, ours = contents_of(tmp_path), contents_of(installed)
    assert ours == {path: one for path, one in by_pip.items() if not path.startswith("bin/")}
    assert len(ours) > 500


def contents_of(directory: Path) -> dict[str, bytes]:
    """What is there, but for what tells who installed it, and how."""
    told = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", ".pyc")
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith(told)
    }


@pytest.mark.parametrize("way", WAYS)
def test_numpy_and_ssl_in_the_image(pants: PantsRunner, mirror: DebianMirror, way: str) -> None:
    with image_root(built_image(pants, IMAGE), way) as root:
        first, second = root.run("/usr/bin/python3", "/app/check.py").splitlines()
        version, *rest = first.split(" ", 2)
        assert version.startswith(f"{python_of(mirror)}.")
        assert rest == ["OpenSSL", "[[0.5, 0.0], [0.0, 0.25]] /usr"]
        assert second.endswith(" /usr/lib/python3/dist-packages/numpy/__init__.py")
        assert root.run("/usr/bin/f2py", "-v").strip() == second.split()[0]
