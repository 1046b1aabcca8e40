from __future__ import annotations

import pytest

pytest.importorskip("license_expression", reason="license-expression is not installed")

from occlum_build.sbom.licensing import MOST_CHARACTERS, expression_of


@pytest.mark.parametrize(
    ("declared", "due"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("LGPL-3.0+", "LGPL-3.0-or-later"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("MIT License", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("(mit OR (isc AND zlib))", "(MIT OR (ISC AND Zlib))"),
        ("GPL-2+ or Artistic", "GPL-2.0-or-later OR Artistic-1.0-Perl"),
        ("Expat and Zlib or ISC", "(MIT AND Zlib) OR ISC"),
        ("GPL-2+ or Expat, and ISC", "(GPL-2.0-or-later OR MIT) AND (ISC)"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ],
)
def test_known_licenses(declared: str, due: str) -> None:
    assert expression_of([declared], {}) == (due, ())


@pytest.mark.parametrize(
    "declared",
    [
        *("public-domain", "((", "MIT AND", "and", "or", "LicenseRef-scancode-x", "GPL-2+ with X"),
        *("GCC-exception-3.1", "日本", "a/b", "MIT WITH MIT"),
        *(
            "()",
            "(MIT",
            "MIT)",
            "MIT (ISC)",
            "MIT WITH (ISC)",
            "(MIT) WITH GCC-exception-3.1",
            "WITH GCC-exception-3.1",
        ),
        "GPL-2.0-only WITH GCC-exception-3.1 WITH GCC-exception-3.1",
    ],
)
def test_what_is_no_license_is_a_reference_with_its_text(declared: str) -> None:
    text, refs = expression_of([declared], {declared: "do what you like"})
    assert [name for name, _ in refs] == [text] and text.startswith("LicenseRef-")
    assert refs[0][1] == "do what you like"


def test_one_name_with_two_texts() -> None:
    one, other = (expression_of(["PD"], {"PD": text}).text for text in ("a", "b"))
    assert one != other


def test_all_of_several_hold() -> None:
    assert expression_of(["Expat", "GPL-2 or Expat", "MIT"], {}).text == (
        "(GPL-2.0-only OR MIT) AND MIT"
    )
    assert expression_of([], {}) == ("", ())


def test_a_very_long_license() -> None:
    text, refs = expression_of(["x" * 1_000_000], {})
    assert len(text) < 200 and len(refs[0][1]) == MOST_CHARACTERS
