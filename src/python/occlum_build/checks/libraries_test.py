from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Union

import pytest

from occlum_build.checks import libraries
from occlum_build.checks.libraries import library_problems, unreachable
from occlum_build.checks.root import Root
from occlum_build.checks.testing import ORIGIN, root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.elf.ld_so_cache import X86_64
from occlum_build.elf.testing import ld_so_cache
from occlum_build.errors import ERROR, WARNING, Problem
from occlum_build.image.missing import Elsewhere, Searched
from occlum_build.image.testing import SHARED_OBJECT, library, program

Files = Mapping[str, Union[ElfFacts, bytes, str, None]]
IMAGE: Files = {
    "/bin/app": program("liba.so"),
    GLIBC_LOADER: SHARED_OBJECT,
    "/lib/x86_64-linux-gnu/liba.so": library("libc.so.6"),
    "/lib/x86_64-linux-gnu/libc.so.6": SHARED_OBJECT,
}
APP = Searched(required=frozenset(["/bin/app"]))


def planned(files: Files, searched: Searched = APP) -> Root:
    """A root file system of which planning has told."""
    root = root_of(files)
    entries = [root.at(path) for path in root.paths if path != "/"]
    return Root([one for one in entries if one is not None], root.sources, searched)


def problems(files: Files, searched: Searched = APP) -> list[Problem]:
    return list(library_problems(planned(files, searched)))


def without(*paths: str) -> dict[str, Any]:
    return {path: what for path, what in IMAGE.items() if path not in paths}


def test_an_image_that_has_what_its_programs_need_where_they_look() -> None:
    assert problems(IMAGE) == []
    linked = {**without("/lib/x86_64-linux-gnu/liba.so"), "/lib/liba.so": "-> /opt/liba.so.1"}
    assert problems({**linked, "/opt/liba.so.1": library()}) == []


def placed(path: str, searched: Searched = APP) -> list[Problem]:
    """The problems of an image to which planning has added liba.so at a path."""
    root = planned({**without("/lib/x86_64-linux-gnu/liba.so"), path: library()}, searched)
    entries = [one for other in root.paths[1:] if (one := root.at(other)) is not None]
    found = replace(ORIGIN, chain=("/bin/app",))
    entries = [one._replace(origin=found) if f"/{one.path}" == path else one for one in entries]
    return list(library_problems(Root(entries, root.sources, searched)))


def test_a_library_where_no_loader_looks_is_an_error_of_a_file_and_a_warning_of_a_directory() -> (
    None
):
    (found,) = placed("/usr/local/lib64/liba.so")
    assert (found.code, found.severity, found.place) == (
        "library-unreachable",
        ERROR,
        ORIGIN.place,
    )
    assert found.message.startswith("library liba.so, needed by /bin/app, is not where the image's")
    assert "/lib/x86_64-linux-gnu/liba.so (default directory): does not exist" in found.message
    assert found.hint.startswith(
        "the image has it at /usr/local/lib64/liba.so: set LD_LIBRARY_PATH=/usr/local/lib64 (in"
    )
    (of_directory,) = placed("/usr/local/lib64/liba.so", Searched())
    assert of_directory.severity == WARNING
    (absent,) = problems(without("/lib/x86_64-linux-gnu/liba.so"))
    assert (absent.severity, "LD_LIBRARY_PATH" in absent.hint) == (ERROR, False)


def test_a_library_that_the_user_puts_where_ld_library_path_may_lead_is_a_warning() -> None:
    image = {**without("/lib/x86_64-linux-gnu/liba.so"), "/opt/my/liba.so": library()}
    (found,) = problems(image)
    assert (found.code, found.severity) == ("library-unreachable", WARNING)
    assert "LD_LIBRARY_PATH=/opt/my " in found.hint


def test_a_file_of_the_user_in_the_place_of_the_library_is_a_warning() -> None:
    (found,) = problems({**IMAGE, "/lib/x86_64-linux-gnu/liba.so": b"mine"})
    assert found.severity == WARNING
    assert "/lib/x86_64-linux-gnu/liba.so (default directory): is no ELF shared" in found.message


