"""Images and enclaves are the same, byte for byte, whoever builds them, wherever and however.

They are built twice, with everything varied that should not matter; in the spirit of Debian's
reprotest. Each process of both builds is watched, to know that the variations reached it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from another_machine import AS_NOBODY, NOBODY
from built_enclave import TOOLCHAIN, built_enclave, image_key_file, package, signing_key_files
from pants_runner import PantsRunner, pants_runner
from watched_build import TOOL, Watch, make_watch

PARTS = ("testprojects/hello", "testprojects/monorepo", TOOLCHAIN)
# The distribution's own, as its standard library has a known place.
PYTHON = Path("/usr/bin/python3")
BOM = """\
excludes: [__pycache__, config-*, dist-packages, ensurepip, idlelib, sitecustomize.py, test]
targets:
- target: /usr/bin
  copy:
  - files: [{{name: /usr/bin/python{version}, rename: python3}}]
- target: /usr/lib
  copy:
  - dirs: [/usr/lib/python{version}]
"""
BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
occlum_enclave(name="open", image=":image", toolchain="//testprojects/toolchain")
occlum_enclave(
    name="encrypted", image=":image", toolchain="//testprojects/toolchain", encrypt=True
)
oci_image(name="oci", image="//testprojects/hello:image", entry_point=["/bin/hello"])
"""
ENCLAVES = ("python:open", "python:encrypted")
ADDRESSES = ("testprojects/hello:image", "python:oci", *ENCLAVES)
# With an archive, and a tool that Pants' Python backend builds.
GREETER = "testprojects/monorepo/greeter:image"
# The copy of the project has no lock files; the tool in the greeter has no requirements.
OPTIONS = ("--no-python-enable-resolves",)
FRUGAL = ("--no-pantsd", "--rule-threads-core=3", "--process-execution-local-parallelism=1")
WITH_UMASK = ("sh", "-c", 'umask "$0" && exec "$@"')
VARIED = ("user", "umask", "cpus", "home", "lang", "time_zone", "hash_seed")


@dataclass(frozen=True)
class Build:
    """One of the two builds, when it has ended."""

    pants: PantsRunner
    watch: Watch

    def uses_pantsd(self) -> bool:
        return bool(self.pants.pantsd_pids())


@pytest.fixture(scope="module")
def sign_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return signing_key_files(tmp_path_factory.mktemp("sign key"))[0]


