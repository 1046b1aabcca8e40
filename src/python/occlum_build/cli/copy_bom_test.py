from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from occlum_build.cli.main import main
from occlum_build.image.testing_schema import check_manifest

BOM = """\
targets:
- target: /app
  mkdirs: [tmp]
  createlinks: [{src: run, linkname: start}]
  copy:
  - {from: src, files: [run], dirs: [conf]}
"""


class Workspace:
    """The working directory `ws` with sources `src`; the BOM lies above it, the image in it."""

    def __init__(self, top: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.top, self.capsys = top, capsys
        self.path = top / "ws"
        self.image = self.path / "image"
        self.bom = top / "bom.yaml"
        (self.path / "src/conf").mkdir(parents=True)
        (self.path / "src/run").write_text("run\n")
        (self.path / "src/run").chmod(0o751)
        (self.path / "src/conf/a").write_text("a")
        (self.path / "src/conf/a").chmod(0o640)
        (self.path / "src/conf").chmod(0o750)

    def run(self, *options: str, bom: str = BOM, root: str = "image") -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        self.bom.write_text(bom)
        arguments = ["copy-bom", "-f", "../bom.yaml", "--root", root, *options]
        try:
            code = main(arguments)
        except SystemExit as usage:
            code = usage.code if isinstance(usage.code, int) else -1
        out, err = self.capsys.readouterr()
        return code, out, err

    def told(self, *options: str, bom: str = BOM, root: str = "image") -> str:
        """Standard error of a run that succeeds."""
        code, out, err = self.run(*options, bom=bom, root=root)
        assert (code, out) == (0, ""), err
        return err

    def tree(self) -> dict[str, str]:
        """All below the top directory but the BOM: path -> mode, and content or target."""
        found = {}
        for path in sorted(self.top.rglob("*")):
            mode = f"{stat.S_IMODE(path.lstat().st_mode):04o}"
            text = f" -> {os.readlink(path)}" if path.is_symlink() else ""
            text = f" {path.read_text()}" if path.is_file() and not text else text
            found[str(path.relative_to(self.top))] = mode + text
        return {path: entry for path, entry in found.items() if path != "bom.yaml"}

    def image_tree(self) -> dict[str, str]:
        prefix = "ws/image/"
        return {
            path[len(prefix) :]: entry
            for path, entry in self.tree().items()
            if path.startswith(prefix)
        }


@pytest.fixture
def ws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path, capsys)
    monkeypatch.chdir(workspace.path)
    for name in ("OCCLUM_LOG_LEVEL", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0o022)
    yield workspace
    os.umask(before)


DUE = {
    "app": "0755",
    "app/conf": "0750",
    "app/conf/a": "0640 a",
    "app/run": "0751 run\n",
    "app/start": "0777 -> run",
    "app/tmp": "0755",
}


def _copy(item: str) -> str:
    return f"targets: [{{target: /, copy: [{{{item}}}]}}]"


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
        (_copy("files: [{name: gone, hash: a}]"), 255),
        (_copy("files: [gone]"), 254),
        ("target: []", 253),
        (_copy("dirs: [gone]"), 252),
        (
            "targets: [{target: /, mkdirs: [a], createlinks: [{src: x, linkname: a}]}]",
            251,
        ),
        (_copy("from: src, files: [{name: run, hash: a}]"), 249),
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
    code, out, err = ws.run("--json", "--dry-run", bom=_copy("files: [here]"), root=root)
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


def test_image_that_is_not_empty_is_told(ws: Workspace) -> None:
    ws.image.mkdir()
    (ws.image / "x").write_text("")
    (ws.image / "y").write_text("")
    note = ws.told()
    assert note.startswith("note: the image holds /x and 1 more, which the BOM does not name\n")
    assert "keep it where another BOM or `new` put it there; --sync deletes all of it" in note
    assert ws.image_tree() == {**DUE, "x": "0644 ", "y": "0644 "}


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
    bom = _copy(f"from: {ws.path}/src, files: [run]")
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
    code, out, err = ws.run("--json", bom=_copy("files: [f]"), root=f"{odd}/image")
    assert (code, err) == (0, "")
    assert json.loads(out)["entries"][1]["provenance"]["source"].endswith("/\\udcff/f")


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
    assert "/src/conf/\\udcff is not UTF-8" in err
    assert ws.run(bom="excludes: ['[!a]']\n" + _copy("dirs: [src/conf]"))[0] == 0
    code, _, err = ws.run(bom=_copy("files: ['src/conf/*']"))
    assert code == 254
    assert "is not UTF-8" in err


def test_why(ws: Workspace) -> None:
    code, out, _ = ws.run("--why", "/app/run")
    assert code == 0
    assert out == f"{ws.top}/bom.yaml:6:25 -> /app/run\n"
    assert not ws.image.exists()
    code, _, err = ws.run("--why", "gone")
    assert code == 254
    assert "would not hold /gone" in err


