from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.cli import sefs
from occlum_build.cli.main import main
from occlum_build.errors import OcclumError

KEY_TEXT = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff"
Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb as main does; what it prints."""

    def run(*arguments: object) -> str:
        parser = argparse.ArgumentParser()
        sefs.add_parser(parser.add_subparsers(required=True))
        options = parser.parse_args([str(argument) for argument in arguments])
        assert options.func(options) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "run").write_bytes(b"#!/bin/sh\n")
    (tree / "bin" / "run").chmod(0o755)
    (tree / "bin").chmod(0o755)
    (tree / "link").symlink_to("bin/run")
    return tree


def test_integrity_only(run: Run, tree: Path, tmp_path: Path) -> None:
    image, mac_file = tmp_path / "image", tmp_path / "mac"
    assert run("sefs", "zip", tree, image, mac_file) == ""
    mac = mac_file.read_text()
    assert run("sefs", "ls", image) == (
        "d 0755            0 /\n"
        "d 0755            0 /bin\n"
        "- 0755           10 /bin/run\n"
        "l 0777            7 /link -> bin/run\n"
    )
    assert run("sefs", "verify", image, "--mac", mac) == f"{mac} 4 inodes, 17 bytes\n"
    run("sefs", "unzip", image, tmp_path / "out", "--mac", mac)
    assert (tmp_path / "out" / "bin" / "run").read_bytes() == b"#!/bin/sh\n"


def test_encrypted_with_manifest(run: Run, tree: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY_TEXT)
    key.chmod(0o600)
    manifest = tmp_path / "manifest.json"
    entries = [
        {"path": "/bin", "type": "dir", "mode": "0700"},
        {"path": "/bin/run", "type": "file", "mode": "0500"},
        {"path": "/link", "type": "symlink", "mode": "0777", "target": "bin/run"},
    ]
    manifest.write_text(json.dumps({"schema": 1, "entries": entries}))
    macs = []
    for name in ("a", "b"):
        options = ("--key", key, "--manifest", manifest)
        run("sefs", "zip", tree, tmp_path / name, tmp_path / "mac", *options)
        macs.append((tmp_path / "mac").read_text())
    run("sefs", "zip", tree, tmp_path / "c", tmp_path / "mac", "--key", key, "--random-keys")
    assert macs[0] == macs[1] != (tmp_path / "mac").read_text()
    assert "- 0500           10 /bin/run\n" in run("sefs", "ls", tmp_path / "a", "--key", key)
    assert macs[0] in run("sefs", "verify", tmp_path / "a", "--key", key)
    with pytest.raises(OcclumError) as caught:
        run("sefs", "verify", tmp_path / "a", "--key", key, "--mac", KEY_TEXT)
    assert caught.value.code == "sefs-mac"


def test_open_key_file(run: Run, tree: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY_TEXT)
    key.chmod(0o644)
    arguments = ("sefs", "zip", tree, tmp_path / "image", tmp_path / "mac", "--key", key)
    with pytest.raises(OcclumError) as caught:
        run(*arguments)
    assert caught.value.code == "key-file-mode"
    run(*arguments, "--insecure-key-file")
    assert (tmp_path / "image" / "metadata").exists()


def test_the_option_for_an_open_key_file_is_told(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY_TEXT)
    key.chmod(0o644)
    paths = (tree, tmp_path / "image", tmp_path / "mac")
    assert main(["sefs", "zip", *map(str, paths), "--key", str(key)]) == 1
    assert "hint: chmod 600 it, or give --insecure-key-file" in capsys.readouterr().err


def test_the_mac_does_not_replace_the_key(run: Run, tree: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY_TEXT)
    key.chmod(0o600)
    with pytest.raises(OcclumError, match="key: is the key file, which would be replaced"):
        run("sefs", "zip", tree, tmp_path / "image", key, "--key", key)
    assert key.read_text() == KEY_TEXT and not (tmp_path / "image").exists()


def test_verify_raises_all_findings(run: Run, tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    run("sefs", "zip", tree, image, tmp_path / "mac")
    (image / "extra").write_bytes(b"")
    (image / "metadata_recovery").write_bytes(b"")
    with pytest.raises(OcclumError) as caught:
        run("sefs", "verify", image)
    assert [p.code for p in caught.value.problems] == ["sefs-unknown-file", "sefs-recovery-file"]