def test_one_problem_a_library() -> None:
    image = {**without("/lib/x86_64-linux-gnu/liba.so"), "/bin/other": program("liba.so")}
    (found,) = problems(image)
    assert "needed by 2 files below /bin" in found.message


def test_what_is_told_or_left_alone_is_not_told() -> None:
    image = without("/lib/x86_64-linux-gnu/liba.so")
    assert problems(image, replace(APP, told=frozenset(["liba.so"]))) == []
    assert problems(image, Searched(left_alone=frozenset(["/bin/app"]))) == []


def test_shared_objects_count_where_a_program_reaches_them_or_they_must_find_theirs() -> None:
    image = {**IMAGE, "/opt/plugin.so": library("libgone.so")}
    assert problems(image) == []
    (found,) = problems(image, Searched(required=frozenset(["/opt/plugin.so"])))
    assert "needed by /opt/plugin.so" in found.message
    reached = {**image, "/lib/x86_64-linux-gnu/liba.so": library("libgone.so")}
    assert "/bin/app -> /lib/x86_64-linux-gnu/liba.so" in problems(reached)[0].message


def test_what_nothing_loads_is_not_asked_for_its_libraries() -> None:
    assert problems(without(GLIBC_LOADER, "/lib/x86_64-linux-gnu/liba.so")) == []
    arm = replace(program("libx.so"), machine="EM_AARCH64")
    assert problems({**IMAGE, "/bin/app": arm}) == []


def test_a_cache_in_the_image_counts_for_what_it_names() -> None:
    image = {**without("/lib/x86_64-linux-gnu/liba.so"), "/opt/a/liba.so": library()}
    cache = ld_so_cache((X86_64, 0, "liba.so", "/opt/a/liba.so"))
    assert problems({**image, "/etc/ld.so.cache": cache}) == []
    stale = ld_so_cache(
        (X86_64, 0, "libb.so", "/opt/a/libb.so"), (X86_64, 0, "liba.so", "/gone/liba.so")
    )
    assert len(problems({**image, "/etc/ld.so.cache": stale})) == 1
    assert len(problems({**image, "/etc/ld.so.conf": b"/opt/a\n"})) == 1  # nobody reads it


def test_musl_reads_its_path_file_of_the_image() -> None:
    image: Files = {
        "/bin/app": program("liba.so", interpreter=MUSL_LOADER),
        MUSL_LOADER: SHARED_OBJECT,
        "/opt/a/liba.so": library("libc.so"),
    }
    assert len(problems(image)) == 1
    assert problems({**image, "/etc/ld-musl-x86_64.path": b"/opt/a\n"}) == []
    assert problems({**image, "/usr/local/lib/liba.so": library()}) == []


def test_the_loader_of_a_config_is_known_by_its_libc() -> None:
    image: Files = {
        "/bin/app": program("liba.so"),
        GLIBC_LOADER: SHARED_OBJECT,
        "/opt/occlum/glibc/lib/liba.so": library(),
        "/opt/occlum/glibc/lib/libc.so.6": SHARED_OBJECT,
    }
    assert problems(image) == []


def test_a_version_that_the_library_of_the_image_lacks() -> None:
    needs = replace(library(), version_needs=(("libc.so.6", ("GLIBC_2.36", "GLIBC_2.2.5")),))
    old = replace(library(), version_defs=("GLIBC_2.2.5",))
    image = {
        **IMAGE,
        "/lib/x86_64-linux-gnu/liba.so": replace(needs, needed=("libc.so.6",)),
        "/lib/x86_64-linux-gnu/libc.so.6": old,
    }
    (found,) = problems(image)
    assert (found.code, found.severity) == ("library-version", ERROR)
    assert found.message == (
        "/lib/x86_64-linux-gnu/libc.so.6 lacks GLIBC_2.36, needed by /lib/x86_64-linux-gnu/liba.so"
    )
    assert problems(image, Searched()) == []  # told when it was planned
    # A library without versions is loaded with a word of the loader.
    unversioned = {**image, "/lib/x86_64-linux-gnu/libc.so.6": library()}
    assert [one.severity for one in problems(unversioned)] == [WARNING]


