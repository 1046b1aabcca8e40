from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.image.testing_schema import check_json

BOM = "targets: [{target: /bin, copy: [{files: [../hello]}]}]\n"
SCRIPT = """\
occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../bom.yaml --root image
cp ../hello image/etc
occlum build
"""
BUILD = """\
occlum_bom(name="bom", source="bom.yaml")

occlum_image(name="image", boms=[":bom"])

occlum_enclave(name="enclave", image=":image")

files(name="files", sources=["hello"])
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "pants.toml": "",
        "demo/bom.yaml": BOM,
        "demo/run.sh": SCRIPT,
        "demo/hello": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_writes_what_there_is_to_write(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-pants", str(root / "demo")]) == 0
    out, err = capsys.readouterr()
    assert (root / "demo/BUILD").read_text() == BUILD
    assert sorted(os.listdir(root / "demo")) == ["BUILD", "bom.yaml", "hello", "run.sh"]
    assert out.splitlines() == [
        "written: demo/BUILD",
        "demo:enclave is what demo/run.sh:1 makes",
        "1 to do by hand:",
        "  demo/run.sh:4: `cp ../hello image/etc`: it changes the image",
        "      name it in a BOM of the image, as"
        ' `- {"target": "/etc", "copy": [{"files": ["../hello"]}]}`',
    ]
    assert err == ""


@pytest.mark.parametrize("name", ["BUILD", "BUILD.pants"])
def test_a_build_file_is_never_replaced(
    root: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (root / "demo" / name).write_text("# mine\n")
    assert main(["init-pants", str(root)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# demo/BUILD: not written: demo/{name} is there; add what it lacks")
    assert all(line in out.splitlines() for line in BUILD.splitlines())
    assert (root / "demo" / name).read_text() == "# mine\n"
    assert len(os.listdir(root / "demo")) == 4


def test_a_dry_run_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-pants", "--dry-run", str(root)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# demo/BUILD: to write\n{BUILD}")
    assert not (root / "demo/BUILD").exists()


def test_a_second_run_has_nothing_to_add(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-pants", str(root)]) == 0
    first = capsys.readouterr().out.splitlines()
    for options in ([], ["--dry-run"]):
        assert main(["init-pants", str(root), *options]) == 0
        again = capsys.readouterr().out.splitlines()
        assert again == ["as it is to be: demo/BUILD", *first[1:]]


def test_scripts_that_are_too_large(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "demo/large.sh").write_text("occlum new\n" + "#" * (256 << 10))
    assert main(["init-pants", str(root)]) == 0
    out = capsys.readouterr().out
    assert "  demo/large.sh:1: " in out and "it has more than the 256 KiB" in out


def test_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = []
    for options in (("--dry-run",), (), ()):
        assert main(["init-pants", str(root), "--json", *options]) == 0
        value = json.loads(capsys.readouterr().out)
        check_json(value, "occlum_build.switch", "init_pants.schema.json")
        (file,) = value["build_files"]
        states.append(file["state"])
        assert (file["path"], file["text"]) == ("demo/BUILD", BUILD)
        assert value["enclaves"] == [
            {"address": "demo:enclave", "script": "demo/run.sh", "line": 1}
        ]
    assert states == ["shown", "written", "kept"]


def test_nothing_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-pants", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "there is no BOM, and so nothing to write\n"


def test_without_a_pants_toml(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "pants.toml").unlink()
    assert main(["init-pants", str(root / "demo"), "--dry-run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "# BUILD: to write" and out[-1].startswith("next: a pants.toml")
    assert f" in {root / 'demo'}" in out[-1]


def test_no_directory(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-pants", str(root / "demo/run.sh")]) == 1
    err = capsys.readouterr().err
    assert "demo/run.sh: there is no such directory" in err and "hint: name the directory" in err
