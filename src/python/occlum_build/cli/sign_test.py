from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from occlum_build.cli import print_measurement, sign, sigstruct_view
from occlum_build.errors import OcclumError
from occlum_build.sgx import vectors_for_tests as vectors
from occlum_build.sgx.keys import load_private_key, sign_data

SO = str(vectors.VECTORS / "enc_mini.so")
XML = str(vectors.VECTORS / "xml" / "occlum_default.xml")
KEY = str(vectors.VECTORS / "test_key.pem")
CASE = vectors.case("enc_mini.so", "occlum_default")
INPUT = ["--enclave", SO, "--config", XML]
SIGNER = (
    "import sys; from pathlib import Path; from occlum_build.sgx.keys import *;"
    "data = sys.stdin.buffer.read(); key = load_private_key(Path(sys.argv[1]).read_bytes());"
    "sys.stdout.buffer.write(sign_data(key, data))"
)


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers(required=True)
    for module in (sign, print_measurement, sigstruct_view):
        module.add_parser(subparsers)
    parsed = parser.parse_args(arguments)
    parsed.func(parsed)


@pytest.fixture
def pubkey(tmp_path: Path) -> str:
    path = tmp_path / "public.pem"
    public = load_private_key(vectors.key()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
    return str(path)


def test_three_ways_to_the_same_file(tmp_path: Path, pubkey: str) -> None:
    outs = [str(tmp_path / name) for name in ("key.so", "signer.so", "catsig.so")]
    data, signature = tmp_path / "data", tmp_path / "signature"
    run("sign", *INPUT, "--key", KEY, "--date", vectors.DATE, "--out", outs[0])
    command = shlex.join([sys.executable, "-c", SIGNER, KEY])
    signer = ["--signer", command, "--pubkey", pubkey, "--date", vectors.DATE]
    run("sign", *INPUT, *signer, "--out", outs[1])
    run("gendata", *INPUT, "--date", vectors.DATE, "--out", str(data))
    signature.write_bytes(sign_data(load_private_key(vectors.key()), data.read_bytes()))
    halves = ["--unsigned", str(data), "--signature", str(signature), "--pubkey", pubkey]
    run("catsig", *INPUT, *halves, "--out", outs[2])
    contents = {Path(out).read_bytes() for out in outs}
    assert len(contents) == 1 and len(data.read_bytes()) == 256
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_print_and_view(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sigstruct = str(tmp_path / "out.so"), tmp_path / "sigstruct"
    run("sign", *INPUT, "--key", KEY, "--out", out, "--sigstruct", str(sigstruct))
    assert sigstruct.stat().st_size == 1808
    capsys.readouterr()
    run("print", "mrenclave", out)
    run("print", "mrsigner", str(sigstruct))
    assert capsys.readouterr().out == f"{CASE['mrenclave']}\n{CASE['mrsigner']}\n"
    run("sigstruct-view", out, "--json")
    view = json.loads(capsys.readouterr().out)
    assert (view["mrenclave"], view["date"]) == (CASE["mrenclave"], "19700101")
    run("sigstruct-view", out)
    assert f"mrenclave        {CASE['mrenclave']}\n" in capsys.readouterr().out


def test_view_of_a_bad_signature_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sigstruct = str(tmp_path / "out.so"), tmp_path / "sigstruct"
    run("sign", *INPUT, "--key", KEY, "--out", out, "--sigstruct", str(sigstruct))
    sigstruct.write_bytes(vectors.patched(sigstruct.read_bytes(), 1026, "<H", 7))
    with pytest.raises(OcclumError, match=r"signature .* is not valid"):
        run("sigstruct-view", str(sigstruct))
    assert "signature_valid  False" in capsys.readouterr().out


def test_date_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    for epoch, date in (("1795305599", "20261121"), ("0", "19700101"), ("", "19700101")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        run("gendata", "--enclave", SO, "--out", str(data))
        assert data.read_bytes()[20:24][::-1].hex() == date
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    with pytest.raises(OcclumError, match="SOURCE_DATE_EPOCH='tomorrow'"):
        run("gendata", "--enclave", SO, "--out", str(data))


def test_catsig_refuses_data_of_something_else(tmp_path: Path, pubkey: str) -> None:
    data, out = tmp_path / "data", tmp_path / "out.so"
    run("gendata", "--enclave", SO, "--out", str(data))
    halves = ["--unsigned", str(data), "--signature", str(data), "--pubkey", pubkey]
    with pytest.raises(OcclumError, match="was not made from this enclave"):
        run("catsig", *INPUT, *halves, "--out", str(out))
    data.write_bytes(b"short")
    with pytest.raises(OcclumError, match="has 5 bytes"):
        run("catsig", *INPUT, *halves, "--out", str(out))
    assert not out.exists()


def test_exposed_key_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, out = tmp_path / "key.pem", str(tmp_path / "out.so")
    key.write_bytes(vectors.key())
    for mode, warned in ((0o600, False), (0o644, True)):
        key.chmod(mode)
        run("sign", "--enclave", SO, "--key", str(key), "--out", out)
        assert ("can be read by others (mode 644)" in capsys.readouterr().err) is warned


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--signer", "true"], "usage"),
        (["--key", KEY, "--pubkey", KEY], "usage"),
        (["--key", "/nonexistent/key.pem"], "io"),
        (["--key", KEY, "--config", "/nonexistent.xml"], "io"),
        (["--key", KEY, "--date", "today"], "date"),
    ],
)
def test_errors(tmp_path: Path, arguments: list[str], code: str) -> None:
    with pytest.raises(OcclumError) as caught:
        run("sign", "--enclave", SO, "--out", str(tmp_path / "out.so"), *arguments)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_unbalanced_signer_command(tmp_path: Path, pubkey: str) -> None:
    signer = ["--signer", "sign 'it", "--pubkey", pubkey]
    with pytest.raises(OcclumError, match="--signer: No closing quotation"):
        run("sign", "--enclave", SO, "--out", str(tmp_path / "out.so"), *signer)


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OcclumError, match="cannot be written"):
        run("gendata", "--enclave", SO, "--out", str(tmp_path / "out"))
    with pytest.raises(OcclumError, match="cannot be written"):
        run("gendata", "--enclave", SO, "--out", str(tmp_path / "none" / "data"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("option", ["--out", "--sigstruct"])
def test_no_output_replaces_the_key(tmp_path: Path, option: str) -> None:
    key, link = tmp_path / "key.pem", tmp_path / "link"
    key.write_bytes(vectors.key())
    key.chmod(0o600)
    os.link(key, link)
    outputs = {"--out": str(tmp_path / "out"), option: str(link)}
    given = [word for pair in outputs.items() for word in pair]
    with pytest.raises(OcclumError, match="link: is the key file, which would be replaced"):
        run("sign", *INPUT, "--key", str(key), *given)
    assert key.read_bytes() == vectors.key() and not (tmp_path / "out").exists()