@pytest.fixture(scope="module")
def here(sign_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """The usual build."""
    top = tmp_path_factory.mktemp("here")
    watch = make_watch(tmp_path_factory.mktemp("watch"), turn_round=False)
    env = {**watch.env, "LANG": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"}
    wrapper = (*WITH_UMASK, "022")
    with pants_runner(
        top / "pants", parts=PARTS, backends=None, options=OPTIONS, env=env, wrapper=wrapper
    ) as runner:
        _write_project(runner)
        keys = _key_options(sign_key, tmp_path_factory.mktemp("keys"))
        package(runner, *keys, *ADDRESSES, GREETER)
        yield Build(runner, watch)


@pytest.fixture(scope="module")
def elsewhere(sign_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Another checkout, of another user, that shares nothing with the first."""
    top = tmp_path_factory.mktemp("another user")
    watch = make_watch(tmp_path_factory.mktemp("turning"), turn_round=True)
    env = {**watch.env, "LANG": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"}
    user = AS_NOBODY if os.geteuid() == 0 else ()
    cpu = str(min(os.sched_getaffinity(0)))
    wrapper = ("taskset", "--cpu-list", cpu, *WITH_UMASK, "077")
    with pants_runner(
        top / "s",
        parts=PARTS,
        backends=None,
        options=(*OPTIONS, *FRUGAL),
        env=env,
        wrapper=(*user, *wrapper),
    ) as runner:
        _write_project(runner)
        for path in [runner.build_root, *runner.build_root.rglob("*")]:
            if not path.is_symlink():  # the modes that git gives with such a umask
                path.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
        if user:
            for path in [top, *top.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        keys = _key_options(sign_key, tmp_path_factory.mktemp("other keys"))
        package(runner, *keys, *ADDRESSES)
        # The one build by the usual user, which its own watch sees.
        other_watch = make_watch(tmp_path_factory.mktemp("also turning"), turn_round=True)
        same_user = replace(runner, wrapper=wrapper, env={**env, **other_watch.env})
        package(same_user, *keys, GREETER)
        yield Build(runner, watch)


def _write_project(runner: PantsRunner) -> None:
    runner.write("python/BUILD", BUILD)
    runner.write("python/bom.yaml", BOM.format(version=_python_version()))


def _key_options(sign_key: Path, folder: Path) -> tuple[str, str]:
    """The options that name copies of the keys in a new folder."""
    image_key = image_key_file(folder / "image-key")
    copy = shutil.copy2(sign_key, folder / "key.pem")
    return f"--occlum-image-key-file={image_key}", f"--occlum-sign-key-file={copy}"


def _python_version() -> str:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON} on this machine")
    script = "import sysconfig; print(sysconfig.get_python_version())"
    return subprocess.check_output([PYTHON, "-I", "-c", script], text=True).strip()


def contents(folder: Path) -> dict[str, tuple[str, str]]:
    """Path below a folder -> type with mode, as ls shows them, and SHA-256 or link target."""
    return {path.relative_to(folder).as_posix(): _content(path) for path in folder.rglob("*")}


def _content(path: Path) -> tuple[str, str]:
    mode = stat.filemode(path.lstat().st_mode)
    if path.is_symlink():
        return mode, os.readlink(path)
    return mode, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def differences(one: Path, other: Path) -> list[str]:
    """The paths below two folders that are not the same in both, in name, mode and content."""
    first, second = contents(one), contents(other)
    return sorted(path for path in {*first, *second} if first.get(path) != second.get(path))


def test_all_output_is_the_same(here: Build, elsewhere: Build) -> None:
    assert differences(here.pants.dist, elsewhere.pants.dist) == []

    of_open, of_encrypted = (built_enclave(here.pants, address) for address in ENCLAVES)
    assert of_open.mrenclave != of_encrypted.mrenclave
    names = {"image.tar", "image.digest", "manifest.json", "occlum_instance.tar.gz", "index.json"}
    assert names <= {path.name for path in here.pants.dist.rglob("*")}
    manifest = (of_open.folder / "manifest.json").read_text()
    assert '"/usr/bin/python3"' in manifest
    assert f"/usr/lib/python{_python_version()}/json/" in manifest


@pytest.mark.parametrize("what", VARIED)
def test_a_variation_reached_the_build(here: Build, elsewhere: Build, what: str) -> None:
    if what == "user" and os.geteuid() != 0:
        pytest.skip("only root can build as another user")
    if what == "cpus" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("this machine has one CPU")
    one, other = here.watch.launcher(), elsewhere.watch.launcher()

    assert getattr(one, what) != getattr(other, what)


def test_tool_processes_are_varied_too(here: Build, elsewhere: Build) -> None:
    for build in (here, elsewhere):
        tools = [one for one in build.watch.seen() if one.program == TOOL]
        launcher = build.watch.launcher()
        assert len(tools) > len(ENCLAVES)
        assert {one.user for one in tools} == {launcher.user}
        assert {one.cpus for one in tools} == {launcher.cpus}


def test_directories_were_read_in_the_other_order(
    here: Build, elsewhere: Build, tmp_path: Path
) -> None:
    python = Path(os.environ["OCCLUM_VENV"], "bin/python")
    assert here.watch.turned_round() == set()
    assert {TOOL, str(python)} <= elsewhere.watch.turned_round()
    for name in "abc":
        (tmp_path / name).touch()
    script = f"import os; print(*os.listdir({str(tmp_path)!r}), sep='')"
    orders = [
        subprocess.check_output([python, "-c", script], env=build.watch.env, text=True).strip()
        for build in (here, elsewhere)
    ]
    assert orders[0] == orders[1][::-1]


def test_pantsd_ran_in_one_of_the_builds(here: Build, elsewhere: Build) -> None:
    assert here.uses_pantsd()
    assert not elsewhere.uses_pantsd()


def test_the_comparison_sees_every_difference(here: Build, tmp_path: Path) -> None:
    original, copy = here.pants.dist / "testprojects.hello", tmp_path / "copy"
    shutil.copytree(original, copy, symlinks=True)
    assert differences(original, copy) == []
    changed = sorted(path for path in copy.rglob("bin/*") if path.is_file())
    script = next(path for path in changed if path.name == "hello")
    link = next(path for path in changed if path.is_symlink())

    with script.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    program = next(path for path in changed if path.name == "cat")
    program.chmod(program.stat().st_mode ^ 0o001)
    link.unlink()
    link.symlink_to("cat")
    (copy / "empty").mkdir()
    next(copy.rglob("image.digest")).unlink()

    expected = {path.relative_to(copy).as_posix() for path in (script, program, link)}
    assert set(differences(original, copy)) == {*expected, "empty", "image/image.digest"}
