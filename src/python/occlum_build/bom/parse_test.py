from __future__ import annotations

import pytest
import yaml

from occlum_build.bom.model import Bom, CopyItem, DirItem, FileItem, LinkItem, Target, Text
from occlum_build.bom.parse import parse_bom
from occlum_build.errors import OcclumError, Place, Problem

FULL = b"""\
includes: [base.yaml]
excludes:
  - "*.pyc"
targets:
  - target: /
    mkdirs: [tmp]
    createlinks:
      - {src: a, linkname: b}
    copy:
      - from: src
        dirs: [d/]
        files:
          - f
          - name: g
            hash: AB
            autodep: false
            rename: h
"""


def _problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(OcclumError) as caught:
        parse_bom(text.encode(), "f")
    assert {problem.code for problem in caught.value.problems} == {"bom-invalid"}
    return caught.value.problems


def _problem(text: str) -> Problem:
    (problem,) = _problems(text)
    return problem


def _in_copy(item: str) -> str:
    return f"targets: [{{target: /, copy: [{item}]}}]"


def _text(value: str, line: int, column: int) -> Text:
    return Text(value, Place("f", line, column))


def test_every_key() -> None:
    files = (
        FileItem(_text("f", 13, 13)),
        FileItem(_text("g", 14, 19), _text("AB", 15, 19), False, _text("h", 17, 21)),
    )
    copy = CopyItem(Place("f", 10, 9), _text("src", 10, 15), (_text("d/", 11, 16),), files)
    target = Target(
        _text("/", 5, 13),
        (DirItem(_text("tmp", 6, 14)),),
        (LinkItem(_text("a", 8, 15), _text("b", 8, 28)),),
        (copy,),
    )
    due = Bom("f", (_text("base.yaml", 1, 12),), (_text("*.pyc", 3, 5),), (target,))
    assert parse_bom(FULL, "f") == due


@pytest.mark.parametrize(
    "text", ["{}", "includes:", "{includes: ~, excludes: null, targets: NULL}", "targets: []"]
)
def test_null_is_absent(text: str) -> None:
    assert parse_bom(text.encode(), "f") == Bom("f")


def test_empty_lists_are_given() -> None:
    (target,) = parse_bom(_in_copy("{files: [], dirs: []}").encode(), "f").targets
    assert (target.copy[0].files, target.copy[0].dirs) == ((), ())
    (target,) = parse_bom(_in_copy("{from: a, files: ~}").encode(), "f").targets
    assert (target.copy[0].files, target.copy[0].dirs) == (None, None)


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("target: []", "target", "did you mean 'targets'?"),
        ("include: []", "include", "did you mean 'includes'?"),
        ("targets: [{target: /, mkdir: [a]}]", "mkdir", "did you mean 'mkdirs'?"),
        ("targets: [{target: /, createlink: []}]", "createlink", "did you mean 'createlinks'?"),
        (_in_copy("{file: [a]}"), "file", "did you mean 'files'?"),
        (_in_copy("{form: a}"), "form", "did you mean 'from'?"),
        (_in_copy("{files: [{name: a, autodpe: false}]}"), "autodpe", "did you mean 'autodep'?"),
        ("zzz: []", "zzz", "known keys: `includes`, `excludes`, `targets`"),
    ],
)
def test_unknown_key(text: str, key: str, hint: str) -> None:
    problem = _problem(text)
    assert problem.message.startswith(f"unknown key {key!r} in ")
    assert problem.hint == hint
    assert problem.place == Place("f", 1, text.index(f"{key}:") + 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a BOM must be a mapping with the keys `includes`, `excludes`, `targets`"),
        ("text", "a BOM must be a mapping with the keys `includes`, `excludes`, `targets`"),
        ("targets: {}", "`targets` must be a list"),
        ("targets: a", "`targets` must be a list"),
        ("includes: base.yaml", "`includes` must be a list"),
        ("includes: [[a]]", "an item of `includes` must be text"),
        ("includes: [~]", "an item of `includes` must be text"),
        ("includes: [123]", "an item of `includes` must be text, not 123"),
        ("targets: [{target: true}]", "`target` must be text, not true"),
        ("targets: [{}]", "an item of `targets` lacks the key 'target'"),
        ("targets: [{target: }]", "`target` has no value"),
        ("targets: [{target: [/]}]", "`target` must be text"),
        ("targets: [{target: /, mkdirs: [[a]]}]", "an item of `mkdirs` must be text"),
        (
            "targets: [{target: /, mkdirs: [{mode: '0755'}]}]",
            "an item of `mkdirs` lacks the key 'path'",
        ),
        (
            "targets: [{target: /, mkdirs: [{path: a, mode: 1888}]}]",
            "`mode` must be permission bits, not '1888'",
        ),
        (
            "targets: [{target: /, createlinks: [{src: a}]}]",
            "an item of `createlinks` lacks the key 'linkname'",
        ),
        (
            "targets: [{target: /, createlinks: [{src: '', linkname: a}]}]",
            "the link's `src` is empty",
        ),
        (_in_copy("{}"), "an item of `copy` needs `from`, `dirs` or `files`"),
        (_in_copy("{dirs: ~}"), "an item of `copy` needs `from`, `dirs` or `files`"),
        (_in_copy("{files: a}"), "`files` must be a list"),
        (_in_copy("{files: [{hash: a}]}"), "an item of `files` lacks the key 'name'"),
        (_in_copy("{files: [[a]]}"), "an item of `files` must be a mapping with the keys "
         "`name`, `hash`, `autodep`, `rename`"),
        (_in_copy("{files: [{name: a, autodep: 1}]}"), "`autodep` must be true or false"),
        (_in_copy("{files: [{name: a, autodep: 'no'}]}"), "`autodep` must be true or false"),
        (_in_copy("{files: [{name: a, hash: 12}]}"), "`hash` must be text, not 12"),
        ('excludes: ["!"]', "exclude '!' is an rsync filter rule, not a pattern"),
        ('excludes: ["+ a"]', "exclude '+ a' is an rsync filter rule, not a pattern"),
        ('excludes: ["/"]', "exclude '/' is no pattern"),
        ("excludes: ['']", "exclude '' is no pattern"),
        ('includes: ["a\\0b"]', "an item of `includes` has a character that no path can have"),
    ],
)  # fmt: skip
def test_mistake(text: str, message: str) -> None:
    problem = _problem(text)
    assert problem.message == message
    assert problem.place is not None
    assert problem.place.line == 1
    assert problem.place.column > 0


