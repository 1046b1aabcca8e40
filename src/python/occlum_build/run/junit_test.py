from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from occlum_build.run.junit import junit_xml


def test_a_test_that_passed() -> None:
    report = junit_xml("app", "greets", None)
    assert report.decode().splitlines() == [
        "<?xml version='1.0' encoding='utf-8'?>",
        '<testsuites><testsuite name="app" tests="1" failures="0" errors="0" skipped="0">'
        '<testcase classname="app" name="greets" /></testsuite></testsuites>',
    ]


def test_a_test_that_failed_says_why_with_whatever_was_printed() -> None:
    report = junit_xml("a", "b", "exit code: <1> & \x1b\ud800\nmore ]]>\n")
    (failure,) = ElementTree.fromstring(report).iter("failure")
    assert failure.get("message") == "exit code: <1> & \N{REPLACEMENT CHARACTER}" + (
        "\N{REPLACEMENT CHARACTER}"
    )
    assert (failure.text or "").endswith("\nmore ]]>\n")


def test_a_test_that_was_skipped() -> None:
    suites = ElementTree.fromstring(junit_xml("a", "b", "no redis\n", is_skipped=True))
    (suite,) = suites
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    assert [one.get("message") for one in suite.iter("skipped")] == ["no redis"]


def test_a_failure_without_a_word() -> None:
    (failure,) = ElementTree.fromstring(junit_xml("a", "b", "")).iter("failure")
    assert failure.get("message") == ""
