"""The sum of test reports that .ci/run ends with."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import summarize

REPORT = """<testsuites><testsuite name="pytest">
<testcase name="test_good"/>
<testcase name="test_bad"><failure message="assert 1 == 2&#10;more">x</failure></testcase>
<testcase name="test_broken"><error message="fixture gone">x</error></testcase>
<testcase name="test_lazy"><skipped message="no gcc">x</skipped></testcase>
</testsuite></testsuites>"""
GOOD = '<testsuites><testsuite><testcase name="test_good"/></testsuite></testsuites>'


def run(
    reports: Path,
    addresses: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, list[str]]:
    monkeypatch.setattr("sys.argv", ["summarize.py", str(reports)])
    monkeypatch.setattr("sys.stdin", io.StringIO(addresses))
    exit_code = summarize.main()
    return exit_code, capsys.readouterr().out.splitlines()


def test_skips_errors_and_failures_are_not_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src.a_test.py.tests.xml").write_text(REPORT)

    exit_code, lines = run(tmp_path, "src/a_test.py:tests\n", monkeypatch, capsys)

    assert exit_code == 1
    assert lines[-1] == "1 passed, 3 failed"
    assert "passed  src.a_test.py.tests test_good" in lines
    assert "failure: assert 1 == 2  src.a_test.py.tests test_bad" in lines
    assert "skipped: no gcc  src.a_test.py.tests test_lazy" in lines


def test_reports_are_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src.a_test.py.tests.xml").write_text(GOOD)
    (tmp_path / "src.b.c_test.py@@tests.xml").write_text(GOOD)

    addresses = "src/a_test.py:tests\nsrc/b/c_test.py:../../tests\n"

    assert run(tmp_path, addresses, monkeypatch, capsys)[0] == 0
    assert run(tmp_path, addresses, monkeypatch, capsys)[1][-1] == "2 passed, 0 failed"


def test_a_target_without_report_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src.a_test.py.tests.xml").write_text(GOOD)

    exit_code, lines = run(
        tmp_path, "src/a_test.py:tests\nsrc/gone_test.py:tests\n", monkeypatch, capsys
    )

    assert exit_code == 1
    assert lines[-1] == "1 passed, 1 failed"
    assert "no report  src/gone_test.py:tests" in lines


def test_no_test_at_all_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "", monkeypatch, capsys) == (1, ["0 passed, 0 failed"])


def test_recorded_properties_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_test.py.tests.xml").write_text(
        '<testsuites><testsuite><testcase name="test_good"><properties>'
        '<property name="compared" value="7 programs"/>'
        "</properties></testcase></testsuite></testsuites>"
    )
    exit_code, lines = run(tmp_path, "a_test.py:tests", monkeypatch, capsys)
    assert exit_code == 0
    assert "a_test.py.tests test_good: compared 7 programs" in lines


def test_files_that_ran_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "batch-of-src.a_test.py.tests+2-files.xml").write_text(
        "<testsuites><testsuite>"
        '<testcase classname="src.a_test" name="test_good"/>'
        '<testcase classname="src.b.b_test" name="test_good"/>'
        '<testcase classname="src.b.b_test" name="test_lazy"><skipped message="no gcc"/></testcase>'
        "</testsuite></testsuites>"
    )
    addresses = "src/a_test.py:tests\nsrc/b/b_test.py:../tests\nsrc/b/gone_test.py:../tests\n"

    exit_code, lines = run(tmp_path, addresses, monkeypatch, capsys)

    assert exit_code == 1
    assert lines[:4] == [
        "passed  src.a_test test_good",
        "passed  src.b.b_test test_good",
        "skipped: no gcc  src.b.b_test test_lazy",
        "no report  src/b/gone_test.py:../tests",
    ]
    assert lines[-1] == "2 passed, 2 failed"
