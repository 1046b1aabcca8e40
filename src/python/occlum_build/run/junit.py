"""The report of one test as JUnit XML, as CI systems read it of pytest, too.

No time is in it: the same result gives the same bytes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

# What XML 1.0 has no way to say: https://www.w3.org/TR/xml/#charsets
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(suite: str, name: str, failure: str | None) -> bytes:
    """The report of a test; `failure` is what is told of it, None where it has passed."""
    suites = ElementTree.Element("testsuites")
    counts = {"tests": "1", "failures": "0" if failure is None else "1", "errors": "0"}
    of_test = ElementTree.SubElement(suites, "testsuite", {"name": suite, **counts, "skipped": "0"})
    case = ElementTree.SubElement(of_test, "testcase", {"classname": suite, "name": name})
    if failure is not None:
        text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", failure)
        message = next(iter(text.splitlines()), "")
        ElementTree.SubElement(case, "failure", {"message": message}).text = text
    report: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return report + b"\n"
