"""`packages unpack --lock`: a root of what a lock file says, and of nothing else."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from occlum_build.cli.testing_packages import PackagesWorkspace
from occlum_build.packages.testing_server import Answer, served

LOCK = ("lock", "c.yaml", "--lock", "x.lock")
UNPACK = ("unpack", "root", "--lock", "x.lock", "c.yaml")


def tree(root: Path) -> dict[str, str]:
    """Path -> mode, and content or target."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = f"{stat.S_IMODE(path.lstat().st_mode):04o}"
        text = f" -> {os.readlink(path)}" if path.is_symlink() else ""
        text = f" {path.read_text()}" if path.is_file() and not text else text
        found[str(path.relative_to(root))] = mode + text
    return found


def test_a_root_of_a_lock(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    assert packages.done(*UNPACK) == ("", "")  # what is not imitated was told when it was locked
    assert tree(packages.path / "root") == {
        "bin": "0777 -> usr/bin",
        "etc": "0755",
        "etc/alternatives": "0755",
        "etc/alternatives/x": "0777 -> /usr/bin/app",
        "etc/passwd": "0644 root:x:0:0::/root:/bin/sh\n",
        "usr": "0755",
        "usr/bin": "0755",
        "usr/bin/app": "0755 #!/bin/x\n",
        "usr/bin/other": "0777 -> app",
        "usr/bin/x": "0777 -> /etc/alternatives/x",
        "usr/share": "0755",
        "usr/share/base-passwd": "0755",
        "usr/share/base-passwd/passwd.master": "0644 root:*:0:0::/root:/bin/sh\n",
    }
    err = packages.failed(*UNPACK)
    assert err.startswith("error: root: exists already\n")

    # The same from .debs alone, where no lock says otherwise.
    debs = [str(one) for one in (packages.path / "mirror").rglob("*.deb")]
    packages.done("unpack", "other", "--deb", *debs)
    assert tree(packages.path / "other") == tree(packages.path / "root")


def test_the_lock_counts_and_no_newer_version(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    packages.update("2", b"#!/bin/new\n")
    packages.done(*UNPACK)
    assert (packages.path / "root/usr/bin/app").read_bytes() == b"#!/bin/x\n"
    assert packages.done("unpack", "again", *UNPACK[2:]) == ("", "")


def test_a_version_that_has_left(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    (packages.path / "mirror/pool/main/a/app/app_1_amd64.deb").unlink()
    err = packages.failed(*UNPACK, "--cache", "empty")
    assert err.startswith("error: app 1 (pool/main/a/app/app_1_amd64.deb, sha256 ")
    assert f"\n  file:{packages.path}/mirror: not there\n" in err
    assert "\n  hint: write the lock anew, or add a mirror that keeps old versions" in err
    (packages.path / "mirror/pool/main/a/app/app_1_amd64.deb").write_bytes(b"other")
    err = packages.failed(*UNPACK, "--cache", "empty")
    assert f"\n  file:{packages.path}/mirror: has 5 bytes, not " in err
    assert packages.files() == ["c.yaml", "empty", "keys.asc", "x.lock"]


def test_a_cache_that_was_damaged_is_filled_anew(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    for one in (packages.path / ".cache/occlum-build/packages/debs").iterdir():
        one.write_bytes(one.read_bytes()[:-1] + b"?")
    packages.done(*UNPACK)


def test_links_of_the_request_take_the_place_of_files(packages: PackagesWorkspace) -> None:
    packages.configure("links: {/usr/bin/app: /opt/app, /usr/bin/x: '', /usr/bin/y: app}\n")
    packages.done(*LOCK)
    packages.done(*UNPACK)
    found = tree(packages.path / "root")
    assert found["usr/bin/app"] == "0777 -> /opt/app" and found["usr/bin/y"] == "0777 -> app"
    assert "usr/bin/x" not in found


def test_a_made_file_that_comes_out_otherwise(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    lock = packages.path / "x.lock"
    text = lock.read_text()
    start = text.index('"sha256":"', text.index('"path":"/etc/passwd"')) + len('"sha256":"')
    lock.write_text(text[:start] + "0" * 64 + text[start + 64 :])
    err = packages.failed(*UNPACK)
    assert err.startswith("error: /etc/passwd comes out as sha256:")
    assert "and not as it is pinned\n  hint: this version makes it in another way" in err

    lock.write_text(text.replace('"path":"/etc/passwd"', '"path":"/etc/nothing"'))
    err = packages.failed(*UNPACK)
    assert err.startswith("error: /etc/nothing is made of nothing, and not as it is pinned\n")
    assert packages.files() == ["c.yaml", "keys.asc", "x.lock"]


def test_usage(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    err = packages.failed(*UNPACK, "--no-merged-usr")
    assert err.startswith("error: --no-merged-usr goes with --deb alone\n")
    for arguments in (
        ["unpack", "root"],
        ["unpack", "root", "--lock", "x.lock"],
        [*UNPACK, "--deb", "x.deb"],
    ):
        code, out, err = packages.run(*arguments)
        assert (code, out) == (2, "") and err.startswith("usage: ")
    code, _, err = packages.run("unpack", "root", "--lock", "c.yaml", "c.yaml")
    assert code == 1 and "c.yaml:1: the line is " in err


def test_a_stopped_run_leaves_nothing(packages: PackagesWorkspace) -> None:
    """Also while a mirror keeps it waiting: at once, and no part of a file stays."""
    packages.done(*LOCK)
    with served(packages.path / "mirror") as server:
        packages.configure(mirror=server.url)
        whole = server.otherwise

        def slow(path: str) -> Answer:
            answer = whole(path)
            if path.endswith(".deb"):
                # Half of it, and then silence.
                return Answer(body=answer.body[:60], length=len(answer.body), stays=20)
            return answer

        server.otherwise = slow
        process = subprocess.Popen(
            [sys.executable, "-m", "occlum_build.cli.main", "packages", *UNPACK, "--cache", "new"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        debs = packages.path / "new/debs"
        end = time.monotonic() + 30
        while not (debs.is_dir() and list(debs.iterdir())) and time.monotonic() < end:
            time.sleep(0.02)
        assert list(debs.iterdir())
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
        server.release()
    assert process.returncode == 130
    assert list(debs.iterdir()) == []
    assert packages.files() == ["c.yaml", "keys.asc", "new", "x.lock"]


@pytest.mark.parametrize("name", ["no/such/root", "c.yaml/root"])
def test_places_where_no_root_can_be(name: str, packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    code, out, err = packages.run("unpack", name, *UNPACK[2:])
    assert (code, out) == (1, "") and err.startswith("error: ") and "Traceback" not in err
    assert packages.files() == ["c.yaml", "keys.asc", "x.lock"]
