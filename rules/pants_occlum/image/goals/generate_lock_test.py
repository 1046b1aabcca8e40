from __future__ import annotations

import json
from pathlib import Path

import pytest
from pants.core.goals.generate_lockfiles import GenerateLockfilesGoal
from pants.engine.internals.scheduler import ExecutionError

from occlum_build.sysroot.lock import Lock, Pin
from pants_occlum.image.goals.generate_lock import lock_diff
from pants_occlum.testing_lock import LockProject


@pytest.fixture
def project(tmp_path: Path) -> LockProject:
    return LockProject(tmp_path)


def lock(project: LockProject) -> dict[str, dict[str, object]]:
    """The lines of the lock file by path, the header left out."""
    lines = project.lock.read_text().splitlines()
    assert lines[0] == '{"schema":2}'
    pins = [json.loads(line) for line in lines[1:]]
    assert [pin["path"] for pin in pins] == sorted(pin["path"] for pin in pins)
    return {pin.pop("path"): pin for pin in pins}


def test_pins_what_plans_look_at_with_packages(project: LockProject) -> None:
    project.install("1.0", b"tool")
    (project.sysroot / "bin").symlink_to("/usr/bin")
    project.host("etc/app/one.conf", b"1")
    project.host("etc/app/two.conf", b"2")
    project.host("etc/app/left.out", b"3")
    project.host("etc/unused")
    project.copy("files: [/bin/tool, /etc/app/*.conf]")
    project.pin()
    found = lock(project)
    assert list(found) == [
        "/", "/bin", "/etc", "/etc/app", "/etc/app/left.out", "/etc/app/one.conf",
        "/etc/app/two.conf", "/loader.config", "/usr", "/usr/bin", "/usr/bin/tool",
    ]  # fmt: skip
    assert found["/bin"] == {"type": "symlink", "target": "/usr/bin"}
    assert found["/etc/app"] == {"type": "dir", "mode": "0755", "listing": True}
    assert found["/etc/app/left.out"] == {"type": "file"}
    assert found["/usr/bin"] == {"type": "dir"}
    tool = found["/usr/bin/tool"]
    assert (tool["package"], tool["version"]) == ("tool", "1.0")
    assert (tool["mode"], tool["size"]) == ("0755", 4)


def test_what_an_image_excludes_may_change(project: LockProject) -> None:
    project.host("t/kept", b"1")
    project.host("t/left.pyc", b"2")
    project.host("t/__pycache__/x", b"3")
    project.write(
        {
            "app/bom.yaml": """
                excludes: ["*.pyc", __pycache__]
                targets: [{target: /, copy: [{dirs: [/t]}]}]
                """
        }
    )
    project.pin()
    found = lock(project)
    assert found["/t/left.pyc"] == {"type": "file"}
    assert found["/t/__pycache__"] == {"type": "dir"}
    assert "sha256" in found["/t/kept"]
    assert "/t/__pycache__/x" not in found


def test_diff_has_package_versions(project: LockProject) -> None:
    project.install("1.9", b"tool")
    project.copy("files: [/usr/bin/tool]")
    project.pin()
    project.install("1.10", b"new!")
    project.host("loader.config", b"\n")
    printed = project.pin("--diff")
    upgraded = printed.partition("Upgraded dependencies")[2]
    assert "Downgraded" not in printed
    (line,) = [line for line in upgraded.splitlines() if "tool " in line]
    assert line.split() == ["tool", "1.9", "-->", "1.10"]
    (line,) = [line for line in upgraded.splitlines() if "/loader.config" in line]
    assert line.split()[2] == "-->"


