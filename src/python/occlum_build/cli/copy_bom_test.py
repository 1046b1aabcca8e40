from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.cli.testing import BOM, DUE, Workspace, copy


def test_image(ws: Workspace) -> None:
    assert ws.told() == ""
    assert ws.image_tree() == DUE


def test_umask_does_not_matter(ws: Workspace) -> None:
    os.umask(0o077)
    ws.told()
    assert ws.image_tree() == DUE
    assert stat.S_IMODE(ws.image.stat().st_mode) == 0o755


def test_second_run_changes_nothing(ws: Workspace) -> None:
    _, manifest, _ = ws.run("--json")
    before = {path: path.lstat() for path in [ws.image, *ws.image.rglob("*")]}
    assert ws.run("--json") == (0, manifest, "")
    for path, status in before.items():
        after = path.lstat()
        assert (after.st_ino, after.st_mtime_ns) == (status.st_ino, status.st_mtime_ns), path


def test_directories_of_the_image_keep_their_modes(ws: Workspace) -> None:
    (ws.image / "app/tmp").mkdir(parents=True)
    (ws.image / "app/tmp").chmod(0o1777)
    (ws.image / "app").chmod(0o711)
    ws.told()
    assert ws.image_tree() == {**DUE, "app": "0711", "app/tmp": "1777"}


@pytest.mark.parametrize(
    ("bom", "code"),
    [
        ("includes: [gone.yaml]", 255),
        (copy("files: [{name: gone, hash: a}]"), 255),
        (copy("files: [gone]"), 254),
        ("target: []", 253),
        (copy("dirs: [gone]"), 252),
        (
            "targets: [{target: /, mkdirs: [a], createlinks: [{src: x, linkname: a}]}]",
            251,
        ),
        (copy("from: src, files: [{name: run, hash: a}]"), 249),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--sync"], ["--json"]])
def test_mistakes_are_told_and_nothing_is_written(
    ws: Workspace, bom: str, code: int, options: list[str]
) -> None:
    before = ws.tree()
    found, out, err = ws.run(*options, bom=bom)
    assert (found, out) == (code, "")
    assert err.startswith("error: ../bom.yaml:1:") or err.startswith(f"error: {ws.top}/bom.yaml:1:")
    assert ws.tree() == before


def test_all_mistakes_are_told(ws: Workspace) -> None:
    bom = (
        "targets:\n- target: /\n  mkdirs: [/a, $NONE]\n"
        "  copy: [{files: [b, {name: c, hash: d}], dirs: [e]}]\n"
    )
    (ws.path / "c").write_text("")
    code, _, err = ws.run(bom=bom)
    places = [line.split(":")[2] for line in err.splitlines() if line.startswith("error: ")]
    assert code == 253
    assert places == ["3", "3", "4", "4", "4"]


def test_missing_bom(ws: Workspace) -> None:
    code = main(["copy-bom", "-f", "gone.yaml", "--root", "image"])
    assert code == 255
    assert "there is no BOM file" in ws.capsys.readouterr().err
    assert not ws.image.exists()


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir])
def test_what_is_no_regular_file(ws: Workspace, put: Callable[[Path], None]) -> None:
    put(ws.path / "odd")
    told = f"error: the BOM file {ws.path}/odd is not a regular file\n"
    assert main(["copy-bom", "-f", "odd", "--root", "image"]) == 255
    assert ws.capsys.readouterr().err == told
    code, _, err = ws.run(bom=f"includes: [{ws.path}/odd]")
    assert (code, err) == (255, told)
    code, _, err = ws.run("--loader-config", "odd", bom="targets: []")
    assert (code, err) == (254, "error: the loader config odd is not a regular file\n")
    assert not ws.image.exists()


@pytest.mark.parametrize("options", [[], ["--root"], ["-f"], ["--no-such-option"], ["x"]])
def test_usage(ws: Workspace, options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["copy-bom", "-f", "../bom.yaml", *options])
    assert caught.value.code == 2


def test_places_below_the_working_directory_are_relative(ws: Workspace) -> None:
    (ws.path / "inner.yaml").write_text("target: []")
    _, _, err = ws.run(bom="includes: [ws/inner.yaml]")
    assert err.startswith("error: inner.yaml:1:1: unknown key 'target'")


def test_include_dirs(ws: Workspace) -> None:
    for name in ("one", "two", "three"):
        (ws.path / name).mkdir()
        (ws.path / name / f"{name}.yaml").write_text(f"targets: [{{target: /{name}}}]")
    bom = "includes: [one.yaml, two.yaml, three.yaml]"
    third = str(ws.path / "three")
    ws.told("--include-dir", "one", "./two/", "--include-dir", third, bom=bom)
    assert ws.image_tree().keys() == {"one", "two", "three"}


@pytest.mark.parametrize(
    ("root", "workspace"),
    [("image", "ws"), ("./image/", "ws"), ("x/image", "ws/x"), ("/image", ""), (".", "ws")],
)
def test_workspace_is_the_parent_of_the_root_as_written(
    ws: Workspace, root: str, workspace: str
) -> None:
    root = str(ws.top) + root if root.startswith("/") else root
    (ws.top / workspace).mkdir(exist_ok=True)
    (ws.top / workspace / "here").write_text("1")
    code, out, err = ws.run("--json", "--dry-run", bom=copy("files: [here]"), root=root)
    assert code == 0, err
    source = json.loads(out)["entries"][1]["provenance"]["source"]
    assert f"/{source}" == str(ws.top / workspace / "here")


