"""Sums up JUnit XML reports: each test, what went wrong, and last the line "N passed, N failed".

Usage: summarize.py REPORTS_DIRECTORY < addresses of all test targets, one a line

A skipped test counts as failed, and so does a test target without a report.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path


def outcomes(reports: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """The name and the outcome ("passed" or what went wrong) of each test."""
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            wrong = [child for child in case if child.tag in ("failure", "error", "skipped")]
            outcome = f"{wrong[0].tag}: {wrong[0].get('message', '')}" if wrong else "passed"
            yield f"{_of(report, case)} {case.get('name')}", outcome.splitlines()[0]


def properties(reports: Iterable[Path]) -> Iterator[str]:
    """What tests recorded with pytest's `record_property`, one line each."""
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            test = f"{_of(report, case)} {case.get('name')}"
            for one in case.iter("property"):
                yield f"{test}: {one.get('name')} {one.get('value')}"


def without_report(addresses: Iterable[str], reports: Iterable[Path]) -> list[str]:
    """The test targets that Pants wrote no report for, as when collecting their tests failed."""
    written = {report.stem for report in reports}
    for report in filter(_is_of_several, reports):
        written |= {
            case.get("classname", "") for case in ElementTree.parse(report).iter("testcase")
        }
    return [
        address for address in addresses if not written & {report_name(address), _module(address)}
    ]


def _is_of_several(report: Path) -> bool:
    """Whether it is of several files of tests that Pants ran in one process."""
    return report.stem.startswith("batch-of-")


def _of(report: Path, case: ElementTree.Element) -> str:
    return case.get("classname", "") if _is_of_several(report) else report.stem


def _module(address: str) -> str:
    """What pytest calls the file of an address."""
    return address.partition(":")[0].rpartition(".py")[0].replace("/", ".")


def report_name(address: str) -> str:
    """The file name of an address's report: a/b_test.py:../tests has a.b_test.py@tests."""
    path, _, target = address.partition(":")
    levels = target.count("../")
    separator = "@" * levels or "."
    return path.replace("/", ".") + separator + target[3 * levels :]


def main() -> int:
    reports = sorted(Path(sys.argv[1]).glob("*.xml"))
    results = list(outcomes(reports))
    results += [(name, "no report") for name in without_report(sys.stdin.read().split(), reports)]
    failed = [result for result in results if result[1] != "passed"]
    for name, outcome in results:
        print(f"{outcome}  {name}")
    for line in properties(reports):
        print(line)
    if failed:
        print("\nnot passed:")
        for name, outcome in failed:
            print(f"{outcome}  {name}")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
