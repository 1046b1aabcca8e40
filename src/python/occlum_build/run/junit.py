"""The report of one test as JUnit XML, as CI systems read it of pytest, too.

No time is in it: the same result gives the same bytes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

# What XML 1.0 has no way to say: https://www.w3.org/TR/xml/#charsets
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(suite: str, name: str, told: str | None, *, is_skipped: bool = False) -> bytes:
    """The report of a test; `told` is why it failed or was skipped, None where it has passed."""
    suites = ElementTree.Element("testsuites")
    outcome = "" if told is None else "skipped" if is_skipped else "failure"
    counts = {
        "tests": "1",
        "failures": str(int(outcome == "failure")),
        "errors": "0",
        "skipped": str(int(outcome == "skipped")),
    }
    of_test = ElementTree.SubElement(suites, "testsuite", {"name": suite, **counts})
    case = ElementTree.SubElement(of_test, "testcase", {"classname": suite, "name": name})
    if told is not None:
        text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", told)
        message = next(iter(text.splitlines()), "")
        ElementTree.SubElement(case, outcome, {"message": message}).text = text
    report: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return report + b"\n"
