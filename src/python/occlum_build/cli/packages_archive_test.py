from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.cli import packages_archive
from occlum_build.errors import OcclumError
from occlum_build.packages.testing_archive import Archive, content_of, keyring, stanza

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a verb as main does, in a directory with a configuration; what it prints."""
    archive = Archive(tmp_path / "mirror")
    archive.suite("stable", [stanza("a", depends="b"), stanza("b")])
    (tmp_path / "keys.asc").write_bytes(keyring())
    text = f"""\
archives:
- {{name: debian, mirrors: ["file:{tmp_path}/mirror"], suites: [stable], components: [main],
   keyring: keys.asc}}
packages: [a]
"""
    (tmp_path / "c.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str) -> str:
        parser = argparse.ArgumentParser()
        packages_archive.add_verbs(parser.add_subparsers(required=True))
        options = parser.parse_args(arguments)
        options.func(options)
        return capsys.readouterr().out

    return run


def test_a_lock_is_written_and_what_differs_is_told(run: Run, tmp_path: Path) -> None:
    assert run("lock", "c.yaml", "--lock", "x.lock", "--diff") == "+ a 1\n+ b 1\n"
    first = (tmp_path / "x.lock").read_bytes()
    assert run("lock", "c.yaml", "--lock", "x.lock", "--diff") == ""
    assert (tmp_path / "x.lock").read_bytes() == first
    Archive(tmp_path / "mirror").suite("stable", [stanza("a", "2")])
    run("lock", "c.yaml", "--lock", "y.lock", "--cache", "elsewhere")
    assert run("lock", "c.yaml", "--lock", "x.lock", "--diff") == "- b 1\nupgraded a 1 -> 2\n"
    assert (tmp_path / "x.lock").read_bytes() == (tmp_path / "y.lock").read_bytes()
    assert (tmp_path / ".cache/occlum-build/packages/indexes").is_dir()


def test_versions_that_have_left_are_told(run: Run, tmp_path: Path) -> None:
    run("lock", "c.yaml", "--lock", "x.lock")
    assert run("check", "c.yaml", "--lock", "x.lock") == ""
    Archive(tmp_path / "mirror").suite("stable", [stanza("a", "2")])
    with pytest.raises(OcclumError, match="a 1 is in no suite of debian any more"):
        run("check", "c.yaml", "--lock", "x.lock")


def test_a_mirror_is_written(run: Run, tmp_path: Path) -> None:
    run("lock", "c.yaml", "--lock", "x.lock")
    run("mirror", "c.yaml", "--lock", "x.lock", "out")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.deb")}
    assert found == {
        "a_1_amd64.deb": content_of("a", "1"),
        "b_1_amd64.deb": content_of("b", "1"),
    }


@pytest.mark.parametrize("verb", ["check", "mirror"])
def test_a_lock_that_is_none_of_this_request(verb: str, run: Run, tmp_path: Path) -> None:
    more = ["out"] if verb == "mirror" else []
    with pytest.raises(OcclumError, match=r"there is no lock file x\.lock") as raised:
        run(verb, "c.yaml", "--lock", "x.lock", *more)
    hint = "occlum-build packages lock c.yaml --lock x.lock"
    assert raised.value.problems[0].hint == f"write it: {hint}"
    run("lock", "c.yaml", "--lock", "x.lock")
    (tmp_path / "c.yaml").write_text((tmp_path / "c.yaml").read_text() + "essential: true\n")
    with pytest.raises(OcclumError, match=r"is stale: 'essential' of c\.yaml has changed since"):
        run(verb, "c.yaml", "--lock", "x.lock", *more)


def test_a_lock_that_fails_leaves_the_old_one(run: Run, tmp_path: Path) -> None:
    run("lock", "c.yaml", "--lock", "x.lock")
    before = (tmp_path / "x.lock").read_bytes()
    (tmp_path / "keys.asc").write_bytes(keyring("other"))
    with pytest.raises(OcclumError, match=r"none of which keys\.asc has"):
        run("lock", "c.yaml", "--lock", "x.lock")
    assert (tmp_path / "x.lock").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*.lock*")) == ["x.lock"]


@pytest.mark.parametrize("count", ["0", "65", "x", "-1"])
def test_numbers_of_downloads(run: Run, count: str) -> None:
    with pytest.raises(SystemExit):
        run("lock", "c.yaml", "--lock", "x.lock", "--parallel", count)
