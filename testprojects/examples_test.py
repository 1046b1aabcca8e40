"""The repository in examples/, as somebody has it who copies it and has nothing but the wheels."""

from __future__ import annotations

import lzma
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import ARCHIVE, built_enclave
from debian_mirror import DebianMirror, debian_mirror
from foreign_repository import foreign_repository
from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN
from occlum_build.version import VERSION
from pages import blocks_of
from pants_runner import PantsRunner
from system_tools import tool

EXAMPLES = Path("examples")
LANGUAGES = ("c", "go", "hello", "java", "python", "redis")
PYTHON = Path("/usr/bin/python3")
# What the examples run, each of a package of Debian that .ci/run installs.
TOOLS = ("gcc", "go", "javac", "jlink")
DATA_ENCLAVE = "hello:data_enclave"


def build_file(name: str) -> str:
    return (EXAMPLES / name / "BUILD").read_text()


def expected_mrenclave() -> str:
    (found,) = re.findall(r'expected_mrenclave="([0-9a-f]{64})"', build_file("hello"))
    return str(found)


def with_mirror(build: str, mirror: DebianMirror) -> str:
    """The archive and its suite are those of this machine's apt."""
    theirs, count = re.subn(r"occlum_archive\(.*?^\)\n", mirror.targets, build, flags=re.S | re.M)
    assert count == 1 and '":archive"' in theirs
    return theirs.replace('[":archive"]', str(mirror.addresses))


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """The examples, with packages of this machine's Debian for redis."""
    for name in TOOLS:
        tool(name)
    mirror = debian_mirror(
        tmp_path_factory.mktemp("mirror"), tmp_path_factory.mktemp("downloads"), ["redis-server"]
    )
    version = PYTHON.resolve().name.replace("python", "")
    env = {"PYTHON_VERSION": version}
    with foreign_repository(
        tmp_path_factory.mktemp("pants"), parts=[str(EXAMPLES)], env=env
    ) as runner:
        for path in (runner.build_root / EXAMPLES).iterdir():
            shutil.move(path, runner.build_root)
        (runner.build_root / EXAMPLES).rmdir()
        shutil.copy(KEYRING_OF_DEBIAN, runner.build_root / "redis/debian.gpg")
        runner.write("redis/BUILD", with_mirror(build_file("redis"), mirror))
        yield runner


def test_all_examples(pants: PantsRunner) -> None:
    """Everything is built and tested with the commands that the READMEs have."""
    pants.run("generate-lockfiles", "--resolve=redis:debian").expect(0)
    pants.run("package", "::").expect(0)
    assert built_enclave(pants, DATA_ENCLAVE).mrenclave == expected_mrenclave()
    for name in LANGUAGES:
        assert re.fullmatch("[0-9a-f]{64}", built_enclave(pants, f"{name}:enclave").mrenclave)

    told = pants.run("test", "::").expect(0).stderr
    for name in LANGUAGES:
        assert f"{name}:test succeeded" in told
    assert "python:pex_test succeeded" in told
    pants.run("lint", "::").expect(0)
    assert pants.run("tailor", "--check", "::").expect(0).stdout == ""


def test_binary_of_the_backend_for_go(pants: PantsRunner) -> None:
    """As docs/languages.md has it; at a fixed address it would be an error, as an entry point."""
    (block,) = blocks_of(Path("docs/languages.md"))
    pants.write(block.file, block.text)
    for name in ("main.go", "go.mod"):
        pants.write(f"binary/{name}", (EXAMPLES / "go" / name).read_text())
    backend = "--backend-packages=+['pants.backend.experimental.go']"
    assert "[WARN]" not in pants.run(backend, "package", "binary:enclave").expect(0).stderr
    told = pants.run(backend, "run", "binary:image", "--", "/bin/greet", "you").expect(0)
    assert told.stdout == "Hello from Go: you\n"


@pytest.mark.parametrize("name", LANGUAGES)
def test_each_example_is_whole(name: str) -> None:
    for target in ("image", "enclave", "image_test"):
        assert f"occlum_{target}(" in build_file(name)
    readme = (EXAMPLES / name / "README.md").read_text()
    assert f"pants test {name}:" in readme and len(readme.splitlines()) < 30


def test_all_are_listed() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {*LANGUAGES, "toolchain"}
    text = (EXAMPLES / "README.md").read_text()
    assert [name for name in folders if f"[{name}/]({name}/)" not in text] == []


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "examples/pants.toml"])
def test_the_version_is_that_of_this_checkout(page: str) -> None:
    told = re.findall(
        r"(?:pants-occlum(?:\[\w+\])?|occlum-build)==([^\s\"]+)", Path(page).read_text()
    )
    assert told and set(told) == {VERSION}


def test_the_toolchain_is_that_of_the_tests() -> None:
    ours, theirs = Path(ARCHIVE), EXAMPLES / "toolchain/stand-in-occlum.tar.xz"
    assert lzma.decompress(theirs.read_bytes()) == lzma.decompress(ours.read_bytes())


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "examples/hello/README.md"])
def test_pages_tell_the_measurement(page: str) -> None:
    assert set(re.findall(r"\b[0-9a-f]{64}\b", Path(page).read_text())) == {expected_mrenclave()}
