"""The resolver on small universes; what users of other tools complain of is among them."""

from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.resolve import Wish, resolve
from occlum_build.packages.testing_universe import suite, universe
from occlum_build.packages.universe import Universe

BOOKWORM = "a 1; D: b (>= 1) | c, d\nb 1\nc 1\nd 2; P: e\ne 1"


def chosen(there: Universe, *packages: str, **wish: object) -> str:
    """What is chosen, `name version` each."""
    found = resolve(there, Wish(packages, **wish))  # type: ignore[arg-type]
    return ", ".join(f"{one.name} {one.version}" for one in found.packages.values())


def errors(there: Universe, *packages: str, **wish: object) -> list[str]:
    with pytest.raises(OcclumError) as raised:
        chosen(there, *packages, **wish)
    return [f"{one.code}: {one}" for one in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        # The first alternative, and what is needed before; a cycle ends.
        (BOOKWORM, "a", "a 1, b 1, d 2, e 1"),
        ("a; D: b\nb; D: a", "a", "a 1, b 1"),
        # An alternative that is chosen satisfies, also where it comes later.
        (BOOKWORM, "a c", "a 1, c 1, d 2, e 1"),
        ("a; D: b, c\nb\nc; D: d | b\nd", "a", "a 1, b 1, c 1"),
        # Depth first: x, which a brings along, is chosen before z would be.
        ("r; D: a, z | x\na; D: x\nx\nz", "r", "a 1, r 1, x 1"),
        # Pre-Depends come before Depends.
        ("r; D: z | x; P: a\na; D: x\nx\nz", "r", "a 1, r 1, x 1"),
        # The first alternative that there is; a version that does not fit is none.
        ("a; D: no | b (>= 2) | c\nb 1\nc", "a", "a 1, c 1"),
        # A real package comes before its providers, whatever their priorities are.
        ("a; D: v\nv; Q: optional\np; V: v; Q: required", "a", "a 1, v 1"),
        ("a; D: libavcodec61\nlibavcodec61 7:7\nlibavcodec-extra61 7:7; V: libavcodec61", "a",
         "a 1, libavcodec61 7:7"),
        # One provider; the one of the best priority; the one that is asked for.
        ("a; D: v\np; V: v", "a", "a 1, p 1"),
        ("a; D: v\np; V: v; Q: extra\nq; V: v; Q: standard", "a", "a 1, q 1"),
        ("a; D: v\np; V: v\nq; V: v", "a q", "a 1, q 1"),
        ("v; D: w\np; V: w\nq; V: w", "q v", "q 1, v 1"),
        # Provides with a version, and one without, which satisfies no version.
        ("a; D: v (>= 2)\np; V: v\nq; V: v (= 2.1)", "a", "a 1, q 1"),
        ("a; D: v (>= 2)\nv 1\nq; V: v (= 2.1)", "a", "a 1, q 1"),
        # A virtual package that is asked for.
        ("p; V: v", "v", "p 1"),
        # Unspaced constraints, qualifiers, what is said for another architecture.
        ("a; D: b(>=1)|c,d:any(<<2),e [arm64],f <!nocheck>\nb 1\nd 1\nf", "a",
         "a 1, b 1, d 1, f 1"),
        ("a; D: gcc:i386 | b\ngcc\nb", "a", "a 1, b 1"),
        # Packages for all architectures are as good as those for one; others are not there.
        ("a; D: b\nb 2; A: all", "a", "a 1, b 2"),
        ("a; D: b | c\nb; A: arm64\nc", "a", "a 1, c 1"),
        # Versions that are asked for.
        ("a 1\na 2", "a", "a 2"),
        ("a 1\na 2", "a=1", "a 1"),
        ("a 1\na 2", "a(<<2)", "a 1"),
        ("a 1:1\na 2", "a", "a 1:1"),
        # usr-is-merged keeps Perl out.
        ("i; D: usrmerge | usr-is-merged\nusrmerge; D: perl\nperl\nusr-is-merged", "i",
         "i 1, usr-is-merged 1"),
        # Recommends only where they are asked for.
        ("a; R: b\nb", "a", "a 1"),
    ],
)  # fmt: skip
def test_what_is_chosen(text: str, asked: str, expected: str) -> None:
    assert chosen(universe(text), *asked.split()) == expected


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("a 1", "b", ["packages-unmet: b (requested) is in no suite of debian\n"
                      "  hint: look for another name, or add a suite or a component"]),
        ("redis-server 1\nredis-tools 1", "redis-servr",
         ["packages-unmet: redis-servr (requested) is in no suite of debian\n"
                      "  hint: did you mean redis-server?"]),
        ("r; D: bar\nbar; D: libfoo1 (>= 2)\nlibfoo1 1.9", "r",
         ["packages-unmet: libfoo1 (>= 2), needed by bar <- r (requested), is in no suite of debian"
          " (there is 1.9)"]),
        ("a; D: b (>= 2) | c, d\nb 1", "a",
         ["packages-unmet: b (>= 2) | c, needed by a (requested), is in no suite of debian"
          " (there is b 1)",
          "packages-unmet: d, needed by a (requested), is in no suite of debian"]),
        # A package is not taken in two versions; nothing is taken back.
        ("a; D: b (= 1), b (= 2)\nb 1\nb 2", "a",
         ["packages-unmet: b (= 1), needed by a (requested), is in no suite of debian"
          " (there is 2)"]),
        ("a; D: b (>= 2)\nb 1\nb 2", "a b=1",
         ["packages-unmet: b (>= 2), needed by a (requested), is not met by b 1, which is chosen\n"
          "  hint: ask for a version of it in 'packages' that suits all"]),
        ("base; D: awk\ngawk; V: awk\nmawk; V: awk", "base",
         ["packages-choice: awk, needed by base (requested), is provided by gawk and mawk: name"
          " one in 'packages'"]),
        ("gawk; V: awk\nmawk; V: awk", "awk",
         ["packages-choice: awk (requested) is provided by gawk and mawk: name one in 'packages'"]),
        ("w; D: core\ncore 2; B: light (<< 3)\nlight 1\nn; D: light", "w n",
         ["packages-conflict: core Breaks light (<< 3): both are chosen, for w (requested) and n"
          " (requested)\n  hint: ask for other versions, or leave one out of 'packages'"]),
        ("p; V: m; C: m\nq; V: m; C: m", "p q",
         ["packages-conflict: p Conflicts m, which q provides: both are chosen, for p (requested)"
          " and q (requested)\n  hint: ask for other versions, or leave one out of 'packages'",
          "packages-conflict: q Conflicts m, which p provides: both are chosen, for q (requested)"
          " and p (requested)\n  hint: ask for other versions, or leave one out of 'packages'"]),
        ("a 1\na 2", "a=1 a=2",
         ["packages-request: a is asked for as 1 and as a=2\n  hint: leave one of them out"]),
        ("a; D: b c", "a", ["package-relation: b c is no relation between packages"]),
        ("a", "a=", ["packages-request: 'packages': 'a=' is no package\n"
                     "  hint: write `name`, `name (>= 1.2)`, `name=1.2-3` or `name/suite`"]),
        ("a", "a|b", ["packages-request: 'packages': 'a|b' is no package\n"
                      "  hint: write `name`, `name (>= 1.2)`, `name=1.2-3` or `name/suite`"]),
    ],
)  # fmt: skip
def test_what_is_wrong(text: str, asked: str, expected: list[str]) -> None:
    assert errors(universe(text), *asked.split()) == expected


