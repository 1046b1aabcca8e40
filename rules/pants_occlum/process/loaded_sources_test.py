from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest
from pants.engine.internals.session import RunId

from pants_occlum import register
from pants_occlum.process import loaded_sources
from pants_occlum.process.loaded_sources import LoadedSources, PluginChanged

RUN, NEXT_RUN = RunId(1), RunId(2)
FILES = {
    "__init__.py": "",
    "a.py": "A = 1\n",
    "a_test.py": "",
    "data/base.yaml": "targets: []\n",
    "data/notes.txt": "",
    "data/.#b.py": "an editor's",
    "data/__pycache__/b.py": "",
    "data/b.py": "B = 1\n",
}
LOADED_FILES = ["some_plugin/" + path for path in ("__init__.py", "a.py", "data/b.py")]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "some_plugin"
    for path, text in FILES.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    _import_from(tmp_path, monkeypatch)
    return top


def _import_from(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "some_plugin", raising=False)


def test_contents_are_those_of_sources_and_data(package: Path) -> None:
    loaded = LoadedSources(["some_plugin"])
    (package / "a.py").write_text("A = 2\n")
    assert sorted(loaded.contents) == sorted([*LOADED_FILES, "some_plugin/data/base.yaml"])
    assert loaded.contents["some_plugin/a.py"] == b"A = 1\n"


def test_no_change(package: Path) -> None:
    loaded = LoadedSources(["some_plugin"])
    (package / "a_test.py").write_text("changed\n")
    (package / "new.py").write_text("")
    loaded.start_run()
    loaded.require_unchanged(RUN)


@pytest.mark.parametrize("path", ["a.py", "data/base.yaml"])
def test_change_is_an_error_until_it_is_taken_back(package: Path, path: str) -> None:
    loaded = LoadedSources(["some_plugin"])
    before = (package / path).read_text()
    (package / path).write_text(before.swapcase())
    loaded.start_run()
    for _ in range(2):
        with pytest.raises(PluginChanged) as caught:
            loaded.require_unchanged(RUN)
        message, _, hint = str(caught.value).partition("\n  hint: ")
        assert message.startswith(f"{package / path} changed after Pants had loaded the plugin")
        assert "pants_ignore" in hint
    (package / path).write_text(before)
    loaded.start_run()
    loaded.require_unchanged(NEXT_RUN)


def test_change_that_keeps_size_and_date(package: Path) -> None:
    file = package / "a.py"
    loaded, stat = LoadedSources(["some_plugin"]), file.stat()
    file.write_text("A = 2\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    loaded.start_run()
    with pytest.raises(PluginChanged):
        loaded.require_unchanged(RUN)


def test_file_that_is_written_anew_is_read_once(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = LoadedSources(["some_plugin"])
    read: list[Path] = []
    new = package / "new"
    new.write_text(FILES["a.py"])
    new.replace(package / "a.py")
    read_bytes = Path.read_bytes

    def noted(file: Path) -> bytes:
        read.append(file)
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", noted)
    for _ in range(2):
        loaded.start_run()
        loaded.require_unchanged(RUN)
    assert read == [package / "a.py"]


def test_removed_files_are_counted(package: Path) -> None:
    loaded = LoadedSources(["some_plugin"])
    (package / "a.py").unlink()
    (package / "data/b.py").unlink()
    loaded.start_run()
    with pytest.raises(PluginChanged, match=r"a\.py and 1 more of the plugin's files changed"):
        loaded.require_unchanged(RUN)


def test_change_during_a_run_counts_for_the_next(package: Path) -> None:
    loaded = LoadedSources(["some_plugin"])
    loaded.start_run()
    (package / "a.py").write_text("A = 2\n")
    loaded.require_unchanged(RUN)
    loaded.require_unchanged(RUN)
    # `--loop` starts no run, it goes on with another run id.
    with pytest.raises(PluginChanged):
        loaded.require_unchanged(NEXT_RUN)


def test_package_in_an_archive(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "plugin.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path, text in FILES.items():
            file.writestr(f"some_plugin/{path}", text)
    on_disk = LoadedSources(["some_plugin"])
    _import_from(archive, monkeypatch)
    loaded = LoadedSources(["some_plugin"])
    assert loaded.contents == on_disk.contents
    archive.unlink()
    loaded.start_run()
    loaded.require_unchanged(RUN)


def test_each_start_of_pants_looks(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pants asks a backend for its rules at the start of each run, of pantsd's too.
    loaded = LoadedSources(["some_plugin"])
    monkeypatch.setattr(loaded_sources, "LOADED", loaded)
    (package / "a.py").write_text("A = 2\n")
    loaded.require_unchanged(RUN)
    register.rules()
    with pytest.raises(PluginChanged):
        loaded.require_unchanged(RUN)


@pytest.mark.parametrize("folder", [".pids", ".pants.d/pids"])
@pytest.mark.parametrize("is_ours", [True, False])
def test_pantsd_is_not_taken_for_the_next_run(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_ours: bool, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pantsd = tmp_path / folder / "host/pantsd"
    pantsd.mkdir(parents=True)
    (pantsd / "pid").write_text(str(os.getpid() if is_ours else os.getppid()))
    fingerprint = pantsd / "fingerprint"
    fingerprint.touch()
    loaded = LoadedSources(["some_plugin"])
    loaded.start_run()
    assert fingerprint.exists()
    (package / "a.py").write_text("A = 2\n")
    for _ in range(2):
        loaded.start_run()
        assert fingerprint.exists() is not is_ours
