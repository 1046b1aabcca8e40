"""A command for packages that is killed, or whose disk fails, leaves the old or the new.

As in killed_or_failing_runs_leave_the_old_or_the_new_test.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.injected import Injector, command
from hostile.killed import Record, Scene
from occlum_build.packages.testing_archive import Archive, keyring
from occlum_build.packages.testing_debs import Item, link, write_deb

PASSWD = Item("./usr/share/base-passwd/passwd.master", b"root:*:0:0::/:/bin/sh\n")


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(["hostile.in_one_process"]) as one:
        yield one


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A mirror with two packages, and a configuration that asks for one."""
    made = Archive(tmp_path / "mirror")
    app = made.deb("app", items=[Item("./usr/bin/app", b"app", 0o755), link("./usr/bin/a", "app")])
    made.suite(stanzas=[app, made.deb("base-passwd", items=[PASSWD])])
    (tmp_path / "key.asc").write_bytes(keyring())
    one = {
        "name": "debian",
        "mirrors": [f"file:{made.root}"],
        "suites": ["stable"],
        "components": ["main"],
        "keyring": "key.asc",
    }
    for name, packages in (("one", ["app"]), ("both", ["app", "base-passwd"])):
        text = json.dumps({"archives": [one], "packages": packages})
        (tmp_path / f"{name}.yaml").write_text(text)
    return made


def run(injector: Injector, work: Path, *arguments: object) -> None:
    ran = injector.run(command("packages", *arguments, cwd=work))
    assert ran.code == 0, ran


def test_unpack(injector: Injector, work: Path, tmp_path: Path, record_property: Record) -> None:
    items = [Item("./usr/bin/app", b"app", 0o755), link("./usr/bin/a", "app"), PASSWD]
    deb = write_deb(tmp_path, "app", items=items)
    call = command("packages", "unpack", "root", "--deb", deb, cwd=work)
    Scene(injector, work, call).hit_all(record_property, with_reads=False)


@pytest.mark.usefixtures("archive")
def test_lock(injector: Injector, work: Path, tmp_path: Path, record_property: Record) -> None:
    """A lock file that is there is replaced, and the cache is nobody's result."""
    options = ["--lock", "it.lock", "--cache", tmp_path / "cache"]
    run(injector, work, "lock", tmp_path / "one.yaml", *options)
    call = command("packages", "lock", tmp_path / "both.yaml", *options, cwd=work)
    Scene(injector, work, call).hit_all(record_property)


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("verb", ["unpack", "mirror"])
def test_of_a_lock(
    injector: Injector, work: Path, tmp_path: Path, record_property: Record, verb: str
) -> None:
    cache, config = ["--cache", tmp_path / "cache"], tmp_path / "both.yaml"
    lock = tmp_path / "it.lock"
    run(injector, work, "lock", config, "--lock", lock, *cache)
    of_lock = {"unpack": ["root", "--lock", lock, config], "mirror": [config, "d", "--lock", lock]}
    call = command("packages", verb, *of_lock[verb], *cache, cwd=work)
    Scene(injector, work, call, grows=verb == "mirror").hit_all(record_property)
