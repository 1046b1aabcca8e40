"""Options of `copy-bom` that write nothing, or delete."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from occlum_build.cli.testing import DUE, Workspace, copy
from occlum_build.image.manifest import image_digest
from occlum_build.image.testing_schema import check_json, check_manifest

# --sync


def test_sync(ws: Workspace) -> None:
    (ws.image / "app/conf/old").mkdir(parents=True)
    (ws.image / "app/run").mkdir()
    (ws.image / "app/tmp").symlink_to("/")
    assert ws.told("--sync") == ""
    assert ws.image_tree() == DUE


@pytest.mark.parametrize("root", ["..", ".", "src", "/"])
def test_sync_does_not_delete_what_the_image_is_made_from(ws: Workspace, root: str) -> None:
    before = ws.tree()
    bom = copy(f"from: {ws.path}/src, files: [run]")
    code, _, err = ws.run("--sync", bom=bom, root=root)
    assert code == 1
    assert err.startswith("error: --sync would delete /")
    assert ws.tree() == before


# --dry-run, --json, --why and the log


def test_dry_run_writes_nothing(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ws.tree()
    monkeypatch.setenv("OCCLUM_LOG_LEVEL", "info")
    assert ws.told("--dry-run") == _log(ws)
    assert ws.tree() == before


def _log(ws: Workspace) -> str:
    image = ws.image
    return (
        f"INFO  mkdir -p {image}/app\n"
        f"INFO  mkdir -p {image}/app/conf\n"
        f"INFO  cp {ws.path}/src/conf/a {image}/app/conf/a\n"
        f"INFO  cp {ws.path}/src/run {image}/app/run\n"
        f"INFO  ln -s run {image}/app/start\n"
        f"INFO  mkdir -p {image}/app/tmp\n"
    )


@pytest.mark.parametrize("level", ["", "off", "error", "warn", "nonsense"])
def test_operations_are_not_logged_below_info(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("OCCLUM_LOG_LEVEL", level)
    assert ws.told() == ""
    (ws.path / "src/conf/l").symlink_to("/nonexistent")
    told = [] if level in ("off", "error") else ["warning"]
    lines = [line for line in ws.told().splitlines() if not line.startswith("  hint:")]
    assert [line.split(":")[0] for line in lines] == told


@pytest.mark.parametrize("level", ["info", "DEBUG", " trace "])
def test_operations_are_logged(ws: Workspace, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("OCCLUM_LOG_LEVEL", level)
    assert ws.told() == _log(ws)


def test_json(ws: Workspace) -> None:
    code, out, _ = ws.run("--json")
    assert code == 0
    manifest = json.loads(out)
    check_manifest(manifest)
    by_path: dict[str, Any] = {entry["path"]: entry for entry in manifest["entries"]}
    modes = {path[1:]: entry["mode"] for path, entry in by_path.items() if path != "/"}
    assert modes == {path: entry[:4] for path, entry in DUE.items()}
    assert by_path["/app/conf/a"]["sha256"] == hashlib.sha256(b"a").hexdigest()
    assert by_path["/app/run"]["provenance"]["bom"].endswith("bom.yaml:6:25")
    assert ws.image_tree() == DUE


def test_json_where_the_workspace_is_not_utf8(ws: Workspace) -> None:
    odd = os.fsdecode(os.fsencode(ws.path) + b"/\xff")
    os.mkdir(odd)
    Path(odd, "f").write_text("")
    code, out, err = ws.run("--json", bom=copy("files: [f]"), root=f"{odd}/image")
    assert (code, err) == (0, "")
    assert json.loads(out)["entries"][1]["provenance"]["source"].endswith("/\\xff/f")


def test_variable_that_is_not_utf8(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", os.fsdecode(b"\xff"))
    code, _, err = ws.run("--json", bom="targets: [{target: /$ODD}]")
    assert code == 253
    assert "variable 'ODD' is not UTF-8 text" in err


def test_name_that_is_not_utf8(ws: Workspace) -> None:
    odd = os.fsdecode(os.fsencode(ws.path) + b"/src/conf/\xff")
    Path(odd).write_text("")
    code, _, err = ws.run("--json")
    assert code == 252
    assert "/src/conf/\\xff is not UTF-8" in err
    assert ws.run(bom="excludes: ['[!a]']\n" + copy("dirs: [src/conf]"))[0] == 0
    code, _, err = ws.run(bom=copy("files: ['src/conf/*']"))
    assert code == 254
    assert "is not UTF-8" in err


def test_why(ws: Workspace) -> None:
    code, out, _ = ws.run("--why", "/app/run")
    assert code == 0
    assert [line.strip() for line in out.splitlines()] == [
        "/app/run: file, 4 bytes",
        f"{ws.top}/bom.yaml:6:25 copies {str(ws.path)[1:]}/src/run",
        "-> /app/run",
    ]
    assert not ws.image.exists()
    code, _, err = ws.run("--why", "gone")
    assert code == 254
    assert err.startswith("error: gone: the image does not have it")


def test_why_of_what_a_file_in_an_archive_needs(ws: Workspace) -> None:
    with zipfile.ZipFile(ws.path / "app.zip", "w") as archive:
        archive.write("/bin/true", "bin/tool")
    libc = "/lib/x86_64-linux-gnu/libc.so.6"
    code, out, _ = ws.run("--why", libc, bom=copy("files: [app.zip]"))
    assert code == 0
    assert [line.strip() for line in out.splitlines()][2:] == [
        *("-> /app.zip", "-> holds: /app.zip/bin/tool"),
        f"-> DT_NEEDED libc.so.6, found by /etc/ld.so.conf: {libc}",
    ]


def test_manifest_with_the_graph_beside_it(ws: Workspace) -> None:
    manifest, graph = ws.path / "made/manifest.json", ws.path / "made/graph.json"
    code, _, _ = ws.run("--manifest", str(manifest), "--dry-run", bom=copy("files: [/bin/true]"))
    assert code == 0
    assert not ws.image.exists()
    told, found = json.loads(manifest.read_text()), json.loads(graph.read_text())
    check_json(told, "occlum_build.image", "manifest.schema.json")
    check_json(found, "occlum_build.image", "graph.schema.json")
    assert found["image"] == image_digest(told)
    assert {edge["from"] for edge in found["edges"]} >= {"/true"}
    bom = {entry["provenance"]["bom"] for entry in told["entries"][1:]}
    assert all(one.startswith(f"{ws.top}/bom.yaml:1:") for one in bom)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("image/m.json", "is in the image itself"),
        ("graph.json", "cannot be the manifest"),
        ("file/m.json", "file: File exists"),
    ],
)
def test_manifest_that_cannot_be_there(ws: Workspace, file: str, message: str) -> None:
    (ws.path / "file").write_text("")
    code, _, err = ws.run("--manifest", str(ws.path / file))
    assert code == 1
    assert message in err
    assert not (ws.path / "graph.json").exists()
