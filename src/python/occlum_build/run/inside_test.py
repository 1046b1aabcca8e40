from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run import forbidden, rootfs, system
from occlum_build.run.inside import Inside, run_inside, run_program
from occlum_build.run.spec import IN_PLACE, READ_ONLY, SCRATCH, Mount, Program, RootSpec
from occlum_build.run.testing import SECONDS, as_nobody, read_until, wait_until

ENV = ("PATH=/bin",)


def bash(root: RootSpec, script: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of a script in the image."""
    code = run_program(root, Program(("/bin/bash", "-c", script), ENV))
    told = capfd.readouterr()
    return code, told.out + told.err


def test_the_image_is_the_root_and_nothing_else_is_there(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = RootSpec(str(image))
    script = "ls /; pwd; echo $UID $$ $(ls -d /proc/[0-9]*); set | cat | grep -c HOME"
    code, told = bash(root, script, capfd)
    assert told.splitlines()[:8] == ["bin", "data", "dev", "host", "lib", "lib64", "link", "proc"]
    assert "\n/\n0 2 /proc/1 /proc/2 " in told
    assert code == 127  # there is no grep
    assert bash(root, "echo x >/dev/null; ls /dev/pts /dev/fd; exit 7", capfd)[0] == 7


def test_what_may_be_written(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write = "echo x > /data/new && cat /data/new && echo y > /bin/greet"
    code, told = bash(RootSpec(str(image), access=READ_ONLY), write, capfd)
    assert (code, "Read-only file system" in told) == (1, True)
    assert bash(RootSpec(str(image), access=SCRATCH), write, capfd) == (0, "x\n")
    assert not (image / "data/new").exists()
    assert (image / "bin/greet").read_text().startswith("#!")


def test_what_is_mounted_in_the_image_may_not_be_written_either(
    tmp_path: Path, image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount in its image")
    copy = tmp_path / "a copy"
    subprocess.run(["cp", "-a", image, copy], check=True)

    def with_mount() -> int:
        system.unshare(system.NEW_MOUNTS)
        system.mount("", "/", flags=system.PRIVATE | system.RECURSIVE)
        system.mount("tmpfs", str(copy / "data"), "tmpfs")
        script = "ls -d /data; echo x > /data/new"
        return run_program(RootSpec(str(copy)), Program(("/bin/bash", "-c", script), ENV))

    pid = os.fork()
    if pid == 0:
        try:
            os._exit(with_mount())
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    told = capfd.readouterr()
    assert told.out == "/data\n"
    assert "/data/new: Read-only file system" in told.err


def test_an_image_that_is_written_to_itself(
    tmp_path: Path, image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["cp", "-a", image, tmp_path / "copy"], check=True)
    root = RootSpec(str(tmp_path / "copy"), access=IN_PLACE)
    assert bash(root, "echo x > /data/new", capfd) == (0, "")
    assert (tmp_path / "copy/data/new").read_text() == "x\n"


def test_mounts(tmp_path: Path, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shared").mkdir()
    mounts = (
        Mount("/link", str(tmp_path / "shared")),  # leads to /data of the image, not of the host
        Mount("/tmp"),
        Mount("/absent"),
        Mount("/bin/greet"),
    )
    root = RootSpec(str(image), mounts)
    script = "echo x > /data/a; echo y > /tmp/b; cat /data/a /tmp/b; greet you"
    assert bash(root, script, capfd) == (0, "x\ny\nhello you\n")
    assert (tmp_path / "shared/a").read_text() == "x\n"
    assert os.listdir(image / "tmp") == []


def test_a_folder_whose_name_has_what_separates_options(
    tmp_path: Path, image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a,b:c").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a,b:c"))
    root = RootSpec(str(image), access=SCRATCH)
    assert bash(root, "echo x > /new; cat /new", capfd) == (0, "x\n")
    assert os.listdir(tmp_path / "a,b:c") == []


def test_memory_is_limited(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "a=$(printf '%0200000000d' 1); echo ${#a}"
    program = Program(("/bin/bash", "-c", script), ENV, memory_bytes=100 << 20)
    assert run_program(RootSpec(str(image)), program) != 0
    assert "cannot allocate" in capfd.readouterr().err


def test_the_network_of_its_own_has_nothing_but_itself(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = RootSpec(str(image), has_network=False)
    told = bash(root, "echo > /dev/tcp/127.0.0.1/9; cat /proc/net/dev", capfd)[1]
    assert "Connection refused" in told
    names = [line.split(":")[0].strip() for line in told.splitlines() if "  " in line]
    assert [name for name in names if "|" not in name] == ["lo"]


def test_exit_codes_of_signals(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bash(RootSpec(str(image)), "kill -SEGV $$", capfd)[0] == 128 + 11
    assert bash(RootSpec(str(image)), "kill -PIPE $$", capfd)[0] == 128 + 13


def test_what_is_left_running_ends(image: Path) -> None:
    script = "PATH=/bin; sleep 612.5 & echo begun; read; exit 3"
    command = (sys.executable, "-m", "occlum_build.cli.main", "run")
    process = subprocess.Popen(
        [*command, image, "--", "/bin/bash", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert read_until(process.stdout.fileno(), "\n") == "begun\n"
    wait_until(sleepers)
    left = sleepers()
    process.communicate("\n", timeout=SECONDS)
    assert process.returncode == 3
    assert not left & sleepers()


def sleepers() -> set[str]:
    """The numbers of the processes that the test above leaves running."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().endswith(b"sleep\0" + b"612.5\0"):
                found.add(path.parent.name)
    return found


def test_a_program_that_cannot_be_executed(image: Path) -> None:
    with pytest.raises(OcclumError, match="/data cannot be started: Permission denied"):
        run_program(RootSpec(str(image)), Program(("/data",)))


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match=r"cannot be run: .*: No such file or directory"):
        run_program(RootSpec(str(tmp_path / "gone")), Program(("/x",)))


