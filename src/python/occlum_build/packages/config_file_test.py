from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.config import MADE, ArchiveConfig, LocalDeb
from occlum_build.packages.config_file import Configuration, read_configuration

TEXT = """\
archives:
  - name: debian
    mirrors: ["http://m/debian", "file:/srv/debian"]
    suites: [bookworm, bookworm-updates]
    components: [main]
    keyring: keys/debian.asc
  - {name: own, mirrors: [/srv/own], suites: [./], keyring: keys/debian.asc, only: ["own-*"],
     allow_expired: true}
packages: [redis-server, "python3-numpy (>= 1:1.21)"]
"""
MORE = """\
debs: [debs/app.deb]
without: [perl]
essential: true
recommends: True
links: {/usr/bin/java: /opt/java, /usr/bin/awk: ""}
made: [passwd]
merged_usr: false
architecture: arm64
"""


def stanza_of(path: Path) -> dict[str, str]:
    if path.read_bytes() != b"deb":
        raise OcclumError("deb", f"{path.name} is no .deb")
    return {"Package": "app", "Version": "1", "Architecture": "all"}


def read(tmp_path: Path, text: str) -> Configuration:
    (tmp_path / "keys").mkdir(exist_ok=True)
    (tmp_path / "keys/debian.asc").write_bytes(b"key")
    (tmp_path / "debs").mkdir(exist_ok=True)
    (tmp_path / "debs/app.deb").write_bytes(b"deb")
    (tmp_path / "lock.yaml").write_text(text)
    return read_configuration(tmp_path / "lock.yaml", stanza_of)


def test_archives_and_packages(tmp_path: Path) -> None:
    request, debs = read(tmp_path, TEXT)
    assert request.archives == (
        ArchiveConfig(
            "debian", ("http://m/debian", "file:/srv/debian"), ("bookworm", "bookworm-updates"),
            ("main",), b"key", "keys/debian.asc",
        ),
        ArchiveConfig(
            "own", ("/srv/own",), ("./",), (), b"key", "keys/debian.asc", ("own-*",), True
        ),
    )  # fmt: skip
    assert request.packages == ("redis-server", "python3-numpy (>= 1:1.21)")
    assert (request.name, request.made, request.merged_usr, debs) == ("lock.yaml", MADE, True, {})


def test_all_else(tmp_path: Path) -> None:
    request, debs = read(tmp_path, TEXT + MORE)
    digest = hashlib.sha256(b"deb").hexdigest()
    (deb,) = request.debs
    assert deb == LocalDeb(
        "debs/app.deb", digest, 3, (("Architecture", "all"), ("Package", "app"), ("Version", "1"))
    )
    assert debs == {"debs/app.deb": tmp_path / "debs/app.deb"}
    assert (request.without, request.essential, request.recommends) == (("perl",), True, True)
    assert request.links == (("/usr/bin/java", "/opt/java"), ("/usr/bin/awk", ""))
    assert hash(request)
    assert (request.made, request.merged_usr, request.architecture) == (("passwd",), False, "arm64")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TEXT, "", "lock.yaml:1:1: the file is empty"),
        (TEXT, "[]", "lock.yaml:1:1: the file must be a mapping with the keys archives, packages,"),
        (TEXT, "{}", "lock.yaml:1:1: the file lacks the key 'archives'"),
        (TEXT, "\t", "lock.yaml:1:1: not YAML: "),
        ("packages:", "package:", "lock.yaml:9:1: unknown key 'package' in the file"),
        ("[redis-server", "[1.2", "ok"),
        ("[redis-server", "[12", "lock.yaml:9:12: an item of `packages` must be text"),
        ("[redis-server", "[yes, true", "lock.yaml:9:17: an item of `packages` must be text"),
        ("packages: [", "packages: a # [", "lock.yaml:9:11: `packages` must be a list"),
        ("    keyring: keys/debian.asc\n", "",
         "lock.yaml:2:5: an item of `archives` lacks the key 'keyring'"),
        ("keyring: keys/debian.asc", "keyring: keys/no.asc",
         "keys/no.asc cannot be read: No such file or directory"),
        ("keyring: keys/debian.asc", "keyring: keys", "keys cannot be read: it is not a regular"),
        ("    components: [main]\n", "",
         "lock.yaml:2:5: an item of `archives` lacks the key 'components'"),
        ("http://m/debian", "ftp://m/debian", "lock.yaml:3:15: the mirror 'ftp://m/debian' is no"),
        ('["http://m/debian", "file:/srv/debian"]', "[]", ":3:14: `mirrors` must name one or more"),
        ("name: own", "name: ''", "lock.yaml:7:12: `name` must not be empty"),
        ("name: own", "name: debian", "lock.yaml:2:3: two archives have the name 'debian'"),
        ("allow_expired: true", "allow_expired: 1", ":8:21: `allow_expired` must be true or false"),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new)
    if message == "ok":
        assert read(tmp_path, text).request.packages[0] == "1.2"
        return
    with pytest.raises(OcclumError) as raised:
        read(tmp_path, text)
    assert raised.value.code in ("packages-config", "packages-mirror")
    assert message in str(raised.value.problems[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("debs/app.deb", "debs/no.deb", "lock.yaml:10:8: "),
        ("debs/app.deb", "keys/debian.asc", "lock.yaml:10:8: debian.asc is no .deb"),
        (
            "/usr/bin/java:",
            "java:",
            "lock.yaml:14:9: `links` has 'java', which is no absolute path",
        ),
        ("[passwd]", "[password]", "lock.yaml:15:7: `made` has 'password', which is none of base-"),
        (
            "merged_usr: false",
            "merged_usr: no",
            "lock.yaml:16:13: `merged_usr` must be true or fals",
        ),
    ],
)
def test_what_is_wrong_with_the_rest(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(OcclumError) as raised:
        read(tmp_path, TEXT + MORE.replace(old, new))
    assert message in str(raised.value.problems[0])


@pytest.mark.parametrize("path", ["//x", "/x/", "/opt/../x", "/./x", "/", ""])
def test_links_that_no_root_has(tmp_path: Path, path: str) -> None:
    with pytest.raises(OcclumError) as raised:
        read(tmp_path, MORE.replace("/usr/bin/java", f'"{path}"') + TEXT)
    assert "lock.yaml:5:9: `links` has" in str(raised.value)


@pytest.mark.parametrize("name", ["./debs/app.deb", "debs//app.deb", "debs/../debs/./app.deb"])
def test_debs_are_named_in_one_way(tmp_path: Path, name: str) -> None:
    plain = read(tmp_path, TEXT + MORE)
    assert read(tmp_path, TEXT + MORE.replace("debs/app.deb", name)) == plain
    assert read(tmp_path, TEXT + MORE.replace("debs/app.deb", f"debs/app.deb, {name}")) == plain


@pytest.mark.parametrize("name", ["../app.deb", "debs/../../app.deb", "/app.deb", "..", ".", "''"])
def test_debs_that_are_not_below_the_configuration(tmp_path: Path, name: str) -> None:
    with pytest.raises(OcclumError) as raised:
        read(tmp_path, TEXT + MORE.replace("debs/app.deb", name))
    (problem,) = raised.value.problems
    assert str(problem).startswith(f"{tmp_path}/lock.yaml:10:8: `debs` has ")
    assert "is not below the directory of lock.yaml" in str(problem)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as raised:
        read(tmp_path, "archives: [{}, a]\npackage: x\n")
    assert len(raised.value.problems) > 5
