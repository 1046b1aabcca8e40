from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.packages.testing_debs import Item, write_deb

BOM = """\
targets:
- target: /bin
  copy:
  - files: [/bin/app, /usr/bin/other]
"""


def test_a_root_for_copy_bom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    debs = tmp_path / "debs"
    debs.mkdir()
    script = {"postinst": "#!/bin/sh\nadduser app\n"}
    write_deb(debs, "app", items=[Item("./bin/app", b"#!/bin/x\n", 0o755)], scripts=script)
    other = write_deb(tmp_path, "other", items=[Item("./usr/bin/other", b"other", 0o755)])
    arguments = ["packages", "unpack", "root", "--deb", "debs", "--deb", other.name]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "note: app 1.0: postinst runs adduser: not imitated\n")
    assert (tmp_path / "root/bin/app").read_bytes() == b"#!/bin/x\n"

    (tmp_path / "bom.yaml").write_text(BOM)
    copy = ["copy-bom", "-f", "bom.yaml", "--root", "image", "--sysroot", "root"]
    assert main(copy) == 0
    assert (tmp_path / "image/bin/other").read_bytes() == b"other"
    capsys.readouterr()

    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("error: root: exists already")


def test_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one = write_deb(tmp_path, "one", items=[Item("./x", b"1")])
    two = write_deb(tmp_path, "two", items=[Item("./x", b"2")])
    assert main(["packages", "unpack", "root", "--deb", one.name, two.name]) == 1
    assert capsys.readouterr().err == (
        "error: /x is in one 1.0 and two 1.0 with different contents, and neither replaces "
        "the other\n  hint: leave one of the two packages out\n"
    )
    two.write_bytes(b"junk")
    assert main(["packages", "unpack", "root", "--deb", two.name]) == 1
    assert capsys.readouterr().err == (
        "error: two_1.0_amd64.deb: no usable package: it is no ar archive\n"
        "  hint: get it anew from its archive, or build it anew\n"
    )
    assert main(["packages", "unpack", "root", "--deb", "gone"]) == 1
    assert capsys.readouterr().err.startswith("error: gone cannot be read: No such file")
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.name, two.name]
