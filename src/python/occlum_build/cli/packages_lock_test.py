from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from occlum_build.cli.output import Progress
from occlum_build.cli.testing_packages import PackagesWorkspace
from occlum_build.packages.testing_archive import keyring
from occlum_build.packages.testing_server import served

LOCK = ("lock", "c.yaml", "--lock", "x.lock")
PASSWD_SHA256 = hashlib.sha256(b"root:x:0:0::/root:/bin/sh\n").hexdigest()
TOLD = "note: app 1: postinst runs adduser: not imitated\n"


def rows(path: Path, kind: str) -> list[dict[str, str]]:
    found = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [one for one in found if one["type"] == kind]


def test_a_lock_is_written_and_what_differs_is_told(packages: PackagesWorkspace) -> None:
    out, err = packages.done(*LOCK, "--diff")
    assert out == (
        "+ app 1\n+ base-passwd 1\n+ /bin -> usr/bin\n+ /etc/alternatives/x -> /usr/bin/app\n"
        f"+ /etc/passwd sha256:{PASSWD_SHA256[:12]}\n+ /usr/bin/x -> /etc/alternatives/x\n"
    )
    assert err.startswith(f"{TOLD}INFO  x.lock: 2 packages, ")
    lock = packages.path / "x.lock"
    first = lock.read_bytes()
    links = {one["path"]: (one["target"], one["by"]) for one in rows(lock, "link")}
    assert links == {
        "/bin": ("usr/bin", "usrmerge"),
        "/etc/alternatives/x": ("/usr/bin/app", "alternatives of app"),
        "/usr/bin/x": ("/etc/alternatives/x", "alternatives of app"),
    }
    assert [(one["path"], one["by"]) for one in rows(lock, "made")] == [
        ("/etc/passwd", "base-passwd")
    ]
    assert packages.done(*LOCK, "--diff")[0] == ""
    assert lock.read_bytes() == first

    packages.update("2")
    packages.done("lock", "c.yaml", "--lock", "y.lock", "--cache", "elsewhere")
    assert packages.done(*LOCK, "--diff")[0] == "upgraded app 1 -> 2\n"
    assert lock.read_bytes() == (packages.path / "y.lock").read_bytes()
    assert (packages.path / ".cache/occlum-build/packages/indexes").is_dir()


