from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from occlum_build.cli import protect
from occlum_build.errors import OcclumError


def run(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    protect.add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args([str(argument) for argument in arguments])
    assert options.func(options) == 0


def test_protect_show_and_show_mac(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "f").write_bytes(b"content\xff")
    run("protect", tmp_path / "f")
    assert capfdbinary.readouterr().out == b""
    run("show", tmp_path / "f.protected")
    assert capfdbinary.readouterr().out == b"content\xff"
    run("show-mac", tmp_path / "f.protected")
    mac = capfdbinary.readouterr().out
    assert (
        bytes.fromhex(mac.decode().strip().replace("-", ""))
        == ((tmp_path / "f.protected").read_bytes()[77:93])
    )
    assert len(mac) == 48


def test_what_is_not_a_protected_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(4096))
    for verb in ("show", "show-mac"):
        with pytest.raises(OcclumError) as caught:
            run(verb, tmp_path / "f")
        assert caught.value.code == "pf-header"
