from __future__ import annotations

from pathlib import Path

from occlum_build.errors import NOTE, WARNING
from occlum_build.sefs.modes import lost_modes
from occlum_build.sefs.tree import scan_tree
from occlum_build.sources.model import DIR, FILE, SYMLINK


def test_what_is_kept() -> None:
    entries = [("a", FILE, 0o777), ("d", DIR, 0o755), ("l", SYMLINK, 0o7777)]
    assert list(lost_modes(entries)) == []


def test_what_is_lost() -> None:
    entries = [(f"bin/{n}", FILE, 0o4755) for n in range(5)]
    entries += [("tmp", DIR, 0o1777), ("shared", DIR, 0o2755), ("data", FILE, 0o4644)]
    programs, others = lost_modes(entries)
    assert (programs.code, programs.severity) == ("sefs-mode", WARNING)
    assert programs.message.startswith("/bin/0, /bin/1, /bin/2 and 2 more are without the set-user")
    assert others.severity == NOTE
    assert others.message.startswith("/data, /shared and /tmp are without the bits beyond 0777")


def test_a_tree_tells_what_it_loses(tmp_path: Path) -> None:
    (tmp_path / "su").touch()
    (tmp_path / "su").chmod(0o4755)
    (tmp_path / "tmp").mkdir()
    (warning,) = scan_tree(tmp_path).warnings
    assert warning.message.startswith("/su is without the set-user-ID")
    told = scan_tree(tmp_path, {"su": 0o755, "tmp": 0o1777}).warnings
    assert [one.severity for one in told] == [WARNING, NOTE]
