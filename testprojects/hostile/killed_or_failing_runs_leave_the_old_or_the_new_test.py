"""A command that is killed, or whose disk fails, leaves what was there or what it should make.

Each system call of each command that writes is hit: each fails with EIO; those that change files
fail with ENOSPC, too, and before each of them comes SIGKILL; from each on that needs space the disk
is full. Each test records how many runs were hit.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostile.injected import KILL, STOP, Call, Injector, Ran, command
from hostile.killed import KEY, RANDOM, Record, Scene, left_over, seen

TESTPROJECTS = Path("testprojects").resolve()


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(["hostile.in_one_process"]) as one:
        yield one


@pytest.fixture(scope="module")
def other() -> Iterator[Injector]:
    """For a second run while one of the first injector's is stopped."""
    with Injector(["hostile.in_one_process"]) as one:
        yield one


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toolchain")
    maker = TESTPROJECTS / "toolchain/make_toolchain.py"
    subprocess.run([sys.executable, maker, path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def sign_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "sign.pem"
    path.write_bytes((TESTPROJECTS / "vectors/sign/test_key.pem").read_bytes())
    path.chmod(0o600)
    return path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def image_key(tmp_path: Path) -> Path:
    path = tmp_path / "image.key"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/f").write_text("content")
    (tmp_path / "tree/l").symlink_to("d/f")
    return tmp_path / "tree"


@dataclass(frozen=True)
class Instance:
    """An instance in the working directory, of the smallest image that can be built."""

    injector: Injector
    work: Path
    toolchain: Path
    sign_key: Path

    def build(self, *more: str) -> Call:
        options = ("--toolchain", self.toolchain, "--sign-key", self.sign_key, *more)
        return command("build", *options, cwd=self.work)

    def others(self) -> tuple[Call, ...]:
        return (
            self.build("--expected-mrenclave", "0" * 64, "-f"),
            command("occlum", "status", cwd=self.work),
            self.build("--sign-key", "/nowhere"),
        )

    def run(self, call: Call) -> None:
        ran = self.injector.run(call)
        assert ran.code == 0, ran

    def change_image(self) -> None:
        (self.work / "image/more").write_text("more")


@pytest.fixture
def instance(injector: Injector, work: Path, toolchain: Path, sign_key: Path) -> Instance:
    one = Instance(injector, work, toolchain, sign_key)
    one.run(command("init", "--toolchain", toolchain, cwd=work))
    shutil.rmtree(work / "image")
    for name in ("dev", "proc", "tmp", "host", "root", "ext2", "bin"):
        (work / "image" / name).mkdir(parents=True)
    shutil.rmtree(work / "initfs/etc")
    return one


def test_first_build(injector: Injector, instance: Instance, record_property: Record) -> None:
    scene = Scene(injector, instance.work, instance.build(), others=instance.others())
    scene.hit_all(record_property, with_reads=False)


def test_rebuild(injector: Injector, instance: Instance, record_property: Record) -> None:
    instance.run(instance.build())
    instance.change_image()
    scene = Scene(injector, instance.work, instance.build(), others=instance.others())
    scene.hit_all(record_property)


def test_unchanged_build_that_empties_run(
    injector: Injector, instance: Instance, record_property: Record
) -> None:
    instance.run(instance.build())
    (instance.work / "run/mount/__ROOT/written").write_text("by an enclave")
    scene = Scene(injector, instance.work, instance.build())
    scene.hit_all(record_property, with_reads=False)


def test_package(injector: Injector, instance: Instance, record_property: Record) -> None:
    instance.run(instance.build())
    (instance.work / "app.tar.gz").write_text("an old archive")
    call = command("package", "--debug", "app", cwd=instance.work)
    Scene(injector, instance.work, call).hit_all(record_property)


def test_init_over_files_that_are_there(
    injector: Injector, work: Path, toolchain: Path, record_property: Record
) -> None:
    (work / "image/etc").mkdir(parents=True)
    (work / "image/etc").chmod(0o700)
    (work / "image/etc/own").write_text("kept")
    (work / "image/etc/hosts").write_text("replaced")
    (work / "Occlum.json").write_text("replaced")
    call = command("init", "--toolchain", toolchain, cwd=work)
    Scene(injector, work, call).hit_all(record_property)


def test_new(injector: Injector, work: Path, toolchain: Path, record_property: Record) -> None:
    call = command("new", "above/app", "--toolchain", toolchain, cwd=work)
    Scene(injector, work, call).hit_all(record_property)


def test_sefs_zip(
    injector: Injector, work: Path, tree: Path, image_key: Path, record_property: Record
) -> None:
    (work / "macs").mkdir()
    (work / "macs/old.mac").write_text("an old one")
    call = command("sefs", "zip", tree, "image", "macs/old.mac", "--key", image_key, cwd=work)
    Scene(injector, work, call).hit_all(record_property)


def test_sefs_unzip(injector: Injector, work: Path, tree: Path, record_property: Record) -> None:
    zipped = injector.run(command("sefs", "zip", tree, "image", "mac", cwd=work))
    assert zipped.code == 0, zipped
    call = command("sefs", "unzip", "image", "out", cwd=work)
    Scene(injector, work, call).hit_all(record_property)


@pytest.mark.parametrize("has_old", [False, True])
def test_gen_conf(
    injector: Injector, work: Path, toolchain: Path, record_property: Record, has_old: bool
) -> None:
    (work / "two").mkdir()
    shutil.copyfile(toolchain / "opt/occlum/etc/template/Occlum.json", work / "Occlum.json")
    if has_old:
        (work / "e.xml").write_text("old")
        (work / "two/sys.json").write_text("old")
    mac = KEY.strip()
    call = command(
        *("gen-conf", "--config", "Occlum.json", "--image-mac", mac, "--initfs-mac", mac),
        *("--enclave-xml", "e.xml", "--sys-json", "two/sys.json"),
        cwd=work,
    )
    Scene(injector, work, call).hit_all(record_property)


@pytest.mark.parametrize("has_old", [False, True])
def test_gen_image_key(
    injector: Injector, work: Path, record_property: Record, has_old: bool
) -> None:
    if has_old:
        (work / RANDOM).write_text("an old one")
        (work / "link").symlink_to(RANDOM)
    arguments = ["--force", "link"] if has_old else [RANDOM]
    call = command("gen-image-key", *arguments, cwd=work)
    scene = Scene(injector, work, call)
    scene.hit_all(record_property)
    # Nothing of a key that nobody knows of.
    assert not left_over(seen(work))


def test_protect(injector: Injector, work: Path, record_property: Record) -> None:
    (work / "f").write_text("content")
    (work / "f.protected").write_text("old")
    Scene(injector, work, command("protect", "f", cwd=work)).hit_all(record_property)


@pytest.mark.parametrize("verb", ["sign", "gendata"])
def test_sign(
    injector: Injector,
    work: Path,
    toolchain: Path,
    sign_key: Path,
    record_property: Record,
    verb: str,
) -> None:
    (enclave,) = (toolchain / "opt/occlum/build/lib").glob("libocclum-libos.so.0.*")
    (work / "signed.so").write_text("old")
    options = ["--key", sign_key, "--sigstruct", "sigstruct"] if verb == "sign" else []
    call = command(verb, "--enclave", enclave, "--out", "signed.so", *options, cwd=work)
    Scene(injector, work, call).hit_all(record_property)


def test_kills_at_any_time(injector: Injector, instance: Instance, record_property: Record) -> None:
    """Kills that come from outside, wherever the run is just then."""
    instance.run(instance.build())
    instance.change_image()
    scene = Scene(injector, instance.work, instance.build(), others=instance.others())
    scene.start()
    began = time.monotonic()
    injector.run(scene.call)
    seconds = time.monotonic() - began
    times = random.Random(2024)
    killed = 0
    for scene.hits in range(1, 201):
        scene.reset()
        ran = injector.run(scene.call, kill_after=times.uniform(0.001, seconds))
        killed += ran.code == KILL
        scene.check_next(ran)
    assert killed > 100
    record_property("kills at random", killed)


@pytest.mark.parametrize("first_has_key", [False, True])
def test_two_writers_of_one_image_and_mac_file(
    injector: Injector,
    other: Injector,
    work: Path,
    tree: Path,
    image_key: Path,
    record_property: Record,
    first_has_key: bool,
) -> None:
    """One is stopped before each of its changes, while the other makes both or is told to wait."""
    key = ["--key", image_key] if first_has_key else []
    slow = command("sefs", "zip", tree, "image", "mac", *key, cwd=work)
    fast = command("sefs", "zip", "--", work.parent / "tree2", "image", "mac", cwd=work)
    shutil.copytree(tree, work.parent / "tree2", symlinks=True)
    (work.parent / "tree2/of the fast one").touch()
    scene = Scene(injector, work, slow)
    scene.start()
    assert other.run(fast).code == 0
    by_fast = seen(work)
    answers: list[Ran] = []
    stops = injector.each(
        slow, STOP, scene.reset, meanwhile=lambda: answers.append(other.run(fast))
    )
    stopped = 0
    for ran in stops:
        stopped += 1
        answer = answers.pop()
        found = seen(work)
        assert not ran.has_traceback and not answer.has_traceback
        assert [ran.code, answer.code] in ([0, 1], [1, 0]), f"{ran}\n{answer}"
        assert found == (scene.new if ran.code == 0 else by_fast), f"{ran}\n{answer}"
    record_property("times that one of two writers was stopped", stopped)


def test_an_archive_is_of_one_build(
    injector: Injector, other: Injector, instance: Instance, record_property: Record
) -> None:
    """A build beside `package` waits for it, and `package` beside a build for that."""
    instance.run(instance.build())
    package = command("package", "--debug", "app", cwd=instance.work)
    scene = Scene(injector, instance.work, package)
    scene.start()
    instance.change_image()
    answers: list[Ran] = []

    def build() -> None:
        answers.append(other.run(instance.build()))

    stops = 0
    for ran in injector.each(package, STOP, lambda: None, meanwhile=build):
        stops += 1
        archive = (instance.work / "app.tar.gz").read_bytes()
        answer = answers.pop()
        if answer.code:
            assert "another run" in answer.err, answer
            assert archive == scene.new["app.tar.gz"][1], f"{ran}\n{answer}"
        else:
            assert ran.code == 0, ran
            break
    assert stops > 5
    record_property("times that package was stopped", stops)
