"""The verbs of an instance through the command line: new, init, build, package, gen-image-key."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.occlum.testing import TESTPROJECTS, load_maker

KEY = str(TESTPROJECTS / "vectors/sign/test_key.pem")


@pytest.fixture
def toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("SGX_MODE", "ENABLE_EDMM", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    occlum: Path = load_maker().make_toolchain(tmp_path / "system")
    return str(occlum)


@pytest.fixture
def inst(toolchain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert main(["new", str(tmp_path / "inst"), "--toolchain", toolchain]) == 0
    monkeypatch.chdir(tmp_path / "inst")
    return tmp_path / "inst"


def measured(output: str) -> str:
    return output.splitlines()[-1].split(": ")[1]


def test_from_new_to_package(
    inst: Path, toolchain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["package"]) == 1
    assert "run `occlum-build build` first" in capsys.readouterr().err
    assert main(["build", "--toolchain", toolchain]) == 0
    first = capsys.readouterr().out
    assert first.startswith("built: ")
    assert main(["print", "mrenclave"]) == 0
    assert capsys.readouterr().out.strip() == measured(first)
    assert main(["build", "--toolchain", toolchain, "--sign-key", KEY]) == 0
    assert capsys.readouterr().out == first.replace("built", "up to date")
    assert main(["package", "--debug", "release.tar.gz"]) == 0
    assert (inst / "release.tar.gz").is_file()
    assert main(["package", "--debug"]) == 0 and (inst / "inst.tar.gz").is_file()
    assert main(["package", "--debug", "../x"]) == 1


def test_init(
    toolchain: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--toolchain", toolchain]) == 0
    assert (tmp_path / ".__occlum_status").read_text() == "initialized\n"
    assert main(["init", "--toolchain", toolchain]) == 1
    assert "is an Occlum instance already" in capsys.readouterr().err
    assert main(["new", str(tmp_path), "--toolchain", toolchain]) == 1
    assert "exists already" in capsys.readouterr().err


def test_options_that_change_the_measurement(
    inst: Path, toolchain: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(*arguments: str) -> str:
        assert main(["build", "--toolchain", toolchain, *arguments]) == 0
        return measured(capsys.readouterr().out)

    plain, edmm, bytes_47 = build(), build("--enable-edmm", "Y"), build("--builtin-config-bytes=47")
    simulated = build("--sgx-mode", "SIM")
    assert len({plain, edmm, bytes_47, simulated}) == 4
    assert build("--date", "20240101") == build("--enable-edmm", "N") == plain
    monkeypatch.setenv("ENABLE_EDMM", "YES")
    assert build() == edmm and build("--enable-edmm", "N") == plain
    monkeypatch.setenv("SGX_MODE", "SIM")
    assert build() == simulated
    assert (inst / ".sgx_mode").read_text() == "SIM\n"


def test_wrong_options(
    inst: Path,
    toolchain: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def error(*arguments: str) -> str:
        assert main(["build", "--toolchain", toolchain, *arguments]) == 1
        return capsys.readouterr().err

    assert "--pubkey goes with" in error("--signer", "sign")
    assert "--pubkey goes with" in error("--pubkey", KEY)
    assert "No closing quotation" in error("--signer", "'", "--pubkey", KEY)
    assert "is not 64 hex digits" in error("--expected-mrenclave", "12")
    assert "MRENCLAVE is " in error("--expected-mrenclave", "0" * 64)
    file = str(inst / "app.measurement.json")
    both = ("--expected-mrenclave", "0" * 64, "--expected-measurement", file)
    assert "give it alone" in error(*both)
    assert "needs --expected-measurement FILE" in error("--update-expected")
    for name, why in (
        ("Occlum.json", "does not end so"),
        ("measurement.json", "each build writes"),
        ("image/measurement.json", "is in the image or"),
        ("build/../build/app.measurement.json", "what each build writes anew"),
    ):
        assert why in error("--update-expected", "--expected-measurement", name)
    assert (
        "app.measurement.json: there is no such file\n  hint: write it: --update-expected"
        in error(*both[2:])
    )
    assert "'20240231' is no date" in error("--date", "20240231")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    assert "SOURCE_DATE_EPOCH='today' is no time" in error()
    monkeypatch.setenv("SGX_MODE", "sim")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert "'sim' is no SGX mode" in error()
    with pytest.raises(SystemExit):
        main(["build", "--unknown"])


def test_image_key(
    inst: Path, toolchain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    before = os.umask(0)
    try:
        assert main(["gen-image-key", str(key)]) == 0
    finally:
        os.umask(before)
    text = key.read_text()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(text) == 48
    assert main(["gen-image-key", str(key)]) == 1 and key.read_text() == text
    assert "exists already" in capsys.readouterr().err
    assert main(["gen-image-key", "--force", str(tmp_path / "other")]) == 0
    other = (tmp_path / "other").read_text()
    (tmp_path / "other").chmod(0o644)
    assert main(["gen-image-key", "-f", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other").read_text() != other and len(other) == 48
    os.mkfifo(tmp_path / "fifo")
    assert main(["gen-image-key", "-f", str(tmp_path / "fifo")]) == 1
    assert "fifo: No such device or address" in capsys.readouterr().err
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o600
    build = ["build", "--toolchain", toolchain, "--image-key", str(key)]
    assert main([*build, "--buildin-image-key", "--sign-tool", "sgx_sign"]) == 0
    captured = capsys.readouterr()
    assert "the image key is in initfs" in captured.err and "--sign-tool is" in captured.err
    assert text.strip() not in captured.out + captured.err
    key.chmod(0o644)
    assert main(build) == 1 and "open to group or others" in capsys.readouterr().err
    assert main([*build, "--insecure-key-file", "--unsigned"]) == 0
    assert "unsigned: sign build/signing-data" in capsys.readouterr().out


def test_exposed_sign_key_and_date_of_the_environment(
    inst: Path,
    toolchain: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(Path(KEY).read_bytes())
    key.chmod(0o640)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert main(["build", "--toolchain", toolchain, "--sign-key", str(key)]) == 0
    assert "can be read by others (mode 640)" in capsys.readouterr().err
    assert '"date": "19700102"' in (inst / "measurement.json").read_text()


def test_what_the_libos_refuses_is_told_by_build_and_package(
    inst: Path, toolchain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (inst / "image/dev").rmdir()
    told = []
    for verb in (["build", "--toolchain", toolchain], ["package", "--debug"]):
        assert main(verb) == 0
        told.append(capsys.readouterr().err)
    assert told[0] == told[1]
    assert told[0].startswith("warning: Occlum.json:")
    assert "the image lacks directories for it: /dev (devfs)" in told[0]
    (inst / "Occlum.json").write_text("{}")
    assert main(["package", "--debug"]) == 0
    assert capsys.readouterr().err == ""


def test_no_toolchain_and_no_build(
    inst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lacks the toolchain says how to name it, and what lacks a build to build."""
    for arguments in (["build"], ["new", "other"], ["build", "--sign-key", KEY]):
        assert main([*arguments, "--toolchain", str(tmp_path / "none")]) == 1
        told = capsys.readouterr().err
        assert f"the toolchain has no version header: {tmp_path}/none/" in told
        assert "; --toolchain or OCCLUM_TOOLCHAIN says where it is" in told
    assert main(["print", "mrenclave"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: there is no signed enclave build/lib/libocclum-libos.signed.so")
    assert "run `occlum-build build` first" in told


def test_toolchain_of_the_environment(
    toolchain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCCLUM_TOOLCHAIN", str(tmp_path / "none"))
    assert main(["new", "inst"]) == 1
    assert main(["new", "inst", "--toolchain", toolchain]) == 0
    monkeypatch.setenv("OCCLUM_TOOLCHAIN", toolchain)
    monkeypatch.chdir("inst")
    assert main(["build"]) == 0


def test_configuration_of_another_occlum(
    inst: Path, toolchain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (inst / "Occlum.yaml").write_text("resource_limits: {}\n")
    assert main(["build", "--toolchain", toolchain]) == 0
    assert "warning: Occlum.yaml: Occlum.yaml is not read" in capsys.readouterr().err
    (inst / "Occlum.json").unlink()
    assert main(["build", "--toolchain", toolchain]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: Occlum.yaml: the configuration of Occlum 0.31 is Occlum.json")
    assert "`occlum-build new` makes a default one" in told


def test_findings_of_a_build_that_are_allowed(
    inst: Path, toolchain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (inst / "image/dev").rmdir()
    config = json.loads((inst / "Occlum.json").read_text())
    config["entry_points"] = ["/nowhere"]
    (inst / "Occlum.json").write_text(json.dumps(config))
    build = ["build", "--toolchain", toolchain]
    assert main(build) == 1
    told = capsys.readouterr().err
    assert "the image has no '/nowhere': nothing can be run" in told
    assert "lacks directories for it: /dev (devfs)" in told  # beside the error
    allow = ["--allow", "libos-entry-point: made later", "--allow", "libos-mount"]
    assert main([*build, *allow]) == 0
    told = capsys.readouterr().err
    assert told == (
        "note: allowed and not shown: 1 of libos-entry-point (made later), 1 of libos-mount\n"
    )
    assert main([*build, "--allow", "libos-mont"]) == 1
    assert "did you mean 'libos-mount'?" in capsys.readouterr().err


def test_package_in_a_directory_whose_name_is_too_long_for_an_archive(
    toolchain: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "x" * 249, "--toolchain", toolchain]) == 0
    monkeypatch.chdir(tmp_path / ("x" * 249))
    assert main(["build", "--toolchain", toolchain]) == 0
    capsys.readouterr()
    assert main(["package", "--debug"]) == 1
    told = capsys.readouterr().err
    assert "the name of the archive has more than 255 bytes" in told
    assert "hint: give a NAME of at most 248 bytes" in told
    assert not list(Path().glob("*.tar.gz"))
    assert main(["package", "--debug", "y" * 248]) == 0