def test_links_of_the_image_are_not_followed_on_the_host(ws: Workspace) -> None:
    host = ws.top / "host"
    host.mkdir()
    ws.image.mkdir()
    (ws.image / "app").symlink_to(host)
    before = {path: entry for path, entry in ws.tree().items() if not path.startswith("ws/image")}
    ws.told()
    inside = ws.image_tree()
    assert inside["app"] == f"0777 -> {host}"
    assert f"{str(host)[1:]}/run" in inside
    after = {path: entry for path, entry in ws.tree().items() if not path.startswith("ws/image")}
    assert after == before


# The sysroot and modes


def test_sysroot(ws: Workspace) -> None:
    root = ws.top / "sysroot"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/x").write_text("inside")
    (root / "lib").symlink_to("/usr/lib")
    (root / "f").symlink_to("/../../usr/lib/x")
    bom = copy("files: [/lib/x, {name: /f, rename: y}, /etc/passwd]")
    code, _, err = ws.run("--sysroot", "../sysroot", bom=bom)
    assert code == 254
    assert "/etc/passwd" in err
    ws.told("--sysroot", "../sysroot/.", bom=bom.replace(", /etc/passwd", ""))
    assert ws.image_tree() == {"x": "0644 inside", "y": "0644 inside"}


def test_normalized_modes(ws: Workspace) -> None:
    ws.told("--normalize-modes")
    assert {path: entry[:4] for path, entry in ws.image_tree().items()} == {
        "app": "0755",
        "app/conf": "0755",
        "app/conf/a": "0644",
        "app/run": "0755",
        "app/start": "0777",
        "app/tmp": "0755",
    }


def test_modes_of_the_sysroot_are_kept(ws: Workspace) -> None:
    root = ws.top / "sysroot"
    root.mkdir()
    (root / "su").write_text("")
    (root / "su").chmod(0o4711)
    ws.told("--normalize-modes", "--sysroot", str(root), bom=copy("files: [/su]"))
    assert ws.image_tree() == {"su": "4711 "}


# The loader config


def test_loader_config_that_is_not_there(ws: Workspace) -> None:
    code, _, err = ws.run("--loader-config", "gone", bom="target: []")
    assert code == 253
    assert "unknown key 'target'" in err
    assert "there is no loader config gone" in err


def test_malformed_loader_config(ws: Workspace) -> None:
    (ws.path / "config").write_text("/ld.so /lib\n\n/ld.so\n")
    code, _, err = ws.run("--loader-config", "config")
    assert code == 253
    assert err.startswith("error: config:3: a line of the loader config has 2 columns, not 1")
    assert not ws.image.exists()


def test_whole_from_that_is_a_file(ws: Workspace) -> None:
    code, _, err = ws.run(bom=copy("from: src/run"))
    assert code == 252
    assert "src/run is not a directory\n  hint: a file goes under `files`" in err


def test_unknown_key_at_the_top(ws: Workspace) -> None:
    code, _, err = ws.run(bom="version: 1\n" + BOM)
    assert code == 253
    assert "1:1: unknown key 'version' in a BOM\n  hint: known keys: " in err


def test_target_that_is_a_link_of_the_image(ws: Workspace) -> None:
    (ws.image / "u").mkdir(parents=True)
    (ws.image / "t").symlink_to("u")
    bom = "targets: [{target: /t, copy: [{from: src, files: [run]}]}]"
    assert ws.told(bom=bom) == ""
    assert list(ws.image_tree()) == ["t", "u", "u/run"]
    assert ws.told("--sync", bom=bom) == ""
    assert list(ws.image_tree()) == ["t", "t/run"]


def test_a_link_under_dirs_brings_what_it_leads_to(ws: Workspace) -> None:
    (ws.top / "releases/42").mkdir(parents=True)
    (ws.top / "releases/42/run").write_text("42")
    (ws.top / "current").symlink_to("releases/42")
    assert ws.told(bom="targets: [{target: /opt, copy: [{dirs: [../current]}]}]") == ""
    assert not (ws.image / "opt/current").is_symlink()
    assert (ws.image / "opt/current/run").read_text() == "42"


def test_modes_of_directories(ws: Workspace) -> None:
    bom = BOM.replace(
        "mkdirs: [tmp]", 'mkdirs: [{path: tmp, mode: "1777"}, {path: ro, mode: 0555}]'
    )
    bom += "- {target: /app/ro, copy: [{from: src, files: [run]}]}\n"
    for _ in range(2):
        ws.told(bom=bom)
        modes = [stat.S_IMODE((ws.image / "app" / name).stat().st_mode) for name in ("tmp", "ro")]
        assert modes == [0o1777, 0o555]
    _, out, _ = ws.run("--json", "--dry-run", bom=bom)
    manifest = {one["path"]: one["mode"] for one in json.loads(out)["entries"]}
    assert (manifest["/app/tmp"], manifest["/app/ro"]) == ("1777", "0555")