def test_a_package_provides_and_conflicts_with_its_own_name() -> None:
    assert chosen(universe("p; V: m; C: m"), "p") == "p 1"
    assert chosen(universe("p 2; V: p-old (= 2); B: p-old (<< 2)\np-old 2; D: p"), "p-old")


def test_conflicts_with_a_version_are_about_provides_with_one() -> None:
    there = universe("a; C: v (<< 2)\nb; V: v\nc; V: v (= 3)\nd; V: v (= 1)")
    assert chosen(there, "a", "b", "c") == "a 1, b 1, c 1"
    (error,) = errors(there, "a", "d")
    assert "a Conflicts v (<< 2), which d provides" in error


def test_the_newest_of_all_suites_and_the_first_archive_where_equal() -> None:
    there = universe(
        suite("a 1; D: v\nb 2; V: v", "stable", "one"),
        suite("a 1; D: x\nb 1\nx", "stable", "two"),
        suite("b 3; V: v", "updates", "two"),
    )
    found = resolve(there, Wish(["a"])).packages
    assert [(one.name, one.version, one.archive) for one in found.values()] == [
        ("a", "1", "one"),
        ("b", "3", "two"),
    ]


def test_provides_of_an_old_version_do_not_count() -> None:
    """The newest version provides another one: what needs the old one is not met by it."""
    there = universe("a; D: v (= 1)\nb 1; V: v (= 1)", "b 2; V: v (= 2)")
    (error,) = errors(there, "a")
    assert error.startswith("packages-unmet: v (= 1), needed by a (requested), is in no suite")
    assert chosen(universe("a; D: v\nb 1; V: v\nc; V: v", "b 2"), "a") == "a 1, c 1"


