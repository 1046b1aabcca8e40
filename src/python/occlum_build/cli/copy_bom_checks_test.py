"""What `copy-bom` tells of the image that it writes, also of one that others have begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.cli.testing import BOM, DUE, Workspace, copy


def test_image_that_is_not_empty_is_told(ws: Workspace) -> None:
    ws.image.mkdir()
    (ws.image / "x").write_text("")
    (ws.image / "y").write_text("")
    note = ws.told()
    assert note.startswith("note: the image holds /x and 1 more, which the BOM does not name\n")
    assert "keep it where another BOM or `new` put it there; --sync deletes all of it" in note
    assert ws.image_tree() == {**DUE, "x": "0644 ", "y": "0644 "}


def test_links_to_nothing_are_told_once_a_line(ws: Workspace) -> None:
    (ws.path / "src/conf/l").symlink_to("/app/run")
    (ws.path / "src/conf/m").symlink_to("../gone")
    bom = BOM.replace("src: run", "src: app/run")
    told = ws.told(bom=bom)
    assert "the link /app/conf/m -> ../gone leads to nothing in the image" in told
    assert "the link /app/start -> app/run leads to nothing in the image" in told
    assert told.count("warning: ") == 2
    assert "/app/run leads" not in ws.told("--allow", "link-dangling", bom=bom)


LOADER = Path("/lib64/ld-linux-x86-64.so.2")
USR_MERGED = """\
targets:
- target: /
  mkdirs: [usr/bin, usr/lib, usr/lib64]
  createlinks:
  - {src: usr/bin, linkname: bin}
  - {src: usr/lib, linkname: lib}
  - {src: /usr/lib64, linkname: lib64}
"""


@pytest.mark.skipif(not LOADER.exists(), reason="the machine is not for x86-64 with glibc")
def test_programs_in_an_image_whose_links_another_bom_made(ws: Workspace) -> None:
    ws.told(bom=USR_MERGED)
    for _ in range(2):
        told = ws.told(bom="targets: [{target: /bin, copy: [{files: [/usr/bin/true]}]}]")
        assert "is not in the image" not in told and "loader looks" not in told
    assert (ws.image / "usr/bin/true").is_file() and (ws.image / "bin").is_symlink()


def test_an_entry_of_the_bom_counts_and_not_what_was_there_before(ws: Workspace) -> None:
    (ws.image / "app").mkdir(parents=True)
    (ws.image / "app/start").symlink_to("nowhere")
    (ws.image / "app/other").symlink_to("run")
    assert "leads to nothing" not in ws.told()
    (ws.image / "app/start").unlink()
    assert "/app/start -> gone leads" in ws.told(bom=BOM.replace("src: run", "src: gone"))


def test_what_cannot_be_written_cannot_be_allowed(ws: Workspace) -> None:
    bom = copy(f"from: src, files: [{{name: run, rename: {'x' * 256}}}]")
    code, _, err = ws.run(bom=bom)
    assert code == 1 and "Linux opens none of more than 255" in err
    code, _, err = ws.run("--allow", "name-too-long", bom=bom)
    assert code == 1 and err.startswith("error: 'name-too-long' cannot be allowed")
    assert not ws.image.exists()
