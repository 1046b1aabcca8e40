from __future__ import annotations

import pytest

from occlum_build.bom.load import (
    BASE_BOM,
    Reader,
    _Loader,
    include_candidates,
    load_boms,
    reader_of,
)
from occlum_build.bom.parse import parse_bom
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.files.bounds import CONFIG_BYTES


def _load(
    boms: dict[str, str],
    *,
    top: str = "top.yaml",
    include_dirs: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> tuple[list[str], Report]:
    """The paths of the loaded BOMs; `boms` are texts, or bare lists of includes."""
    texts = {
        path: text if text.startswith("target") or not text else f"includes: [{text}]"
        for path, text in boms.items()
    }

    def read(path: str) -> bytes | None:
        return (texts[path] or "{}").encode() if path in texts else None

    report = Report()
    loaded = load_boms(top, include_dirs, env or {}, read, report)
    return [bom.path for bom in loaded], report


def _order(**boms: str) -> list[str]:
    loaded, report = _load({f"{name}.yaml": text for name, text in boms.items()})
    assert report.errors == []
    return [path[: -len(".yaml")] for path in loaded]


def test_includes_come_after_their_includer_breadth_first() -> None:
    order = _order(top="a.yaml, b.yaml", a="c.yaml", b="d.yaml", c="", d="")
    assert order == ["top", "a", "b", "c", "d"]


def test_repeats_count_at_their_last_place() -> None:
    assert _order(top="a.yaml, b.yaml, a.yaml", a="", b="") == ["top", "b", "a"]
    assert _order(top="a.yaml, b.yaml", a="", b="a.yaml") == ["top", "b", "a"]
    assert _order(top="b.yaml, a.yaml", a="c.yaml", b="c.yaml, d.yaml", c="", d="") == [
        "top", "b", "a", "d", "c",
    ]  # fmt: skip


def test_diamonds_in_a_chain_are_not_walked_path_by_path() -> None:
    depth = 200
    boms = {
        f"{side}{n}": f"a{n + 1}.yaml, b{n + 1}.yaml" for n in range(depth) for side in ("a", "b")
    }
    order = _order(top="a0.yaml, b0.yaml", **boms, **{f"a{depth}": "", f"b{depth}": ""})
    assert order[-2:] == [f"a{depth}", f"b{depth}"]
    assert len(order) == 2 * depth + 3


def test_no_limit_on_the_number_of_boms() -> None:
    count = 3000
    chain = {f"n{n}": f"n{n + 1}.yaml" for n in range(count)}
    assert len(_order(top="n0.yaml", **chain, **{f"n{count}": ""})) == count + 2


def test_two_spellings_are_one_bom() -> None:
    loaded, report = _load({"top.yaml": "a.yaml, ./a.yaml, x/../a.yaml", "a.yaml": ""})
    assert loaded == ["top.yaml", "a.yaml"]
    assert report.errors == []


def test_search_order() -> None:
    boms = {"d/top.yaml": "x.yaml, y.yaml, z.yaml", "d/x.yaml": ""}
    boms.update({"i/x.yaml": "", "i/y.yaml": "", "/j/y.yaml": "", "/j/z.yaml": ""})
    loaded, report = _load(boms, top="d/top.yaml", include_dirs=("i", "/j"))
    assert report.errors == []
    assert loaded == ["d/top.yaml", "d/x.yaml", "i/y.yaml", "/j/z.yaml"]


def test_nested_include_is_relative_to_its_includer() -> None:
    loaded, _ = _load({"top.yaml": "d/a.yaml", "d/a.yaml": "b.yaml", "d/b.yaml": "", "b.yaml": ""})
    assert loaded == ["top.yaml", "d/a.yaml", "d/b.yaml"]


def test_include_candidates() -> None:
    assert include_candidates("d/top.yaml", "../x.yaml", ("i", "i/../i")) == ["x.yaml"]
    assert include_candidates("d/top.yaml", "/abs//x.yaml", ("i",)) == ["/abs/x.yaml"]
    assert include_candidates("/d/top.yaml", "x.yaml", ("i",)) == ["/d/x.yaml", "i/x.yaml"]


def test_variables_in_includes() -> None:
    boms = {"top.yaml": "'$D/a.yaml', '${NONE:-b}.yaml'", "d/a.yaml": "", "b.yaml": ""}
    assert _load(boms, env={"D": "d"})[0] == ["top.yaml", "d/a.yaml", "b.yaml"]
    _, report = _load({"top.yaml": "$NONE"})
    assert [one.code for one in report.errors] == ["bom-invalid"]
    _, report = _load({"top.yaml": "$E"}, env={"E": ""})
    assert [one.message for one in report.errors] == ["the include is empty"]


def test_missing_top() -> None:
    loaded, report = _load({})
    assert loaded == []
    assert [(one.code, one.message) for one in report.errors] == [
        ("bom-missing", "there is no BOM file top.yaml")
    ]


def test_missing_include_lists_the_searched_folders() -> None:
    _, report = _load({"d/top.yaml": "x.yaml"}, top="d/top.yaml", include_dirs=("i", "/j"))
    (problem,) = report.errors
    assert problem.code == "bom-missing"
    assert problem.place == Place("d/top.yaml", 1, 12)
    assert problem.hint == "searched: d, i, /j"


@pytest.mark.parametrize("name", ["base.yaml", "java-11-openjdk-amd64.yaml"])
def test_missing_template_of_occlum_has_the_option_that_finds_it(name: str) -> None:
    _, report = _load({"d/top.yaml": name}, top="d/top.yaml")
    (problem,) = report.errors
    assert "searched: d; it is one of Occlum's: add --include-dir /opt/occlum/etc/template" in (
        problem.hint
    )
    _, report = _load(
        {"d/top.yaml": name}, top="d/top.yaml", include_dirs=("/opt/occlum/etc/template",)
    )
    assert "which is not installed here" in report.errors[0].hint


@pytest.mark.parametrize(
    ("boms", "cycle", "file"),
    [
        ({"top.yaml": "top.yaml"}, "top.yaml -> top.yaml", "top.yaml"),
        ({"top.yaml": "./top.yaml"}, "top.yaml -> top.yaml", "top.yaml"),
        (
            {"top.yaml": "a.yaml", "a.yaml": "b.yaml", "b.yaml": "a.yaml"},
            "a.yaml -> b.yaml -> a.yaml",
            "b.yaml",
        ),
    ],
)
def test_cycle_is_printed(boms: dict[str, str], cycle: str, file: str) -> None:
    loaded, report = _load(boms)
    assert loaded == []
    (problem,) = report.errors
    assert problem.code == "bom-invalid"
    assert problem.message == f"BOMs include one another: {cycle}"
    assert problem.place == Place(file, 1, 12)


def test_invalid_bom_is_told_once_and_the_others_are_loaded() -> None:
    boms = {"top.yaml": "bad.yaml, a.yaml", "a.yaml": "bad.yaml", "bad.yaml": "target: []"}
    loaded, report = _load(boms)
    assert loaded == ["top.yaml", "a.yaml"]
    assert [str(one.place) for one in report.errors] == ["bad.yaml:1:1"]


def test_base_bom_is_built_in() -> None:
    sources = MemoryView({"top.yaml": f"includes: [{BASE_BOM}]".encode()})
    report = Report()
    loaded = load_boms("top.yaml", (), {}, reader_of(sources), report)
    assert [bom.path for bom in loaded] == ["top.yaml", BASE_BOM]
    assert loaded[1].targets

    sources.entries[BASE_BOM] = b"{}"
    assert parse_bom(reader_of(sources)(BASE_BOM) or b"", BASE_BOM).targets == ()


def test_boms_are_read_through_links() -> None:
    entries: dict[str, ElfFacts | bytes | str]
    entries = {"top.yaml": "-> d/real.yaml", "d/real.yaml": b"includes: [a.yaml]", "a.yaml": b"{}"}
    loaded = load_boms("top.yaml", (), {}, reader_of(MemoryView(entries)), Report())
    assert [bom.path for bom in loaded] == ["top.yaml", "a.yaml"]


class _Unreadable(MemoryView):
    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        if path == "secret.yaml":
            raise OcclumError("file", f"{path} cannot be read: Permission denied")
        return super().read(path, limit)


def test_unreadable_include_is_a_missing_bom() -> None:
    view = _Unreadable({"top.yaml": b"includes: [secret.yaml, a.yaml]", "secret.yaml": b"",
                        "a.yaml": b"{}"})  # fmt: skip
    report = Report()
    loaded = load_boms("top.yaml", (), {}, reader_of(view), report)
    assert [bom.path for bom in loaded] == ["top.yaml", "a.yaml"]
    (problem,) = report.errors
    assert problem.code == "bom-missing"
    assert "Permission denied" in problem.message


def test_order_where_every_bom_includes_all_later_ones() -> None:
    names = [f"b{number}" for number in range(40)]
    texts = {
        name: ", ".join(f"{one}.yaml" for one in names[at + 1 :]) for at, name in enumerate(names)
    }
    reads: list[str] = []
    loader = _Loader((), {}, _reading(texts, reads), Report())
    assert loader.parse("b0.yaml", None)
    loader.load_includes("b0.yaml")
    assert loader.order("b0.yaml") == [f"{name}.yaml" for name in names]
    assert len(reads) <= 2 * len(names)


def _reading(texts: dict[str, str], reads: list[str]) -> Reader:
    def read(path: str) -> bytes | None:
        reads.append(path)
        return f"includes: [{texts[path[:-5]]}]".encode()

    return read


def test_long_chain_of_includes_and_a_long_cycle() -> None:
    boms = {f"b{number}.yaml": f"b{number + 1}.yaml" for number in range(1500)}
    loaded, report = _load({**boms, "b1500.yaml": ""}, top="b0.yaml")
    assert (len(loaded), report.errors) == (1501, [])
    loaded, report = _load({**boms, "b1500.yaml": "b0.yaml"}, top="b0.yaml")
    (error,) = report.errors
    assert loaded == []
    assert error.message.startswith("BOMs include one another: b0.yaml -> b1.yaml -> ")
    assert "(1,482 more)" in error.message and error.message.endswith("b1500.yaml -> b0.yaml")


def test_boms_that_links_make_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.bom.load.MAX_BOMS", 50)
    report = Report()
    assert load_boms("b", (), {}, lambda _: b"includes: [l/b, m/b]", report) == ()
    assert "more than 50 BOMs" in report.errors[-1].message


def test_a_bom_that_cannot_be_read_is_read_once() -> None:
    reads: list[str] = []

    def read(path: str) -> bytes | None:
        reads.append(path)
        return b"[" if path == "bad" else b"includes: [" + b"bad, " * 100 + b"bad]"

    load_boms("top", (), {}, read, Report())
    assert reads == ["top", "bad", "bad"]  # is it there, and what is in it
