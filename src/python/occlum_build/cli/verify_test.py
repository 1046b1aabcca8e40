"""`occlum-build verify`: its table, its JSON, its exit codes, and its errors."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from occlum_build.cli.main import main
from occlum_build.image.testing_schema import check_json
from occlum_build.occlum.testing import KEY_TEXT, load_maker
from occlum_build.verify.testing import built_instance, copied, oci_layout

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("system")
    load_maker().make_toolchain(root)
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, toolchain: Path) -> Path:
    return built_instance(tmp_path_factory.mktemp("built") / "app", toolchain)


def json_of(capsys: Capture, *arguments: object, code: int = 0) -> dict[str, Any]:
    assert main(["verify", "--json", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert err == ""
    value = json.loads(out)
    check_json(value, "occlum_build.verify", "verified.schema.json")
    assert isinstance(value, dict)
    return value


def test_the_table(built: Path, capsys: Capture) -> None:
    assert main(["verify", str(built)]) == 0
    first, *rows, counts, last = capsys.readouterr().out.splitlines()
    assert first == f"{built}: instance, Occlum 0.31.0, HW"
    assert {row.split()[0] for row in rows} == {"agrees", "unknown"}
    assert counts == f"{len(rows) - 6} agree, 0 differ, 6 cannot be known"
    assert last.startswith("MRENCLAVE ") and last.endswith(", recomputed")


def test_both_values_of_what_differs(built: Path, capsys: Capture) -> None:
    assert main(["verify", str(built), "--expect", "1" * 64]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("differs  --expect: MRENCLAVE")
    assert lines[at + 1] == f"           stated      {'1' * 64}"
    assert lines[at + 2].startswith("           recomputed  ")
    assert "1 differ," in lines[-2]


def test_json(built: Path, tmp_path: Path, capsys: Capture) -> None:
    good = json_of(capsys, built)
    assert (good["result"], good["counts"]["differs"]) == ("agrees", 0)
    expected = good["mrenclave"]
    assert json_of(capsys, built, "--expect", expected)["result"] == "agrees"
    bad = json_of(capsys, built, "--expect-mrsigner", "2" * 64, code=1)
    assert (bad["result"], bad["counts"]["differs"]) == ("differs", 1)
    layout = oci_layout(built, tmp_path / "layout", expected)
    assert json_of(capsys, layout)["kind"] == "oci"
    for blob in (layout / "blobs/sha256").iterdir():
        blob.write_bytes(b"{}")
    assert json_of(capsys, layout, code=1)["mrenclave"] == ""


def test_the_same_twice(built: Path, tmp_path: Path, capsys: Capture) -> None:
    assert json_of(capsys, built) == json_of(capsys, copied(built, tmp_path / "other"))


def test_an_image_key(toolchain: Path, tmp_path: Path, capsys: Capture) -> None:
    key = tmp_path / "key"
    key.write_text(KEY_TEXT)
    key.chmod(0o600)
    instance = built_instance(tmp_path / "app", toolchain, image_key=key)
    without, given = json_of(capsys, instance), json_of(capsys, instance, "--image-key", key)
    assert without["counts"]["unknown"] == given["counts"]["unknown"] + 4
    key.chmod(0o644)
    assert main(["verify", str(instance), "--image-key", str(key)]) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert main(["verify", str(instance), "--image-key", str(key), "--insecure-key-file"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("gone",), "error: gone: No such file or directory"),
        (("/dev/null",), "it is not a regular file"),
        (("text",), "no usable tar archive"),
        (("empty",), "is no instance, no bundle and no OCI image layout"),
        (("empty", "--expect", "12"), "--expect wants 64 hexadecimal digits"),
        (("empty", "--measurement", "gone"), "gone cannot be read"),
        (("empty", "--measurement", "text"), "not JSON"),
        (("empty", "--image-key", "gone"), "No such file"),
        (("layout",), "index.json"),
        (("bundle",), "config.json"),
    ],
)
def test_what_cannot_be_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    options: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/oci-layout").write_text("{}")
    (tmp_path / "bundle/rootfs").mkdir(parents=True)
    (tmp_path / "bundle/config.json").write_text("[]")
    (tmp_path / "text").write_text("no archive, and no JSON")
    monkeypatch.chdir(tmp_path)
    assert main(["verify", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and message in err


def test_trouble_while_it_is_told_is_no_difference(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("occlum_build.cli.verify.say", fail)
    assert main(["verify", str(built)]) == 2


def test_an_error_names_what_was_given(tmp_path: Path, capsys: Capture) -> None:
    """Not the place in a temporary directory, where a name is longer than a path may be."""
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("build/lib/libocclum-libos.signed.so", "image/" + f"{'d' * 39}/" * 102 + "f"):
            tar.addfile(tarfile.TarInfo(name))
    assert main(["verify", str(archive)]) == 2
    assert capsys.readouterr().err == f"error: {archive}: File name too long\n"


def test_help(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["verify", "--help"])
    assert end.value.code == 0
    assert "Exit code: 0 nothing differs, 1 something does" in " ".join(
        capsys.readouterr().out.split()
    )
