from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.relations import Relation, groups_of


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", ()),
        ("a", ((Relation("a"),),)),
        ("a, b", ((Relation("a"),), (Relation("b"),))),
        ("a | b (>= 1:2-3~)", ((Relation("a"), Relation("b", ">=", "1:2-3~")),)),
        (
            "a(>=1)|b(<<2),c",
            ((Relation("a", ">=", "1"), Relation("b", "<<", "2")), (Relation("c"),)),
        ),
        ("a ( = 1 )", ((Relation("a", "=", "1"),),)),
        ("a (< 1), b (> 2)", ((Relation("a", "<=", "1"),), (Relation("b", ">=", "2"),))),
        (
            "python3:any (>= 3.8~), gcc:i386",
            ((Relation("python3", ">=", "3.8~", "any"),), (Relation("gcc", "", "", "i386"),)),
        ),
        (
            "a [amd64 i386], b [!amd64], c [linux-any], d [armhf]",
            ((Relation("a"),), (Relation("c"),)),
        ),
        ("a [armhf] | b", ((Relation("b"),),)),
        ("a <!nocheck>, b <stage1>, c <!x !y> <z>", ((Relation("a"),), (Relation("c"),))),
        ("a (>= 1) [amd64] <!nodoc>", ((Relation("a", ">=", "1"),),)),
        ("a,\n b,\n", ((Relation("a"),), (Relation("b"),))),
    ],
)
def test_groups(text: str, groups: tuple[tuple[Relation, ...], ...]) -> None:
    assert groups_of(text, "amd64") == groups


@pytest.mark.parametrize("text", ["a b", "(>= 1)", "a (>= )", "a (~ 1)", "a | ", "a (>= 1"])
def test_what_is_no_relation(text: str) -> None:
    with pytest.raises(OcclumError, match="is no relation between packages"):
        groups_of(text, "amd64")


@pytest.mark.parametrize(
    ("operator", "right"),
    [("", "012"), ("<<", "0"), ("<=", "01"), ("=", "1"), (">=", "12"), (">>", "2")],
)
def test_versions_that_a_relation_accepts(operator: str, right: str) -> None:
    relation = Relation("a", operator, "1")

    assert [version for version in "012" if relation.accepts(version)] == list(right)
    assert relation.accepts("1.0~rc1") == (operator in ("", ">=", ">>"))


def test_a_relation_is_shown_as_it_is_written() -> None:
    for text in ("a", "a (>= 1)", "a:any (<< 2)"):
        assert str(groups_of(text, "amd64")[0][0]) == text
