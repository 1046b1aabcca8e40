"""The command `copy_bom`: Occlum's options and exit codes, our verb behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.cli.copy_bom_command import main
from occlum_build.version import VERSION

BOM = "targets: [{target: /bin, copy: [{files: [../run]}]}]\n"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; the BOM and its file are above it, an included BOM in `more`."""
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "bom.yaml").write_text(BOM)
    (tmp_path / "inst").mkdir()
    monkeypatch.chdir(tmp_path / "inst")
    monkeypatch.delenv("OCCLUM_LOG_LEVEL", raising=False)
    return tmp_path / "inst"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "../bom.yaml", "--root", "image"],
        ["--file", "../bom.yaml", "--root=image"],
        ["--root", "image", "-f../bom.yaml", "--include-dir", "/opt/occlum/etc/template"],
        ["--include-dir", "a", "b", "--include-dir", "c", "--file=../bom.yaml", "--root", "image"],
    ],
)
def test_calls_of_scripts(
    instance: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--dry-run"]) == 0
    assert not (instance / "image").exists()
    assert main(arguments) == 0
    assert (instance / "image/bin/run").read_text() == "#!/bin/sh\n"
    assert capsys.readouterr().out == ""


def test_base_bom_of_occlum_is_built_in(instance: Path) -> None:
    (instance.parent / "bom.yaml").write_text(f"includes: [base.yaml]\n{BOM}")
    call = ["-f", "../bom.yaml", "--root", "image"]
    assert main(call) == 255
    assert main([*call, "--include-dir", "/opt/occlum/etc/template"]) == 0
    assert (instance / "image/bin/run").exists() and (instance / "image/tmp").is_dir()


@pytest.mark.parametrize(
    ("bom", "code"),
    [("", 253), ("target: []", 253), ("includes: [gone.yaml]", 255), (None, 255)],
)
def test_exit_codes(instance: Path, bom: str | None, code: int) -> None:
    path = instance.parent / "bom.yaml"
    if bom is None:
        path.unlink()
    else:
        path.write_text(bom)
    assert main(["-f", "../bom.yaml", "--root", "image"]) == code


@pytest.mark.parametrize(
    "arguments", [[], ["-f", "../bom.yaml"], ["-i", "x"], ["-f", "a", "--root", "b", "--incl", "c"]]
)
def test_wrong_usage(
    instance: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 1
    assert "usage: copy_bom" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version_is_read_as_that_of_occlums(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out == f"copy_bom 0.1.0 (occlum-build {VERSION})\n"