def test_backports_count_where_they_are_asked_for() -> None:
    backports = suite("a 2; D: b (>= 2)\nb 2", "stable-backports", automatic=False)
    there = universe(suite("a 1\nb 1"), backports)
    assert chosen(there, "a") == "a 1"
    assert chosen(there, "a/stable-backports", "b/stable-backports") == "a 2, b 2"
    (error,) = errors(there, "a/stable-backports")
    assert "b (>= 2), needed by a (requested), is in no suite of debian (there is 1)" in error
    assert error.endswith("hint: stable-backports has 2: ask for b/stable-backports")
    assert chosen(there, "a=2", "b=2") == "a 2, b 2"
    (error,) = errors(there, "a/oldstable")
    assert "a/oldstable (requested) is in no suite oldstable of debian (there is 1)" in error


def test_an_archive_supplies_only_what_it_may() -> None:
    other = suite("libc6 9\nocclum-pal; D: libc6", "jammy", "occlum", only="occlum-*")
    there = universe(suite("libc6 2"), other)
    assert chosen(there, "occlum-pal") == "libc6 2, occlum-pal 1"
    (error,) = errors(universe(other), "occlum-pal")
    assert error.endswith("hint: occlum has libc6, but not in its 'only'")


def test_files_of_the_project_outrank_archives() -> None:
    there = universe("a 2\nb; D: a\nv", debs="a 1; D: c\nc 1; V: w")
    assert chosen(there, "b") == "a 1, b 1, c 1"
    assert chosen(there, "w") == "c 1"
    found = resolve(there, Wish(["b"])).packages["a"]
    assert (found.archive, found.path) == ("", "debs/a.deb")


def test_what_is_there_without_us_brings_nothing_along() -> None:
    there = universe("a; D: b, v, d\nb; D: x; V: v (= 1)\nx\nd")
    assert chosen(there, "a", without=["b"]) == "a 1, d 1"
    assert chosen(universe("a; D: b (>= 9)"), "a", without=["b"]) == "a 1"
    assert errors(there, "a", without=["a"]) == [
        "packages-request: a is in 'packages' and in 'without'\n  hint: leave one of them out"
    ]
    assert "packages-request: 'without': 'b (>= 1)' is no name of a package" in str(
        errors(there, "a", without=["b (>= 1)"])
    )


def test_essential_packages_and_recommended_ones() -> None:
    there = universe(
        "a; R: r, no | s, m\nr; R: t\ns\nt\nbase; E: yes; D: e\ne\nold 1; E: yes\nold 2"
    )
    assert chosen(there, "a", recommends=True) == "a 1, r 1, s 1, t 1"
    assert chosen(there, "a", essential=True) == "a 1, base 1, e 1"
    assert chosen(universe("i; D: u | usr-is-merged\nu\nusr-is-merged"), "i", merged_usr=False) == (
        "i 1, u 1"
    )


def test_a_chain_of_any_length() -> None:
    text = "\n".join(f"p{n}; D: p{n + 1}" for n in range(5000))
    (error,) = errors(universe(text), "p0")
    chain = " <- ".join(f"p{n}" for n in range(4999, 4993, -1))
    assert f"p5000, needed by {chain} <- (4,993 more) <- p0 (requested), is in no" in error
    assert len(resolve(universe(text + "\np5000"), Wish(["p0"])).packages) == 5001


def test_what_needed_a_package() -> None:
    assert resolve(universe(BOOKWORM), Wish(["a"])).needed_by == {"b": "a", "d": "a", "e": "d"}


def test_a_stanza_that_lacks_what_is_needed_to_take_it() -> None:
    from occlum_build.packages.package_index import PackageIndex
    from occlum_build.packages.testing_universe import index_text
    from occlum_build.packages.universe import Suite

    wrong = [("SHA256", "0" * 63), ("Size", "-1")]
    wrong += [("Filename", bad) for bad in ("../../etc/passwd", "/etc/passwd", "a//b", "")]
    for field, bad in wrong:
        lines = index_text("a").decode().splitlines()
        changed = [f"{field}: {bad}" if one.startswith(f"{field}:") else one for one in lines]
        index = PackageIndex("\n".join(changed).encode(), "main/binary-amd64/Packages.xz")
        (error,) = errors(Universe([Suite("debian", "stable", (index,))]), "a")
        assert error == (
            "archive-index: main/binary-amd64/Packages.xz: the stanza of a 1 has no "
            f"{field} that is one"
        )


def test_a_stanza_that_would_be_another_package() -> None:
    """Else an archive could supply what its 'only' does not have."""
    from occlum_build.packages.package_index import PackageIndex
    from occlum_build.packages.testing_universe import index_text
    from occlum_build.packages.universe import Suite

    text = index_text("occlum-a").rstrip(b"\n") + b"\nPackage: libc6\n"
    index = PackageIndex(text, "main/binary-amd64/Packages.xz")
    there = Universe([Suite("occlum", "stable", (index,), only=("occlum-*",))])
    assert errors(there, "occlum-a") == [
        "archive-index: main/binary-amd64/Packages.xz: a stanza names two packages, occlum-a and "
        "libc6"
    ]
