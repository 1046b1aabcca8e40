"""The result of a test, which Pants takes of one process, and since 2.19 of several."""

from __future__ import annotations

from pants.core.goals.test import ShowOutput, TestResult
from pants.engine.addresses import Address
from pants.engine.fs import Snapshot
from pants.engine.process import FallibleProcessResult

from pants_occlum.compat.versions import TESTS_REPEATED


def test_result(
    result: FallibleProcessResult, address: Address, output: ShowOutput, report: Snapshot
) -> TestResult:
    """The result of a test that one process has run, with its JUnit XML."""
    if TESTS_REPEATED:
        return TestResult.from_fallible_process_result(
            (result,), address, output, xml_results=report
        )
    return TestResult.from_fallible_process_result(result, address, output, xml_results=report)


test_result.__test__ = False  # type: ignore[attr-defined]
