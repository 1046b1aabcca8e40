from __future__ import annotations

from occlum_build.errors import Place, Report
from occlum_build.image.entries import DIR, FILE, Entry, Origin
from occlum_build.oci.whiteouts import check_whiteouts


def _errors(*paths: str) -> list[str]:
    report = Report()
    check_whiteouts((Entry(path, FILE, Origin(Place("bom.yaml", 3, 7))) for path in paths), report)
    return [str(one) for one in report.errors]


def test_names_that_mean_nothing() -> None:
    assert _errors("a.wh.b", ".whatever", ".wh/x", "wh.x", "d/.w") == []


def test_whiteouts_are_refused() -> None:
    (error,) = _errors("d/.wh.passwd", "d/.wh..wh..opq", ".wh.", "e/.wh.x")
    assert error.startswith("bom.yaml:3:7: /d/.wh.passwd, /d/.wh..wh..opq, /.wh. and /e/.wh.x: in")


def test_a_directory_of_such_a_name() -> None:
    report = Report()
    check_whiteouts([Entry(".wh.d", DIR, Origin(Place("f")))], report)
    assert len(report.errors) == 1
