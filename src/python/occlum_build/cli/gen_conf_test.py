from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from occlum_build.cli.gen_conf import add_parser
from occlum_build.errors import OcclumError

VECTORS = Path(__file__).parents[4] / "testprojects" / "vectors" / "gen_conf"
IMAGE_MAC = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff"
INITFS_MAC = "ff-ee-dd-cc-bb-aa-99-88-77-66-55-44-33-22-11-00"


def run(tmp_path: Path, case: str, *options: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    names = ["--config", str(VECTORS / f"{case}.in.json")]
    macs = ["--image-mac", IMAGE_MAC, "--initfs-mac", INITFS_MAC]
    outputs = ["--enclave-xml", str(tmp_path / "x"), "--sys-json", str(tmp_path / "j")]
    args = parser.parse_args(["gen-conf", *names, *macs, *outputs, *options])
    status = args.func(args)
    assert isinstance(status, int)
    return status


@pytest.mark.parametrize(("case", "options"), [("default", []), ("default_edmm_env", ["--edmm"])])
def test_both_files_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, options: list[str]
) -> None:
    assert run(tmp_path, case, *options, "--strict") == 0
    assert (tmp_path / "x").read_bytes() == (VECTORS / f"{case}.xml").read_bytes()
    assert (tmp_path / "j").read_bytes() == (VECTORS / f"{case}.out.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "x"]
    assert capsys.readouterr() == ("", "")


def test_a_mistake_leaves_both_files_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(OcclumError) as caught:
        run(tmp_path, "size_m")
    assert str(caught.value).startswith(
        f"{VECTORS}/size_m.in.json:5:28: $.resource_limits.user_space_size: "
    )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_warnings_are_told_and_are_errors_when_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "unknown_key") == 0
    told = capsys.readouterr().err
    assert told.startswith("warning: ")
    assert "unknown_key.in.json:73:5: $.bogus: unknown key" in told
    (tmp_path / "x").unlink()
    with pytest.raises(OcclumError):
        run(tmp_path, "unknown_key", "--strict")
    assert not (tmp_path / "x").exists()


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        run(tmp_path, "no such case")
    assert caught.value.code == "config-read"
    with pytest.raises(OcclumError) as caught:
        run(tmp_path, "default", "--sys-json", str(tmp_path / "x"))
    assert caught.value.code == "output-same"
    assert list(tmp_path.iterdir()) == []