def test_diff_of_hostile_versions_and_locks(
    project: LockProject, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.install(f"1.{'9' * 5000}", b"tool")
    project.copy("files: [/usr/bin/tool]")
    project.pin()
    project.install(f"1.1{'0' * 5000}", b"new!")
    assert "Upgraded dependencies" in project.pin("--diff")
    project.lock.write_text("[" * 100_000 + "\n")
    project.pin("--diff")
    assert "the old lock file is damaged: app/host.lock:1: the line is nested" in caplog.text
    monkeypatch.setattr("pants_occlum.image.goals.generate_lock.LOCK_BYTES", 1024)
    project.pin("--diff")
    assert "app/host.lock cannot be read: it has more than the 1 KiB" in caplog.text


def test_generation_ignores_what_is_pinned(project: LockProject) -> None:
    project.install("1.0", b"tool")
    project.copy("files: [/usr/bin/tool]")
    project.pin()
    before = lock(project)
    project.install("1.1", b"new!")
    project.pin(options=("--occlum-lock=require",))
    assert lock(project)["/usr/bin/tool"]["version"] == "1.1"
    assert lock(project) != before
    project.lock.write_text("<<<<<<< HEAD\n")
    project.pin("--diff", options=("--occlum-lock=verify",))
    assert lock(project)["/usr/bin/tool"]["version"] == "1.1"


def test_plan_that_fails_writes_nothing(project: LockProject) -> None:
    project.copy("files: [/usr/bin/tool]")
    with pytest.raises(ExecutionError, match="app:image cannot be built"):
        project.pin()
    assert not project.lock.exists()


@pytest.mark.parametrize("was_there", [False, True])
def test_what_cannot_be_locked_leaves_other_lock_files_alone(
    project: LockProject, caplog: pytest.LogCaptureFixture, was_there: bool
) -> None:
    """A plain `generate-lockfiles` is for all of a repository, also for those who have no image."""
    project.copy("files: []")
    if was_there:
        project.pin()
    before = project.lock.read_text() if was_there else None
    other = "occlum_sysroot(name='other', lockfile='other.lock')\n"
    project.write({"app/BUILD": f"{project.build}{other}"})
    project.copy("files: [/usr/bin/tool]")
    caplog.set_level("INFO")
    assert project.run(GenerateLockfilesGoal).exit_code == 0
    wrote = "Wrote lockfile for the resolve `app:{}` to {}"
    texts = [one.getMessage() for one in caplog.records]
    assert wrote.format("other", "other.lock") in texts
    assert wrote.format("host", "app/host.lock, as it was (see the error above)") in texts
    assert (project.root / "other.lock").read_text() == '{"schema":2}\n'
    assert (project.lock.read_text() if project.lock.exists() else None) == before
    (told,) = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert told.startswith(
        "app:host is not locked, its lock file stays as it is: app:image cannot be built, 1 error:"
        "\n\napp/bom.yaml:1:39: there is no "
    )
    hint = "lock files of others are written all the same; --resolve=app:host fails"
    assert told.endswith(f"\n  hint: {hint}")


def test_wrong_targets_leave_other_lock_files_alone(
    project: LockProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.write(
        {
            "app/BUILD": """
                occlum_sysroot(name="one", lockfile="./x.lock")
                occlum_sysroot(name="two", lockfile="app/x.lock")
                occlum_sysroot(name="out", lockfile="../../x.lock")
                occlum_packages(name="none", archives=[], packages=["x"], lockfile="/y.lock")
                occlum_sysroot(name="good", lockfile="./good.lock")
                occlum_sysroot(name="away", root="/no/such/root", lockfile="./away.lock")
                occlum_bom(name="bom", source="bom.yaml")
                occlum_image(name="of_good", boms=[":bom"], sysroot=":good")
                occlum_image(name="of_away", boms=[":bom"], sysroot=":away")
                occlum_sysroot(name="idle", lockfile="./idle.lock")
                occlum_image(name="wrong", boms=[":nothing"], sysroot=":idle")
                """,
        }
    )
    project.copy("files: []")
    told = _errors_of_a_run(project, caplog)
    assert (project.root / "app/good.lock").read_text().startswith('{"schema":2}\n')
    assert not (project.root / "app/x.lock").exists()
    shared = "The 'lockfile' field in target app:one is app/x.lock, which is that of another "
    shared += "`occlum_sysroot` too, app:two: each needs its own."
    outside = "must be a path below the build root, not"
    wrong = {
        "none": f"The 'lockfile' field in target app:none {outside} '/y.lock'.",
        "one": shared,
        "out": f"The 'lockfile' field in target app:out {outside} '../../x.lock'.",
        "two": shared,
        "away": "'root' of app:away: the sysroot /no/such/root is not a directory",
        "idle": "The address app:nothing from the `boms` from the target app:wrong does not exist.",
    }
    assert {one.splitlines()[0] for one in told} == {
        f"app:{name} is not locked, its lock file stays as it is: {error}"
        for name, error in wrong.items()
    }
    # In each run, whatever is in memory of the first.
    assert sorted(_errors_of_a_run(project, caplog)) == sorted(told)


def test_lock_files_of_several_kinds_of_targets(
    project: LockProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.write(
        {
            "app/BUILD": """
                occlum_sysroot(name="a", lockfile="./x.lock")
                occlum_packages(name="b", archives=[], packages=[], lockfile="app/x.lock")
                occlum_wheels(name="c", lockfile="./y.lock", requirements=["x"], python="3.11")
                occlum_packages(name="d", archives=[], packages=[], lockfile="./y.lock")
                occlum_packages(name="good", archives=[], packages=[], lockfile="./good.lock")
                """,
        }
    )
    told = _errors_of_a_run(project, caplog)
    assert sorted(path.name for path in (project.root / "app").iterdir()) == ["BUILD", "good.lock"]
    assert sorted(one.splitlines()[0] for one in told) == [
        f"app:{name} is not locked, its lock file stays as it is: The 'lockfile' field in target "
        f"{target} is {file}, which is that of another `occlum_packages` too, {other}: each needs "
        "its own."
        for name, target, file, other in (
            ("a", "app:a", "app/x.lock", "app:b"),
            ("b", "app:a", "app/x.lock", "app:b"),
            ("d", "app:c", "app/y.lock", "app:d"),
        )
    ]


def _errors_of_a_run(project: LockProject, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    assert project.run(GenerateLockfilesGoal).exit_code == 0
    return [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]


def test_sysroot_that_no_image_uses(project: LockProject, caplog: pytest.LogCaptureFixture) -> None:
    unused = "occlum_sysroot(name='unused', lockfile='unused.lock')"
    project.write({"app/BUILD": f"{project.build}{unused}\n"})
    project.copy("files: []")
    assert project.run(GenerateLockfilesGoal, "--resolve=app:unused").exit_code == 0
    assert (project.root / "unused.lock").read_text() == '{"schema":2}\n'
    assert "no `occlum_image` has the sysroot app:unused" in caplog.text


def test_two_sysroots_with_one_lock_file(project: LockProject) -> None:
    project.write(
        {
            "app/BUILD": """
                occlum_sysroot(name="one", lockfile="./x.lock")
                occlum_sysroot(name="two", lockfile="app/x.lock")
                """
        }
    )
    with pytest.raises(ExecutionError, match=r"target app:one is app/x\.lock, which is that of an"):
        project.run(GenerateLockfilesGoal, "--resolve=app:two")


@pytest.mark.parametrize("lockfile", ["./../../x.lock", "..", ".", "/x.lock"])
def test_lock_file_outside_of_the_project(project: LockProject, lockfile: str) -> None:
    project.write({"BUILD": f"occlum_sysroot(name='one', lockfile={lockfile!r})"})
    with pytest.raises(ExecutionError, match="//:one must be a path below the build root"):
        project.run(GenerateLockfilesGoal, "--resolve=//:one")


def test_content_that_changed_under_one_version() -> None:
    def pinned(sha256: str) -> Lock:
        return Lock({"/x": Pin("/x", "file", 0, 1, sha256 * 64, package="p", version="1")})

    diff = lock_diff("f", "n", pinned("0"), pinned("1"))
    assert [*diff.upgraded] == ["/x"]
    assert [*diff.unchanged] == ["p"]
