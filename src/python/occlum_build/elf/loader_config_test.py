from __future__ import annotations

import pytest

from occlum_build.elf.loader_config import (
    LoaderConfig,
    LoaderEntry,
    default_config,
    parse_loader_config,
)
from occlum_build.errors import OcclumError, Place


def test_any_white_space_parts_and_paths_are_normalised() -> None:
    text = "/opt//lib/ld.so \t /a/:/b/../c::/d\n\n  /lib/ld-musl-x86_64.so.1 /e  \n"
    assert parse_loader_config(text, "f").entries == (
        LoaderEntry("/opt/lib/ld.so", ("/a", "/c", "/d")),
        LoaderEntry("/lib/ld-musl-x86_64.so.1", ("/e",)),
    )


def test_comments_and_further_columns_are_passed_over() -> None:
    text = "# LOADER DIRS\n  #x\n#\n/ld.so /a third # fourth\n"
    assert parse_loader_config(text, "f").entries == (LoaderEntry("/ld.so", ("/a",)),)


@pytest.mark.parametrize("line", ["/opt/ld.so", "ld.so /a", "/ld.so a:/b"])
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(OcclumError) as caught:
        parse_loader_config(f"/ld.so /a\n{line}\n", "loader.config")
    assert caught.value.code == "bom-invalid"
    assert caught.value.problems[0].place == Place("loader.config", 2)


def test_a_loader_is_chosen_by_its_base_name() -> None:
    first, second = LoaderEntry("/opt/ld.so", ("/a",)), LoaderEntry("/usr/ld.so", ("/b",))
    config = LoaderConfig((first, second))
    assert config.for_interpreter("/lib64/ld.so") == first
    assert config.for_interpreter("/lib64/ld-other.so") is None


def test_defaults_are_occlums_lines_whose_loader_exists() -> None:
    both = default_config(lambda path: True)
    assert [entry.image_dir for entry in both.entries] == ["/opt/occlum/glibc/lib", "/lib"]
    assert both.entries[0].dirs[:2] == ("/opt/occlum/glibc/lib", "/usr/lib/x86_64-linux-gnu")
    musl = default_config(lambda path: "musl" in path)
    assert musl.entries == both.entries[1:]
    assert default_config(lambda path: False) == LoaderConfig()


def test_bounds() -> None:
    with pytest.raises(OcclumError, match="a line of the loader config has more than 1,000 lib"):
        parse_loader_config("/lib/ld.so " + "/a:" * 1001, "f")
    with pytest.raises(OcclumError, match=r"f:1001: the loader config has more than 1,000 load"):
        parse_loader_config("/lib/ld.so /a\n" * 1001, "f")
