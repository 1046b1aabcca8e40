"""What BOMs mean: which entries are planned, and which mistakes are told, where."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from occlum_build.errors import Place
from occlum_build.image.entries import DIR
from occlum_build.image.plan import PlanOptions
from occlum_build.image.testing import BOM, Planned, plan_bom, program


def _targets(*items: str) -> str:
    """A BOM of items in flow style, each on a line of its own, from line 2 on."""
    return "targets:\n" + "".join(f"- {{target: /, {item}}}\n" for item in items)


def _copy(item: str) -> str:
    return _targets(f"copy: [{{{item}}}]")


def _at(bom: str, line: int, text: str, file: str = BOM) -> Place:
    """Where `text` stands in a line of `bom`."""
    return Place(file, line, bom.splitlines()[line - 1].index(text) + 1)


# Sources


def test_whole_from_is_relative_to_the_workspace() -> None:
    planned = plan_bom(_copy("from: src"), {"ws/src/d/a": b"1", "src/other": b"2"})
    assert planned.sources == {"d/a": "ws/src/d/a"}
    assert planned.entries["d"].kind == DIR


@pytest.mark.parametrize("value", ['""', "$EMPTY", "'${UNSET:-}'"])
def test_empty_from_is_refused(value: str) -> None:
    bom = _copy(f"from: {value}")
    planned = plan_bom(bom, {}, env={"EMPTY": ""})
    assert planned.exit_code == 253
    assert planned.error().message == "`from` is empty"
    assert planned.error().place == _at(bom, 2, value)
    assert planned.entries.keys() <= {""}


def test_dangling_link_under_files() -> None:
    bom = _copy("files: [a]")
    planned = plan_bom(bom, {"ws/a": "-> gone"})
    assert planned.exit_code == 254
    assert planned.error().message == "the link ws/a -> gone dangles"
    assert planned.error().place == _at(bom, 2, "a]")


def test_missing_file_and_directory_are_both_told() -> None:
    bom = _copy("files: [a], dirs: [d]")
    planned = plan_bom(bom, {})
    assert [(one.code, one.place) for one in planned.errors] == [
        ("directory", _at(bom, 2, "d]")),
        ("file", _at(bom, 2, "a]")),
    ]
    assert "ws/d" in planned.errors[0].message
    assert "ws/a" in planned.errors[1].message


@pytest.mark.parametrize("name", ["..", ".", "a/..", "a/", "/"])
def test_what_is_no_file_name(name: str) -> None:
    planned = plan_bom(_copy(f"files: ['{name}']"), {"ws/a/b": b""})
    assert planned.exit_code == 254
    assert f"{name!r} is no file name" in planned.error().message
    assert "dirs" in planned.error().hint


def test_directory_under_files() -> None:
    planned = plan_bom(_copy("files: [a]"), {"ws/a/b": b""})
    assert planned.exit_code == 254
    assert "ws/a is a directory" in planned.error().message
    assert "dirs" in planned.error().hint


@pytest.mark.parametrize("name", ["host:a", "-a", "a b", "ünï", "a'b", "{a}"])
def test_any_character_is_part_of_a_name(name: str) -> None:
    planned = plan_bom(
        _copy(f'files: ["{name}"], dirs: ["{name}.d"]'),
        {
            f"ws/{name}": b"1",
            f"ws/{name}.d/x": b"2",
        },
    )
    assert planned.sources == {name: f"ws/{name}", f"{name}.d/x": f"ws/{name}.d/x"}


def test_source_beyond_the_build_root() -> None:
    planned = plan_bom(_copy("from: ../../x"), {})
    assert planned.exit_code == 253
    assert "leaves the build root" in planned.error().message


def test_absolute_from_and_names() -> None:
    item = "from: /opt, files: [a, /etc/b]"
    planned = plan_bom(_copy(item), {"/opt/a": b"1", "/etc/b": b"2", "ws/a": b"3"})
    assert planned.sources == {"a": "/opt/a", "b": "/etc/b"}


# Wildcards


def test_wildcards_of_files() -> None:
    files = {"ws/b.so": b"1", "ws/a.so": b"2", "ws/.h.so": b"3", "ws/d/c.so": b"4", "ws/x": b""}
    planned = plan_bom(_copy("files: ['*.so', 'd/?.so']"), files)
    assert planned.sources == {"a.so": "ws/a.so", "b.so": "ws/b.so", "c.so": "ws/d/c.so"}


def test_wildcards_of_directories() -> None:
    files = {"ws/d1/a": b"1", "ws/d2/b": b"2", "ws/e/d": b"3"}
    assert plan_bom(_copy("dirs: ['d[12]']"), files).sources == {
        "d1/a": "ws/d1/a",
        "d2/b": "ws/d2/b",
    }
    assert plan_bom(_copy("dirs: ['d*/']"), files).sources == {"a": "ws/d1/a", "b": "ws/d2/b"}


def test_literal_name_wins_over_the_pattern() -> None:
    files = {"ws/*": b"1", "ws/a": b"2", "ws/d?/x": b"3", "ws/d1/x": b"4"}
    planned = plan_bom(_copy("files: ['*'], dirs: ['d?']"), files)
    assert planned.sources == {"*": "ws/*", "d?/x": "ws/d?/x"}


def test_pattern_that_matches_nothing() -> None:
    planned = plan_bom(_copy("files: ['*.so'], dirs: ['d*']"), {"ws/x": b""})
    assert [one.code for one in planned.errors] == ["directory", "file"]
    assert "ws/*.so" in planned.errors[1].message


def test_renamed_pattern_must_match_one_file() -> None:
    one = {"ws/tool-1.2": b""}
    item = "files: [{name: 'tool-*', rename: tool}]"
    assert plan_bom(_copy(item), one).sources == {"tool": "ws/tool-1.2"}
    planned = plan_bom(_copy(item), {**one, "ws/tool-1.3": b""})
    assert planned.exit_code == 254
    assert "matches 2 files" in planned.error().message


# Variables


def test_variables_are_expanded_before_paths_are_joined() -> None:
    env = {"ABS": "/abs", "FILE": "sub/x", "TO": "to/there"}
    bom = (
        "targets:\n"
        "- target: /$TO\n"
        "  mkdirs: [$TO]\n"
        "  createlinks: [{src: $ABS/t, linkname: '${TO}l'}]\n"
        "  copy:\n"
        "  - {from: $ABS, files: [$FILE, {name: a, rename: '$FILE.r'}], dirs: ['${D:-d}']}\n"
    )
    files = {"/abs/sub/x": b"1", "/abs/a": b"2", "/abs/d/e": b"3"}
    planned = plan_bom(bom, files, env=env)
    assert planned.sources == {
        "to/there/to/therel": "-> /abs/t",
        "to/there/x": "/abs/sub/x",
        "to/there/sub/x.r": "/abs/a",
        "to/there/d/e": "/abs/d/e",
    }
    assert planned.entries["to/there/to/there"].kind == DIR


def test_every_undefined_variable_is_told() -> None:
    planned = plan_bom(_copy("from: $NO, files: ['${NOPE}']"), {"ws/a": b""})
    assert planned.exit_code == 253
    assert "'NO'" in planned.errors[0].message
    assert "'NOPE'" in planned.errors[1].message


def test_excludes_and_hashes_are_not_expanded() -> None:
    bom = "excludes: ['$X']\n" + _copy("files: [{name: a, hash: $X}], dirs: [d]")
    planned = plan_bom(bom, {"ws/a": b"", "ws/d/$X": b"", "ws/d/b": b""}, env={"X": "b"})
    assert planned.exit_code == 249
    assert planned.sources == {"d/b": "ws/d/b"}


# What must stay in the image


@pytest.mark.parametrize(
    "item",
    [
        "mkdirs: [/abs]",
        "mkdirs: [../x]",
        "mkdirs: [a/../../x]",
        "createlinks: [{src: x, linkname: /abs}]",
        "createlinks: [{src: x, linkname: ../l}]",
        "createlinks: [{src: x, linkname: .}]",
        "copy: [{files: [{name: a, rename: /abs}]}]",
        "copy: [{files: [{name: a, rename: ../x}]}]",
        "mkdirs: [$ABS]",
    ],
)
def test_paths_that_leave_the_image(item: str) -> None:
    planned = plan_bom(_targets(item), {"ws/a": b""}, env={"ABS": "/abs"})
    assert planned.exit_code == 253
    place = planned.error().place
    assert place is not None
    assert place.line == 2
    assert planned.entries == {}


def test_absolute_mkdirs_has_a_hint() -> None:
    error = plan_bom(_targets("mkdirs: [/abs]"), {}).error()
    assert "absolute" in error.message
    assert "target: /" in error.hint


@pytest.mark.parametrize("target", ["../x", "a/../../x", "/..", "$UP"])
def test_targets_that_leave_the_image(target: str) -> None:
    bom = f"targets: [{{target: '{target}', mkdirs: [a]}}]"
    planned = plan_bom(bom, {}, env={"UP": "../x"})
    assert planned.exit_code == 253
    assert "leaves the image" in planned.error().message


def test_dots_within_the_image() -> None:
    bom = (
        "targets: [{target: a/b/../c, mkdirs: [../d], copy: [{files: [{name: f, rename: ../g}]}]}]"
    )
    planned = plan_bom(bom, {"ws/f": b""})
    assert planned.entries.keys() == {"a", "a/c", "a/d", "a/g"}


def test_rename_to_a_directory_keeps_the_name() -> None:
    item = "files: [{name: a, rename: sub/}, {name: b, rename: .}, {name: c, rename: ''}]"
    files = {"ws/a": b"1", "ws/b": b"2", "ws/c": b"3"}
    planned = plan_bom(_copy(item), files)
    assert planned.sources == {"sub/a": "ws/a", "b": "ws/b", "c": "ws/c"}


# Two claims on one path


def _conflict(bom: str, **files: bytes) -> Planned:
    return plan_bom(bom, {f"ws/{name.replace('__', '/')}": data for name, data in files.items()})


def test_file_cannot_take_the_place_of_a_directory() -> None:
    bom = _targets("mkdirs: [a]", "copy: [{files: [a]}]")
    planned = _conflict(bom, a=b"")
    assert planned.exit_code == 254
    assert planned.error().place == _at(bom, 3, "a]")
    assert str(_at(bom, 2, "a]")) in planned.error().message


def test_directory_cannot_take_the_place_of_a_file() -> None:
    bom = "includes: [inc.yaml]\n" + _copy("files: [a]")
    included = _copy("dirs: [y/]")
    planned = plan_bom(bom, {"ws/a": b"", "ws/y/a/b": b"", "inc.yaml": included.encode()})
    assert planned.exit_code == 252
    assert planned.errors[0].place == _at(included, 2, "y/", "inc.yaml")
    assert str(_at(bom, 3, "a]")) in planned.errors[0].message


def test_directories_that_are_merged_are_told_when_conflicts_are_errors() -> None:
    bom = _targets("copy: [{dirs: [x/]}]", "copy: [{dirs: [y/]}]")
    files = {"ws/x/a": b"", "ws/y/a/b": b""}
    planned = plan_bom(bom, files)
    assert planned.exit_code == 0 and planned.sources == {"a/b": "ws/y/a/b"}
    assert planned.warning().place == _at(bom, 3, "y/")
    assert str(_at(bom, 2, "x/")) in planned.warning().message
    refused = plan_bom(bom, files, options=PlanOptions(conflicts_are_errors=True))
    assert refused.errors[0].place == _at(bom, 3, "y/")


def test_file_in_a_file() -> None:
    planned = _conflict(
        _copy("files: [a, {name: b, rename: a/b}]"),
        a=b"",
        b=b"",
    )
    assert planned.exit_code == 252
    assert "the file at" in planned.error().message


def test_link_cannot_take_the_place_of_a_directory() -> None:
    bom = _targets("mkdirs: [a]", "createlinks: [{src: x, linkname: a}]")
    planned = plan_bom(bom, {})
    assert planned.exit_code == 251
    assert planned.error().place == _at(bom, 3, "a}")
    assert str(_at(bom, 2, "a]")) in planned.error().message


def test_directory_cannot_take_the_place_of_a_link() -> None:
    bom = _targets("createlinks: [{src: x, linkname: d}]", "copy: [{dirs: [d]}]")
    planned = _conflict(bom, d__a=b"")
    assert planned.exit_code == 251
    assert str(_at(bom, 2, "d}")) in planned.errors[0].message


def test_overridden_file_is_a_warning_with_both_lines() -> None:
    bom = _targets("copy: [{from: x, files: [a]}]", "copy: [{from: y, files: [a]}]")
    planned = _conflict(bom, x__a=b"1", y__a=b"2")
    assert planned.sources == {"a": "ws/y/a"}
    assert planned.exit_code == 0
    assert planned.warning().place == _at(bom, 3, "a]")
    assert planned.warning().message == f"overrides what {_at(bom, 2, 'a]')} puts at /a"


def test_same_content_needs_no_warning() -> None:
    bom = _targets("copy: [{from: x, files: [a]}]", "copy: [{from: y, files: [a]}]")
    assert _conflict(bom, x__a=b"1", y__a=b"1").warnings == ()


def test_overrides_are_errors_when_asked() -> None:
    bom = _targets("copy: [{from: x, files: [a]}]", "copy: [{from: y, files: [a]}]")
    planned = plan_bom(
        bom, {"ws/x/a": b"1", "ws/y/a": b"2"}, options=PlanOptions(conflicts_are_errors=True)
    )
    assert planned.error().code == "override"
    assert planned.error().place == _at(bom, 3, "a]")


def test_later_link_wins() -> None:
    bom = _targets("createlinks: [{src: x, linkname: l}, {src: y, linkname: l}]")
    planned = plan_bom(bom, {})
    assert planned.sources == {"l": "-> y"}
    assert str(_at(bom, 2, "l}")) in planned.warning().message


@pytest.mark.parametrize(
    "dirs", ["[x/d, y/d]", "[x/d/, y/d/]", "[x/d, y/d, x/d, y/d]", "['?/d']", "['?/d/']"]
)
def test_directories_of_one_name_are_merged(dirs: str) -> None:
    files = {"ws/x/d/a": b"1", "ws/x/d/c": b"1", "ws/y/d/b": b"2", "ws/y/d/c": b"2"}
    planned = plan_bom(_copy(f"dirs: {dirs}"), files)
    below = "" if dirs.endswith(("/]", "/']")) else "d/"
    assert planned.sources == {
        f"{below}a": "ws/x/d/a",
        f"{below}b": "ws/y/d/b",
        f"{below}c": "ws/y/d/c",
    }


def test_whole_sources_are_merged() -> None:
    bom = _targets("copy: [{from: x/d}, {from: y/d}]")
    planned = _conflict(bom, x__d__a=b"1", y__d__b=b"2")
    assert planned.sources == {"a": "ws/x/d/a", "b": "ws/y/d/b"}


def test_a_directory_and_its_contents_are_two_copies() -> None:
    planned = _conflict(_copy("dirs: [x, x/]"), x__a=b"1")
    assert planned.sources == {"x/a": "ws/x/a", "a": "ws/x/a"}


def test_a_directory_and_its_contents_in_two_boms() -> None:
    included = _copy("dirs: [x/]")
    planned = plan_bom(
        "includes: [inc.yaml]\n" + _copy("dirs: [x]"),
        {"inc.yaml": included.encode(), "ws/x/a": b"1"},
    )
    assert planned.sources == {"x/a": "ws/x/a", "a": "ws/x/a"}


def test_included_bom_replaces_a_whole_directory() -> None:
    top = "includes: [inc.yaml]\n" + _copy("from: x, dirs: [d]")
    included = _copy("from: y, dirs: [d]")
    files = {"inc.yaml": included.encode(), "ws/x/d/a": b"1", "ws/y/d/b": b"2"}
    planned = plan_bom(top, files)
    assert planned.sources == {"d/b": "ws/y/d/b"}
    assert planned.warning().place == _at(included, 2, "d]", "inc.yaml")
    assert str(_at(top, 3, "d]")) in planned.warning().message


def test_patterns_of_two_boms_are_merged() -> None:
    planned = plan_bom(
        "includes: [inc.yaml]\n" + _copy("from: x, dirs: ['*']"),
        {"inc.yaml": _copy("from: y, dirs: ['*']").encode(), "ws/x/d/a": b"1", "ws/y/e/b": b"2"},
    )
    assert planned.sources == {"d/a": "ws/x/d/a", "e/b": "ws/y/e/b"}


def _copy_through(links: str, target: str, file: str) -> Planned:
    """A BOM with links, and a later one that copies a file to `target`."""
    included = f"targets: [{{target: {target}, copy: [{{files: [{file}]}}]}}]"
    bom = "includes: [inc.yaml]\n" + _targets(links)
    return plan_bom(bom, {file: b"", "inc.yaml": included.encode()})


def test_links_are_resolved_in_the_image() -> None:
    planned = _copy_through("createlinks: [{src: /usr/lib, linkname: lib}]", "/lib", "/x/a")
    assert planned.sources == {"lib": "-> /usr/lib", "usr/lib/a": "/x/a"}


def test_links_that_climb_stop_at_the_images_root() -> None:
    planned = _copy_through("createlinks: [{src: ../../../etc, linkname: e}]", "/e", "/x/a")
    assert planned.sources == {"e": "-> ../../../etc", "etc/a": "/x/a"}


def test_loop_of_links_in_the_image() -> None:
    links = "createlinks: [{src: b, linkname: a}, {src: a, linkname: b}]"
    planned = _copy_through(links, "/a/x", "/x/a")
    assert planned.exit_code == 251
    assert planned.errors[0].message == "the links of /a/x form a loop"
    assert str(planned.errors[0].place).startswith("inc.yaml:1:")


# Hashes


@pytest.mark.parametrize("change", [str.lower, str.upper, str])
def test_hash_of_any_case(change: type[str]) -> None:
    digest = change(hashlib.sha256(b"1").hexdigest())
    item = f'files: [{{name: $N, hash: "{digest}"}}]'
    planned = plan_bom(_copy(item), {"ws/a": b"1"}, env={"N": "a"})
    assert planned.sources == {"a": "ws/a"}
    assert planned.errors == ()


def test_wrong_hash_names_the_right_one() -> None:
    bom = _copy("files: [{name: a, hash: 'AB'}]")
    planned = plan_bom(bom, {"ws/a": b"1"})
    assert planned.exit_code == 249
    assert hashlib.sha256(b"1").hexdigest() in planned.error().hint
    assert planned.error().place == _at(bom, 2, "a,")
    assert planned.sources == {}


def test_hash_of_what_is_no_file() -> None:
    item = "files: [{name: gone, hash: a}, {name: d, hash: a}]"
    planned = plan_bom(_copy(item), {"ws/d/x": b""})
    assert [one.code for one in planned.errors] == ["hash-missing", "hash"]
    assert planned.exit_code == 255


# All of it at once


def test_all_mistakes_of_all_boms_are_told() -> None:
    planned = plan_bom(
        "includes: [inc.yaml, bad.yaml, gone.yaml]\n" + _copy("files: [a, {name: b, hash: 'x'}]"),
        {
            "inc.yaml": _targets("mkdirs: [/abs]", "copy: [{files: [c], dirs: [d]}]").encode(),
            "bad.yaml": b"target: []",
            "ws/b": b"",
        },
    )
    told = [(one.code, one.place and one.place.file) for one in planned.errors]
    assert told == [
        ("bom-missing", BOM),
        ("bom-invalid", "bad.yaml"),
        ("bom-invalid", "inc.yaml"),
        ("file", BOM),
        ("hash", BOM),
        ("directory", "inc.yaml"),
        ("file", "inc.yaml"),
    ]


def test_plan_does_not_depend_on_the_order_of_the_sources() -> None:
    files = {f"ws/d/{n}/{m}": b"x" for n in range(9) for m in range(3)}
    plans = [
        plan_bom(_copy("dirs: [d]"), dict(sorted(files.items(), reverse=backwards)))
        for backwards in (False, True)
    ]
    assert list(plans[0].entries.values()) == list(plans[1].entries.values())


def test_entries_come_parents_first() -> None:
    planned = plan_bom(_copy("dirs: [d]"), {"ws/d/a/b/c": b"", "ws/d/a-b": b"", "ws/p": program()})
    seen = {""}
    for path in planned.entries:
        assert path.rpartition("/")[0] in seen
        seen.add(path)


def test_modes_come_from_the_rule() -> None:
    def mode(source: str, stat: object) -> int:
        return 0o640

    options = replace(PlanOptions(), mode=mode)
    planned = plan_bom(_copy("dirs: [d]"), {"ws/d/a": b""}, options=options)
    assert {path: entry.mode for path, entry in planned.entries.items()} == {
        "d": 0o640,
        "d/a": 0o640,
    }