def test_versions_that_have_left_are_told(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    assert packages.done("check", *LOCK[1:]) == ("", "")
    packages.update("2")
    err = packages.failed("check", *LOCK[1:])
    assert err.startswith(
        "error: app 1 is in no suite of debian any more (there is 2)\n  hint: write the lock anew"
    )


def test_a_mirror_is_written(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    for _ in range(2):
        assert packages.done("mirror", *LOCK[1:], "out") == ("", "INFO  out: 2 packages\n")
        pool = packages.path / "out/pool/main"
        assert sorted(one.name for one in pool.rglob("*.deb")) == [
            "app_1_amd64.deb",
            "base-passwd_1_amd64.deb",
        ]
    # It stands in for the archive, where the network does not reach.
    packages.configure(mirror=f"file:{packages.path}/out")
    packages.done("unpack", "root", "--lock", "x.lock", "c.yaml", "--cache", "empty")
    assert (packages.path / "root/bin/app").exists()


@pytest.mark.parametrize("verb", ["check", "mirror", "unpack"])
def test_a_lock_that_is_none_of_this_request(verb: str, packages: PackagesWorkspace) -> None:
    arguments = {
        "check": ["check", *LOCK[1:]],
        "mirror": ["mirror", *LOCK[1:], "out"],
        "unpack": ["unpack", "out", "--lock", "x.lock", "c.yaml"],
    }[verb]
    hint = "occlum-build packages lock c.yaml --lock x.lock\n"
    missing = "error: there is no lock file x.lock\n"
    assert packages.failed(*arguments) == f"{missing}  hint: write it: {hint}"
    packages.done(*LOCK)
    packages.configure("essential: true\n")
    stale = "error: x.lock: the lock file is stale: 'essential' of c.yaml has changed since\n"
    assert packages.failed(*arguments) == f"{stale}  hint: write it anew: {hint}"
    packages.configure()
    (packages.path / "x.lock").write_bytes((packages.path / "x.lock").read_bytes()[:-3])
    assert "the last line is not complete" in packages.failed(*arguments)
    assert packages.files() == ["c.yaml", "keys.asc", "x.lock"]


def test_a_lock_that_fails_leaves_the_old_one(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    before = (packages.path / "x.lock").read_bytes()
    (packages.path / "keys.asc").write_bytes(keyring("other"))
    code, out, err = packages.run(*LOCK)
    assert (code, out) == (1, "") and "none of which keys.asc has" in err
    assert (packages.path / "x.lock").read_bytes() == before
    assert packages.files() == ["c.yaml", "keys.asc", "x.lock"]


def test_a_damaged_lock_can_be_written_anew(packages: PackagesWorkspace) -> None:
    packages.done(*LOCK)
    lock = packages.path / "x.lock"
    whole = lock.read_bytes()
    lock.write_bytes(b"<<<<<<< ours\n" + whole)
    err = packages.done(*LOCK)[1]
    assert err.startswith("warning: x.lock:1: what was locked is not looked at: the line is ")
    assert lock.read_bytes() == whole


def test_what_is_no_lock_file_is_not_replaced(packages: PackagesWorkspace) -> None:
    (packages.path / "link").symlink_to("c.yaml")
    for name, told in (
        ("c.yaml", "is the configuration itself"),
        ("link", "is the configuration itself"),
        ("keys.asc", "this is no lock file of packages"),
    ):
        before = (packages.path / name).read_bytes()
        err = packages.failed("lock", "c.yaml", "--lock", name)
        assert err.startswith(f"error: {name}: ") and told in err
        assert (packages.path / name).read_bytes() == before
    (packages.path / "empty").touch()
    packages.done("lock", "c.yaml", "--lock", "empty")


def test_what_the_resolver_refuses_is_of_the_configuration(packages: PackagesWorkspace) -> None:
    text = (packages.path / "c.yaml").read_text()
    (packages.path / "c.yaml").write_text(text.replace("[app]", "[nope, 'a b c', 'app (>= 7)']"))
    code, _, err = packages.run(*LOCK)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 1 and len(errors) == 3
    assert all(line.startswith("error: c.yaml: ") for line in errors)


def test_debs_of_the_project(packages: PackagesWorkspace) -> None:
    packages.own_deb()
    packages.configure("debs: [debs/own.deb]\n")
    text = (packages.path / "c.yaml").read_text().replace("[app]", "[app, own]")
    (packages.path / "c.yaml").write_text(text)
    assert packages.done(*LOCK, "--diff")[0].splitlines()[:3] == [
        "+ app 1",
        "+ base-passwd 1",
        "+ own 1",
    ]
    packages.done("unpack", "root", "--lock", "x.lock", "c.yaml")
    assert (packages.path / "root/opt/own").read_bytes() == b"own"

    packages.own_deb(content=b"other")
    err = packages.failed("unpack", "other", "--lock", "x.lock", "c.yaml")
    assert "the lock file is stale: 'debs' of c.yaml has changed since" in err
    (packages.path / "debs/own.deb").write_bytes(b"junk")
    err = packages.failed(*LOCK)
    assert err.startswith("error: debs/own.deb: no usable package: it is no ar archive\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("packages: [", "c.yaml:"),
        ("archives: 3\npackages: [a]\n", "`archives` must be a list"),
        ("archives: []\npackages: [a, 'a b c']\n", "'a b c' is no package"),
    ],
)
def test_configurations_that_are_refused(text: str, told: str, packages: PackagesWorkspace) -> None:
    (packages.path / "c.yaml").write_text(text)
    code, out, err = packages.run(*LOCK)
    assert (code, out) == (1, "") and told in err
    assert packages.files() == ["c.yaml", "keys.asc"]


def test_files_that_are_not_there(packages: PackagesWorkspace) -> None:
    assert (
        "gone.yaml cannot be read: No such file" in packages.run("lock", "gone.yaml", *LOCK[2:])[2]
    )
    code, _, err = packages.run("lock", "c.yaml", "--lock", "no/such/x.lock")
    assert code == 1 and "No such file or directory" in err
    (packages.path / "keys.asc").unlink()
    assert "keys.asc cannot be read: No such file" in packages.run(*LOCK)[2]


def test_a_mirror_that_lacks_what_its_index_has(packages: PackagesWorkspace) -> None:
    (packages.path / "mirror/pool/main/a/app/app_1_amd64.deb").unlink()
    err = packages.failed(*LOCK)
    assert "is nowhere to be had\n" in err
    assert "\n  hint: the archive's index has it: try it again later, or add a mirror" in err


def test_a_package_that_lies_about_its_name(packages: PackagesWorkspace) -> None:
    stanza = packages.archive.deb("other")
    packages.archive.suite("stable", [stanza.replace("Package: other", "Package: app")])
    err = packages.failed(*LOCK)
    assert err.startswith("error: app 1 says of itself that it is other 1\n")
    assert not (packages.path / "x.lock").exists()


def test_a_user_without_a_home_directory(
    packages: PackagesWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = packages.failed(*LOCK, "--cache", "~nobody-of-that-name/cache")
    assert err.startswith("error: there is no home directory for the cache ")
    for home in ("", "relative"):
        monkeypatch.setenv("HOME", home)
        err = packages.failed(*LOCK)
        assert err.startswith("error: there is no home directory for the cache ~/.cache/")
    assert packages.files() == ["c.yaml", "keys.asc"]
    code, _, err = packages.run(*LOCK, "--cache", "keys.asc")
    assert code == 1 and err.startswith("error: keys.asc/indexes: Not a directory\n")


@pytest.mark.parametrize("count", ["0", "65", "x", "-1"])
def test_numbers_of_downloads(packages: PackagesWorkspace, count: str) -> None:
    code, _, err = packages.run(*LOCK, "--parallel", count)
    assert code == 2 and "--parallel" in err


class _Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_downloads_are_shown_on_a_terminal(
    packages: PackagesWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they fail, the bar is gone before the error comes."""
    assert Progress("x", 1).active is False
    terminal = _Terminal()
    with served(packages.path / "mirror") as server:
        packages.configure(mirror=server.url)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert packages.run(*LOCK)[0] == 0
        assert "\rdownload [" in terminal.text and "100%" in terminal.text
        bar, _, rest = terminal.text.rpartition("\r\033[K")
        assert bar and "download" not in rest and TOLD in rest
        terminal.text = ""
        server.answers.clear()
        for one in (packages.path / "mirror/pool").rglob("app*.deb"):
            one.unlink()
        assert packages.run(*LOCK, "--cache", "empty")[0] == 1
    assert terminal.text.rpartition("\r\033[K")[2].startswith("error: app 1 (pool/main/a/app/")
