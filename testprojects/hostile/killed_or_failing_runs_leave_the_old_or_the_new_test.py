"""A command that is killed, or whose disk fails, leaves what was there or what it should make.

Each system call of each command that writes is hit: each fails with EIO; those that change files
fail with ENOSPC, too, and before each of them comes SIGKILL; from each on that needs space the disk
is full. Each test records how many runs were hit.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

import pytest

from hostile.injected import KILL, STOP, Call, Injector, Ran, command
from occlum_build.files.stages import JOURNAL, PREFIX, is_temporary

TESTPROJECTS = Path("testprojects").resolve()
KEY = "c0-ff-ee-00-11-22-33-44-55-66-77-88-99-aa-bb-cd\n"
Record = Callable[[str, object], None]
Seen = dict[str, tuple[int, bytes]]
# Of these only the length tells, as each run makes another one.
RANDOM = "image-key"


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(["hostile.in_one_process"]) as one:
        yield one


@pytest.fixture(scope="module")
def other() -> Iterator[Injector]:
    """For a second run while one of the first injector's is stopped."""
    with Injector(["hostile.in_one_process"]) as one:
        yield one


def seen(folder: Path) -> Seen:
    """Mode, and content or target, of all below a directory."""
    found: Seen = {}
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                path = entry.path[len(str(folder)) + 1 :]
                content = b""
                if stat.S_ISREG(mode):
                    content = Path(entry.path).read_bytes()
                elif stat.S_ISLNK(mode):
                    content = os.fsencode(os.readlink(entry.path))
                else:
                    pending.append(Path(entry.path))
                if path.endswith(RANDOM) and len(content) == len(KEY):
                    content = b"a key"
                found[path] = (mode, content)
    return found


def contents(found: Seen) -> dict[str, bytes]:
    """Without modes, which not every copy keeps."""
    return {path: content for path, (_, content) in found.items()}


def left_over(found: Seen) -> list[str]:
    return [path for path in found if any(map(is_temporary, path.split("/")))]


def without_left_over(found: Seen) -> Seen:
    left = set(left_over(found))
    return {path: one for path, one in found.items() if path not in left}


