from __future__ import annotations

import pytest

from occlum_build.image.testing import Files, plan_bom

RELEASES: Files = {
    "releases/42/bin/run": b"42",
    "releases/41/bin/run": b"41",
    "current": "-> releases/42",
    "newest": "-> current",
    "absolute": "-> /srv/42",
    "/srv/42/bin/run": b"srv",
}


def _plan(dirs: str, files: Files = RELEASES, target: str = "/opt/app") -> dict[str, str]:
    planned = plan_bom(f"targets: [{{target: {target}, copy: [{{dirs: [{dirs}]}}]}}]", files)
    assert planned.errors == ()
    return planned.sources


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("current", "releases/42/bin/run"),
        ("newest", "releases/42/bin/run"),
        ("absolute", "/srv/42/bin/run"),
    ],
)
def test_a_link_is_followed(name: str, source: str) -> None:
    assert _plan(f"../{name}") == {f"opt/app/{name}/bin/run": source}


def test_a_link_stays_beside_what_it_leads_to() -> None:
    found = _plan("../releases, ../current")
    assert found["opt/app/current"] == "-> releases/42"
    assert found["opt/app/releases/42/bin/run"] == "releases/42/bin/run"
    assert _plan("../current, ../releases") == found
    assert _plan("../newest, ../current, ../releases")["opt/app/newest"] == "-> current"


def test_a_link_does_not_stay_where_it_would_lead_elsewhere() -> None:
    bom = "targets: [{target: /a, copy: [{dirs: [../current]}]}, {target: /b, copy: [%s]}]"
    sources = plan_bom(bom % "{dirs: [../releases]}", RELEASES).sources
    assert sources["a/current/bin/run"] == "releases/42/bin/run"
    assert "b/releases/42/bin/run" in sources


def test_another_bom_may_bring_what_the_link_leads_to() -> None:
    bom = "includes: [other.yaml]\ntargets: [{target: /a, copy: [{dirs: [../current]}]}]"
    other = b"targets: [{target: /a, copy: [{dirs: [../releases]}]}]"
    assert plan_bom(bom, {**RELEASES, "other.yaml": other}).sources["a/current"] == "-> releases/42"


JVM: Files = {
    "/usr/lib/jvm/java-17/bin/java": b"",
    "/usr/lib/jvm/java-1.17": "-> java-17",
    "/usr/lib/jvm/default": "-> java-1.17",
    "/usr/lib/jvm/all": "-> /usr/lib/jvm/java-17",
    "/usr/lib/jvm/gone": "-> nothing",
}


def test_links_that_a_pattern_matches() -> None:
    assert _plan("/usr/lib/jvm/*", JVM, "/jvm") == {
        "jvm/java-17/bin/java": "/usr/lib/jvm/java-17/bin/java",
        "jvm/java-1.17": "-> java-17",
        "jvm/default": "-> java-1.17",
        "jvm/all/bin/java": "/usr/lib/jvm/java-17/bin/java",
        "jvm/gone": "-> nothing",
    }
    assert _plan("/usr/lib/jvm/java-1.*", JVM, "/jvm") == {
        "jvm/java-1.17/bin/java": "/usr/lib/jvm/java-17/bin/java"
    }


def test_a_link_stays_where_its_contents_are_copied_on_a_line_of_their_own() -> None:
    bom = "targets: [{target: /a, copy: [{dirs: [../l]}]}, {target: /b, copy: [{dirs: [../l/]}]}]"
    assert plan_bom(bom, {"d/f": b"", "l": "-> d"}).sources == {"a/l": "-> d", "b/f": "d/f"}


def test_links_of_the_root_directory() -> None:
    files: Files = {"/bin": "-> usr/bin", "/usr/bin/sh": b""}
    assert _plan("/bin", files, "/") == {"bin/sh": "/usr/bin/sh"}
    assert _plan("/bin, /usr", files, "/") == {"bin": "-> usr/bin", "usr/bin/sh": "/usr/bin/sh"}
    assert _plan("/bin, /usr/bin", files, "/") == {"bin/sh": "/usr/bin/sh"}


def test_a_link_stays_where_the_image_has_one() -> None:
    bom = """
      targets:
        - {target: /, createlinks: [{src: usr/bin, linkname: bin}], copy: [{dirs: [/bin]}]}
        - {target: /usr, copy: [{dirs: [/usr/bin]}]}
    """
    planned = plan_bom(bom, {"/bin": "-> usr/bin", "/usr/bin/sh": b""})
    assert planned.errors == ()
    assert planned.sources == {"bin": "-> usr/bin", "usr/bin/sh": "/usr/bin/sh"}
