from __future__ import annotations

from occlum_build.packages.stanzas import one_line, stanzas_of

TEXT = b"""\
Package: a
Version:1
Depends: b,
 c (>= 2)
Description: Package: no
 Version: 9 is no field

package: d
Version: 2
Other: x


Nothing: of these

Package: e\xff
Version:
"""


def test_fields_that_were_asked_for() -> None:
    assert list(stanzas_of(TEXT, ["Package", "Version", "Depends"])) == [
        {"Package": "a", "Version": "1", "Depends": "b,\n c (>= 2)"},
        {"Package": "d", "Version": "2"},
        {"Package": "e\udcff", "Version": ""},
    ]


def test_folded_value_as_one_line() -> None:
    assert one_line("b,\n c (>= 2)") == "b, c (>= 2)"


def test_one_of_no_stanza() -> None:
    assert list(stanzas_of(b"", ["Package"])) == []
    assert list(stanzas_of(b"no control file\n", ["Package"])) == []