def test_numbers_have_a_hint() -> None:
    assert _problem("includes: [123]").hint == 'write it as "123"'


def test_all_mistakes_of_a_file_are_told() -> None:
    text = "includes: [1]\nexcludes: a\ntarget: x\ntargets:\n- {target: /, mkdirs: [true]}\n- {}\n"
    assert [(one.place and one.place.line) for one in _problems(text)] == [3, 2, 1, 5, 6]


def test_text_of_any_style() -> None:
    text = "includes: [a, 'b', \"c\\u00e9\", !!str 1, 0644, no, 1.20]\n"
    bom = parse_bom(text.encode(), "f")
    assert [one.value for one in bom.includes] == ["a", "b", "cé", "1", "0644", "no", "1.20"]


def test_lone_surrogate_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    problem = _problem('includes: ["\\uD800"]')
    assert "no path can have" in problem.message


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ('"1777"', 0o1777),
        ("1777", 0o1777),
        ("0644", 0o644),
        ("'700'", 0o700),
        ("01777", 0o1777),
        ('"0000"', 0),
        ("7777", 0o7777),
        ("", None),
    ],
)
def test_mode_of_a_directory_is_the_digits_that_are_written(text: str, mode: int | None) -> None:
    bom = parse_bom(f"targets: [{{target: /, mkdirs: [{{path: a, mode: {text}}}]}}]".encode(), "f")
    assert [(one.path.value, one.mode) for one in bom.targets[0].mkdirs] == [("a", mode)]


@pytest.mark.parametrize("text", ["0o777", "u=rwx", "17777", "77", '"0x1"', "true", "-755", "[]"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(OcclumError) as error:
        parse_bom(f"targets: [{{target: /, mkdirs: [{{path: a, mode: {text}}}]}}]".encode(), "f")
    (problem,) = error.value.problems
    assert problem.place == Place("f", 1, 48)
    assert problem.hint == 'write three or four octal digits, as "1777" or "0755"'


def test_texts_are_not_repeated_whole() -> None:
    long = "a" * 10_000
    mkdirs = f"[{{path: b, mode: {long}}}]"
    text = f"? {long}\n: 1\nexcludes: [{long}]\ntargets: [{{target: /, mkdirs: {mkdirs}}}]"
    with pytest.raises(OcclumError) as error:
        parse_bom(text.encode(), "f")
    assert len(error.value.problems) == 3
    assert all(len(one.message) < 400 for one in error.value.problems)
    assert "has more than 4,096 characters" in str(error.value)


def test_excludes_with_wildcards_have_a_bound() -> None:
    literal = "\n".join(f"- 'name{number}'" for number in range(20_000))
    parse_bom(f"excludes:\n{literal}".encode(), "f")
    with pytest.raises(OcclumError, match="wildcards have more than 65,536 characters together"):
        parse_bom(f"excludes:\n{literal.replace('name', '?')}".encode(), "f")


def test_anchors_make_no_more_text_than_a_file_may_have() -> None:
    text = "excludes:\n- &a " + "b" * 1_000_000 + "\n- *a" * 5
    with pytest.raises(OcclumError, match=r"more than 4194304 characters \(anchors"):
        parse_bom(text.encode(), "f")


def test_similar_keys_are_looked_for_of_the_first_mistakes_alone() -> None:
    text = "targets:\n" + "- {target: /, tarket: a}\n" * 50
    with pytest.raises(OcclumError) as error:
        parse_bom(text.encode(), "f")
    hints = [one.hint for one in error.value.problems]
    assert hints[:20] == ["did you mean 'target'?"] * 20
    assert hints[20:] == ["known keys: `target`, `mkdirs`, `createlinks`, `copy`"] * 30
