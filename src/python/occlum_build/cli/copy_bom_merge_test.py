"""`copy-bom` of directories that have something of another kind at one path."""

from __future__ import annotations

import pytest

from occlum_build.cli.testing import Workspace, copy

SYSTEM = copy("from: .., dirs: [ubin/, ulib/]")


def _system(ws: Workspace, perl: str) -> None:
    """Two directories with `perl`: a file or link here, a directory there."""
    (ws.top / "ubin").mkdir()
    (ws.top / "ulib/perl").mkdir(parents=True)
    (ws.top / "ulib/perl/x").write_text("module")
    (ws.top / "ulib/perl").chmod(0o755)
    if perl == "link":
        (ws.top / "ubin/perl").symlink_to("perl5")  # which is nowhere
    else:
        (ws.top / "ubin/perl").write_text("program")


@pytest.mark.parametrize("perl", ["file", "link"])
def test_directory_in_place_of_a_file_of_another_copied_one(ws: Workspace, perl: str) -> None:
    _system(ws, perl)
    told = ws.told(bom=SYSTEM)
    assert told.startswith("warning: ") and told.count("warning: ") == 1
    assert f"the directory /perl takes the place of the {perl} that " in told
    assert 'hint: as with copy_bom; `excludes: ["/perl/"]` leaves the directory out' in told
    assert ws.image_tree() == {"perl": "0755", "perl/x": "0644 module"}
    assert ws.told(bom=SYSTEM) == told  # and once more, into the image that is there
    assert ws.image_tree() == {"perl": "0755", "perl/x": "0644 module"}
    code, _, err = ws.run(bom=copy("from: .., dirs: [ubin/]"))
    assert code in (251, 254) and "cannot take the place of the directory there before" in err
    assert "hint: empty the image's directory first" in err


def test_directory_of_a_merge_that_is_left_out(ws: Workspace) -> None:
    _system(ws, "file")
    assert ws.told(bom=f'excludes: ["/perl/"]\n{SYSTEM}') == ""
    assert ws.image_tree() == {"perl": "0644 program"}


def test_several_directories_in_place_of_files_are_one_warning(ws: Workspace) -> None:
    _system(ws, "file")
    for name in ("python", "ruby"):
        (ws.top / "ubin" / name).write_text("program")
        (ws.top / "ulib" / name).mkdir()
    told = ws.told(bom=SYSTEM)
    assert told.count("warning: ") == 1 and "copies, and so do 2 more entries" in told


@pytest.mark.parametrize(("perl", "code"), [("file", 254), ("link", 251)])
def test_file_in_place_of_a_directory_of_another_copied_one(
    ws: Workspace, perl: str, code: int
) -> None:
    _system(ws, perl)
    reverse = copy("from: .., dirs: [ulib/, ubin/]")
    found, _, told = ws.run(bom=reverse)
    assert found == code and 'leave the copied directory out: `excludes: ["/perl/"]`' in told
    assert ws.run(bom=f'excludes: ["/perl/"]\n{reverse}')[0] == 0
    assert list(ws.image_tree()) == ["perl"]


@pytest.mark.parametrize("perl", ["file", "link"])
def test_file_in_place_of_an_empty_directory_of_another_copied_one(
    ws: Workspace, perl: str
) -> None:
    _system(ws, perl)
    (ws.top / "ulib/perl/x").unlink()
    told = ws.told(bom=copy("from: .., dirs: [ulib/, ubin/]"))
    assert f"the {perl} /perl takes the place of the directory that " in told
    assert list(ws.image_tree()) == ["perl"]


def test_directory_in_place_of_a_named_file(ws: Workspace) -> None:
    _system(ws, "file")
    code, _, told = ws.run(bom=copy("from: .., dirs: [ulib/], files: [ubin/perl]"))
    assert code == 254 and 'leave the copied directory out: `excludes: ["perl/"]`' in told
    linked = copy("from: .., dirs: [ulib/]").replace(
        "copy:", "createlinks: [{src: x, linkname: perl}], copy:"
    )
    assert ws.run(bom=linked)[0] == 251
