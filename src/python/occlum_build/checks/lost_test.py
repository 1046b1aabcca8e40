from __future__ import annotations

from occlum_build.checks.lost import lost_problems
from occlum_build.checks.root import Root
from occlum_build.errors import NOTE, WARNING, Place
from occlum_build.image.entries import FILE, Entry, Origin
from occlum_build.image.testing import TreeView
from occlum_build.sources.model import SourceStat

MIB = 1 << 20


def _root(*files: SourceStat, size: int = 0) -> Root:
    class View(TreeView):
        def lstat(self, path: str) -> SourceStat | None:
            return files[int(path[1:])]

    entries = [
        Entry(f"bin/{number}", FILE, Origin(Place("b", 1 + number // 5)), source=f"/{number}")
        for number in range(len(files))
    ]
    return Root([entry._replace(size=size) for entry in entries], View({}))


def test_plain_files() -> None:
    assert lost_problems(_root(SourceStat(FILE, size=10))) == []


def test_capabilities_are_told_once_a_line() -> None:
    first, second = lost_problems(
        _root(*[SourceStat(FILE, xattrs=("security.capability", "user.x"))] * 6)
    )
    assert (first.code, first.severity, first.place) == ("xattr", WARNING, Place("b", 1))
    assert first.message == (
        "/bin/0, /bin/1, /bin/2 and 2 more have Linux capabilities (security.capability), which "
        "no image keeps"
    )
    assert second.message.startswith("/bin/5 has Linux capabilities")


def test_other_attributes_are_a_note() -> None:
    (note,) = lost_problems(_root(SourceStat(FILE, xattrs=("user.x", "user.y"))))
    assert note.severity == NOTE
    assert note.message == "/bin/0 has extended attributes that no image keeps: user.x, user.y"


def test_sparse_files() -> None:
    (problem,) = lost_problems(_root(SourceStat(FILE, holes=3071 * MIB), size=3072 * MIB))
    assert (problem.code, problem.severity) == ("sparse", WARNING)
    assert problem.message.startswith("/bin/0 is sparse, 1 of 3,072 MiB on disk: layers,")