def test_why_of_what_a_file_in_an_archive_needs(ws: Workspace) -> None:
    with zipfile.ZipFile(ws.path / "app.zip", "w") as archive:
        archive.write("/bin/true", "bin/tool")
    libc = "/lib/x86_64-linux-gnu/libc.so.6"
    code, out, _ = ws.run("--why", libc, bom=_copy("files: [app.zip]"))
    assert code == 0
    assert out == f"{ws.top}/bom.yaml:1:39 -> /app.zip -> /app.zip/bin/tool -> {libc}\n"


# The sysroot and modes


def test_sysroot(ws: Workspace) -> None:
    root = ws.top / "sysroot"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/x").write_text("inside")
    (root / "lib").symlink_to("/usr/lib")
    (root / "f").symlink_to("/../../usr/lib/x")
    bom = _copy("files: [/lib/x, {name: /f, rename: y}, /etc/passwd]")
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
    ws.told("--normalize-modes", "--sysroot", str(root), bom=_copy("files: [/su]"))
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


# Images that cannot be written


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_image_that_is_a_file(ws: Workspace, options: list[str]) -> None:
    ws.image.write_text("file")
    code, _, err = ws.run(*options)
    assert code == 252
    assert err == f"error: {ws.image} is not a directory\n"
    assert ws.image.read_text() == "file"


def test_image_below_a_file(ws: Workspace) -> None:
    code, _, err = ws.run(root="src/run/image", bom="targets: [{target: /}]")
    assert code == 1
    assert err == f"error: {ws.path}/src/run/image cannot be written: Not a directory\n"


def test_working_directory_that_has_gone(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["copy-bom", "-f", str(ws.bom), "--root", str(ws.image)]) == 1
    assert ws.capsys.readouterr().err.startswith("error: ")


# As a process


def _process(ws: Workspace, redirect: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    ws.bom.write_text(BOM)
    command = (
        f"exec {sys.executable} -m occlum_build.cli.main copy-bom -f ../bom.yaml --root image"
        f" --json {redirect}"
    )
    return subprocess.run(
        ["bash", "-c", command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **env},
        capture_output=True,
    )


def test_output_that_nobody_reads(ws: Workspace) -> None:
    done = _process(ws, "| true; exit ${PIPESTATUS[0]}")
    assert done.stderr == b""


def test_output_to_a_full_device(ws: Workspace) -> None:
    done = _process(ws, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device\n"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_output_in_any_locale(ws: Workspace, locale: str) -> None:
    (ws.path / "src/conf/\u00fc").write_text("")
    done = _process(ws, "", LC_ALL=locale)
    assert done.stderr == b""
    paths = [entry["path"] for entry in json.loads(done.stdout)["entries"]]
    assert "/app/conf/\u00fc" in paths


def test_locale_that_is_not_utf8(ws: Workspace) -> None:
    done = _process(ws, "", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: the locale has names of files in ")
    assert not ws.image.exists()


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "1>&- 2>&-"])
def test_closed_output(ws: Workspace, closed: str) -> None:
    done = _process(ws, closed)
    assert b"Traceback" not in done.stderr


SYSTEM = _copy("from: .., dirs: [ubin/, ulib/]")


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
    code, _, err = ws.run(bom=_copy("from: .., dirs: [ubin/]"))
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
    reverse = _copy("from: .., dirs: [ulib/, ubin/]")
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
    told = ws.told(bom=_copy("from: .., dirs: [ulib/, ubin/]"))
    assert f"the {perl} /perl takes the place of the directory that " in told
    assert list(ws.image_tree()) == ["perl"]


def test_directory_in_place_of_a_named_file(ws: Workspace) -> None:
    _system(ws, "file")
    code, _, told = ws.run(bom=_copy("from: .., dirs: [ulib/], files: [ubin/perl]"))
    assert code == 254 and 'leave the copied directory out: `excludes: ["perl/"]`' in told
    linked = _copy("from: .., dirs: [ulib/]").replace(
        "copy:", "createlinks: [{src: x, linkname: perl}], copy:"
    )
    assert ws.run(bom=linked)[0] == 251


def test_whole_from_that_is_a_file(ws: Workspace) -> None:
    code, _, err = ws.run(bom=_copy("from: src/run"))
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


def test_links_to_nothing_are_told_once_a_line(ws: Workspace) -> None:
    (ws.path / "src/conf/l").symlink_to("/app/run")
    (ws.path / "src/conf/m").symlink_to("../gone")
    bom = BOM.replace("src: run", "src: app/run")
    told = ws.told(bom=bom)
    assert "the link /app/conf/m -> ../gone leads to nothing in the image" in told
    assert "the link /app/start -> app/run leads to nothing in the image" in told
    assert told.count("warning: ") == 2
    assert "/app/run leads" not in ws.told("--allow", "link-dangling", bom=bom)


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