def test_a_function_that_fails(image: Path) -> None:
    def fail(_inside: Inside) -> None:
        raise ValueError("a mistake of ours")

    with pytest.raises(OcclumError, match=r"it ended early: ValueError.*a mistake of ours"):
        run_inside(RootSpec(str(image)), fail)


def test_a_run_that_is_killed(image: Path) -> None:
    def end(_inside: Inside) -> None:
        os._exit(9)

    with pytest.raises(OcclumError, match=r"the run was ended from outside \(exit code 9\)"):
        run_inside(RootSpec(str(image)), end)


def _refuse(_namespaces: int) -> None:
    raise PermissionError(1, "Operation not permitted", "new namespaces")


def test_a_machine_that_forbids_it_says_the_way_out(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "unshare", _refuse)
    with pytest.raises(OcclumError) as raised:
        run_program(RootSpec(str(image)), Program(("/bin/ls",)))
    (problem,) = raised.value.problems
    assert problem.message.startswith("this machine lets nobody but root make a root file system")
    assert "docker run --security-opt seccomp=unconfined" in problem.hint


def test_an_unprivileged_user_may(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; all other tests run unprivileged")
    program = Program(("/bin/bash", "-c", "echo $UID > /new; cat /new"), ENV)
    assert as_nobody(image, lambda copy: run_program(RootSpec(copy, access=SCRATCH), program)) == 0
    assert capfd.readouterr().out == "0\n"


def test_as_root_without_user_namespaces(
    image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may without user namespaces")
    unshare = system.unshare

    def no_user(namespaces: int) -> None:
        if namespaces & system.NEW_USER:
            _refuse(namespaces)
        unshare(namespaces)

    monkeypatch.setattr(system, "unshare", no_user)
    assert bash(RootSpec(str(image)), "echo $UID", capfd) == (0, "0\n")


def test_where_the_disk_cannot_have_the_layer_it_is_in_memory(
    image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = system.mount

    def no_layer_on_the_disk(
        source: str, target: str, kind: str = "", flags: int = 0, options: str = ""
    ) -> None:
        is_tmpfs = any(" scratch tmpfs " in line for line in mounts())
        if kind == "overlay" and not is_tmpfs:
            raise OSError(22, "Invalid argument", "mount on root")
        if kind == "proc":
            raise PermissionError(1, "Operation not permitted", "mount on /proc")
        mount(source, target, kind, flags, options)

    def mounts() -> list[str]:
        text = Path("/proc/self/mounts").read_text()
        return [line.replace(f"{os.getcwd()}/", "") for line in text.splitlines()]

    monkeypatch.setattr(rootfs, "mount", no_layer_on_the_disk)
    root = RootSpec(str(image), access=SCRATCH)
    script = "echo x > /data/new; cat /data/new; test -e /proc/self/exe && echo proc"
    assert bash(root, script, capfd) == (0, "x\nproc\n")


def test_an_old_kernel_without_layers(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted", "mount on root")

    monkeypatch.setattr(rootfs, "_overlay", refuse)
    with pytest.raises(OcclumError, match=r"\(mount on root: Operation not permitted\)"):
        run_program(RootSpec(str(image), access=SCRATCH), Program(("/bin/ls",)))


@pytest.mark.parametrize(
    ("sysctl", "value", "hint"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1`"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000`"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "unprivileged_userns=0`"),
    ],
)
def test_the_way_out(sysctl: str, value: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forbidden, "_sysctl", lambda name: value if name == sysctl else "")
    assert forbidden.way_out().endswith(hint)