@dataclass
class Scene:
    """A directory `work` that a command changes from `old` to `new`, and others that may follow."""

    injector: Injector
    work: Path
    call: Call
    old: Seen = field(default_factory=dict)
    new: Seen = field(default_factory=dict)
    # Commands that fail, or change nothing, but complete what a killed run had decided.
    others: tuple[Call, ...] = ()
    hits: int = 0
    copies_told: int = 0

    def start(self) -> None:
        """Keep the state as the old one, run the command once, and see what it makes."""
        self.old = seen(self.work)
        shutil.copytree(self.work, self._kept, symlinks=True)
        self.new = self._after_success()
        assert self.new != self.old and not left_over(self.new)
        self.reset()

    @property
    def _kept(self) -> Path:
        return self.work.with_name(f"{self.work.name}.kept")

    def reset(self) -> None:
        if seen(self.work) != self.old:
            shutil.rmtree(self.work)
            shutil.copytree(self._kept, self.work, symlinks=True)

    def _after_success(self) -> Seen:
        ran = self.injector.run(self.call)
        assert ran.code == 0, ran
        return seen(self.work)

    def check_next(self, ran: Ran) -> None:
        """The next run cleans up, of this command or, as that is quicker, one that fails."""
        if not self.others or not self.hits % 10:
            self.check_success(ran)
        else:
            self.check_other(ran, self.others[-1])

    def check_other(self, ran: Ran, call: Call) -> None:
        """Another command leaves the old or the new, whatever it does itself."""
        followed = self.injector.run(call)
        found = seen(self.work)
        assert not followed.has_traceback, f"{ran}\n{followed}"
        assert found in (self.old, self.new), f"{ran}\n{followed}\n{self.differences(found)}"

    def check_success(self, ran: Ran) -> None:
        """This command makes the new, or says that it is there."""
        followed = self.injector.run(self.call)
        found = seen(self.work)
        assert found == self.new, f"{ran}\n{followed}\n{self.differences(found)}"
        is_told = "exists already" in followed.err or "instance already" in followed.err
        assert followed.code == 0 or is_told, f"{ran}\n{followed}"

    def differences(self, found: Seen) -> str:
        return "\n".join(
            f"not as {name}: {sorted(p for p in {*found, *state} if found.get(p) != state.get(p))}"
            for name, state in (("before", self.old), ("after", self.new))
        )

    def kill_at_each_change(self) -> None:
        for ran in self.injector.each(self.call, KILL, self.reset):
            self.hits += 1
            stages = (one.parent for one in self.work.rglob(f"{PREFIX}*/{JOURNAL}"))
            if any(str(one).count(PREFIX) == 1 for one in stages):  # else only the stage changes
                self.check_copy(ran)
                self.check_moved(ran)
            if list(self.work.glob(f"{PREFIX}*/{JOURNAL}")):
                self.check_each_follower(ran)
            self.check_next(ran)

    def check_copy(self, ran: Ran) -> None:
        """A run in a copy completes that or tells what it is, and nothing happens elsewhere."""
        copy, before = self.work.with_name("a copy"), seen(self.work)
        call = self.others[-1] if self.others else self.call
        for options in ("-a", "-r"):
            subprocess.run(["cp", options, self.work, copy], check=True)
            self.hits += 1
            followed = self.injector.run(replace(call, cwd=copy))
            assert seen(self.work) == before, f"{ran}\n{followed}"
            assert not followed.has_traceback, f"{ran}\n{followed}"
            is_told = "this is a copy of a directory in the middle of a change" in followed.err
            if is_told:
                self.copies_told += 1
                assert options == "-r" and len(followed.err.splitlines()) == 2, f"{ran}\n{followed}"
            else:
                found = contents(seen(copy))
                assert found in (contents(self.old), contents(self.new)), f"{ran}\n{followed}"
            shutil.rmtree(copy)

    def check_moved(self, ran: Ran) -> None:
        """It is completed where it was moved to."""
        moved = self.work.with_name("moved")
        self.work.rename(moved)
        self.hits += 1
        followed = self.injector.run(replace(self.call, cwd=moved))
        assert seen(moved) == self.new, f"{ran}\n{followed}"
        shutil.rmtree(moved)
        shutil.copytree(self._kept, self.work, symlinks=True)
        self.injector.run(self.call, at=ran.calls, error=KILL, only_changes=True)

    def check_each_follower(self, ran: Ran) -> None:
        """Of a change that was decided any of them completes it."""
        self.check_success(ran)
        for call in self.others:
            self.reset()
            killed = self.injector.run(self.call, at=ran.calls, error=KILL, only_changes=True)
            self.hits += 1
            self.check_other(killed, call)
            assert seen(self.work) == self.new, killed

    def fail_at_each_call(self, *, with_reads: bool) -> None:
        for number, only_changes in ((errno.EIO, not with_reads), (errno.ENOSPC, True)):
            for ran in self.injector.each(self.call, number, self.reset, only_changes=only_changes):
                self.hits += 1
                self.check_failed(ran)

    def fill_the_disk_at_each_call(self) -> None:
        for ran in self.injector.each(self.call, errno.ENOSPC, self.reset, lasting=True):
            self.hits += 1
            self.check_failed(ran)

    def check_failed(self, ran: Ran) -> None:
        """Old with one error, or new without; what could not be removed the next run removes.

        No message has a name that was there for a moment only.
        """
        found = seen(self.work)
        assert PREFIX not in ran.out + ran.err, ran
        assert not ran.has_traceback, ran
        if ran.code == 0:
            assert without_left_over(found) == self.new, f"{ran}\n{self.differences(found)}"
        else:
            assert without_left_over(found) == self.old, f"{ran}\n{self.differences(found)}"
            errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1, ran
        if left_over(found):
            self.check_next(ran)

    def hit_all(self, record_property: Record, *, with_reads: bool = True) -> None:
        """Without reads, which are those of another test: only what changes files."""
        self.start()
        self.kill_at_each_change()
        self.fail_at_each_call(with_reads=with_reads)
        self.fill_the_disk_at_each_call()
        assert self.hits > 50
        record_property("runs killed or failed", self.hits)


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