LAYOUT: Files = {**without("/lib/x86_64-linux-gnu/liba.so"), "/opt/my/lib/liba.so": library()}


@pytest.mark.parametrize(
    ("library_path", "is_told"),
    [
        ((), True),
        (("/opt/my",), True),
        (("/else", "/opt/my/lib"), False),
        (("/opt/my/lib/",), False),
        (("/link",), False),
        (("", "opt/my/lib"), False),  # programs start in the root directory
        (("$ORIGIN/../opt/my/lib",), False),
        (("$ORIGIN/../opt/my/$LIB",), False),
        (("${ORIGIN}/../my/lib",), True),
        (("$ORIGIN",), True),
        (("$ORIGIN/../lib64",), True),
    ],
)
def test_a_library_for_which_ld_library_path_is_needed(
    library_path: tuple[str, ...], is_told: bool
) -> None:
    files = {**LAYOUT, "/link": "-> opt/my/lib"}
    found = (
        Elsewhere("liba.so", ("app",), ("/opt/my/lib/liba.so",), ORIGIN.place, origins=("/bin",)),
    )
    for root in (root_of(files), planned(files, Searched(elsewhere=found))):
        told = unreachable(root, library_path)
        assert [one.code for one in told] == ["library-elsewhere"] * is_told
        assert all("LD_LIBRARY_PATH=/opt/my/lib" in one.hint for one in told)


@pytest.mark.parametrize("entry", ["/none{}", "/opt/{}", "$ORIGIN/none{}", "$ORIGIN/../opt/{}"])
def test_many_libraries_and_programs_on_a_long_library_path(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, kind = 0, Root.kind

    def counted(root: Root, path: str) -> str:
        nonlocal looks
        looks += 1
        return kind(root, path)

    monkeypatch.setattr(Root, "kind", counted)
    monkeypatch.setattr(libraries, "MAX_LOOKS", 20_000)
    directories: dict[str, None] = {f"/opt/{number}": None for number in range(200)}
    origins = tuple(f"/bin{number}" for number in range(50))
    root = root_of({**LAYOUT, **directories, **dict.fromkeys(origins)})
    paths = ("/opt/my/lib/liba.so",)
    found = [Elsewhere(f"lib{number}.so", ("app",), paths, origins=origins) for number in range(50)]
    path = [entry.format(number) for number in range(200)]

    assert len(libraries.uncovered(found, root, path)) == 50
    assert looks <= 20_000 + 200


def test_many_missing_names_in_a_large_image() -> None:
    needed = [f"lib{number}.so" for number in range(5_000)]
    files = {f"/data/{number}": b"" for number in range(20_000)}
    image: Files = {**IMAGE, **files, "/bin/app": program(*needed), "/opt/lib7.so": library()}
    root = root_of(image)
    (found,) = unreachable(root)
    assert "is in the image at /opt/lib7.so, where" in found.message


def test_what_others_load_or_nobody_has_is_not_told_of_an_enclave() -> None:
    found = Elsewhere("libjvm.so", ("a.so",), ("/x/libjvm.so",), ORIGIN.place, is_sure=False)
    assert unreachable(planned(LAYOUT, Searched(elsewhere=(found,)))) == []
    assert unreachable(root_of(without("/lib/x86_64-linux-gnu/liba.so"))) == []
    assert unreachable(root_of(IMAGE)) == []


def test_libraries_of_a_library_that_ld_library_path_leads_to() -> None:
    files = {**LAYOUT, "/opt/my/lib/liba.so": library("libb.so"), "/opt/b/libb.so": library()}
    (found,) = unreachable(root_of(files), ("/opt/my/lib",))
    assert "library libb.so, needed by /opt/my/lib/liba.so, is in the image" in found.message
    assert unreachable(root_of(files), ("/opt/my/lib", "/opt/b")) == []
