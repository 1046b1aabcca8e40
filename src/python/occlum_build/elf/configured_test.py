"""Libraries that a system's own loader finds by a configuration which an image does not have."""

from __future__ import annotations

from dataclasses import replace
from typing import Union

import pytest

from occlum_build.elf.closure import Closure
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER as GLIBC
from occlum_build.elf.interpreter import MUSL_LOADER as MUSL
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig, LoaderEntry
from occlum_build.elf.placement import placements
from occlum_build.elf.testing import MemoryView
from occlum_build.sources.model import FIFO, SourceStat

ELF = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)
Entries = dict[str, Union[ElfFacts, bytes, str]]
DEBIAN = "/usr/lib/x86_64-linux-gnu"
MULTIARCH = "/lib/x86_64-linux-gnu"


def glibc_system(*needed: str, loader: str = f"{DEBIAN}/ld-linux-x86-64.so.2") -> Entries:
    """A Debian with merged /usr, whose configuration names /usr/local/lib and its own directory."""
    return {
        "m": replace(ELF, interpreter=GLIBC, needed=needed),
        "/lib": "-> usr/lib",
        GLIBC: f"-> {loader}",
        loader: ELF,
        f"{DEBIAN}/libc.so.6": ELF,
        "/etc/ld.so.conf": f"/usr/local/lib\n{MULTIARCH}\n".encode(),
    }


def close(entries: Entries, image: dict[str, str] | None = None) -> Closure:
    linker = Linker(MemoryView(entries), LoaderConfig(), image_lookup=(image or {}).get)
    return linker.close("m", "/bin/m")


def placed(closure: Closure) -> dict[str, str]:
    assert closure.errors() == ()
    found = {one.image_path: one.source for one in placements(closure)}
    return {path: source for path, source in found.items() if "/ld-" not in path}


def test_what_ld_so_conf_finds_goes_where_libc_is() -> None:
    entries = {**glibc_system("libx.so", "libc.so.6"), "/usr/local/lib/libx.so": ELF}
    closure = close(entries)
    assert placed(closure) == {
        f"{MULTIARCH}/libx.so": "/usr/local/lib/libx.so",
        f"{MULTIARCH}/libc.so.6": f"{DEBIAN}/libc.so.6",
    }
    (chain,) = [one.chain for one in placements(closure) if one.image_path.endswith("libx.so")]
    assert chain[-1] == ("libx.so found by /etc/ld.so.conf; placed where the image's loader looks")


def test_it_shadows_a_library_of_the_default_directory_as_on_the_system() -> None:
    entries = {
        **glibc_system("libx.so"),
        "/usr/local/lib/libx.so": ELF,
        f"{DEBIAN}/libx.so": replace(ELF, soname="other"),
    }
    assert placed(close(entries)) == {f"{MULTIARCH}/libx.so": "/usr/local/lib/libx.so"}


@pytest.mark.parametrize(
    ("needer", "place"),
    [
        ({}, f"{MULTIARCH}/libx.so"),
        ({"runpath": ("/usr/local/lib",)}, "/usr/local/lib/libx.so"),
        ({"rpath": ("/usr/local/lib",)}, "/usr/local/lib/libx.so"),
        ({"nodeflib": True}, "/usr/local/lib/libx.so"),  # it would not look in a default directory
    ],
)
def test_who_finds_it_otherwise_keeps_its_place(needer: dict[str, object], place: str) -> None:
    entries = {**glibc_system("libx.so"), "/usr/local/lib/libx.so": ELF}
    program = entries["m"]
    assert isinstance(program, ElfFacts)
    entries["m"] = replace(program, **needer)  # type: ignore[arg-type]
    assert placed(close(entries)) == {place: "/usr/local/lib/libx.so"}


def test_libraries_beside_a_moved_one_move_with_it() -> None:
    entries = {
        **glibc_system("libx.so"),
        "/usr/local/lib/libx.so": replace(ELF, needed=("liby.so",), runpath=("$ORIGIN/x",)),
        "/usr/local/lib/x/liby.so": ELF,
    }
    assert placed(close(entries)) == {
        f"{MULTIARCH}/libx.so": "/usr/local/lib/libx.so",
        f"{MULTIARCH}/x/liby.so": "/usr/local/lib/x/liby.so",
    }


def test_hwcaps_keep_their_directory() -> None:
    level = "glibc-hwcaps/x86-64-v3"
    entries = {**glibc_system("libx.so"), f"/usr/local/lib/{level}/libx.so": ELF}
    linker = Linker(MemoryView(entries), LoaderConfig(), cpu_level="v3")
    found = placed(linker.close("m", "/bin/m"))
    assert found == {f"{MULTIARCH}/{level}/libx.so": f"/usr/local/lib/{level}/libx.so"}


def test_an_image_with_the_cache_finds_it_in_its_place() -> None:
    entries = {**glibc_system("libx.so"), "/usr/local/lib/libx.so": ELF}
    closure = close(entries, {"/etc/ld.so.cache": "/etc/ld.so.cache"})
    assert placed(closure) == {"/usr/local/lib/libx.so": "/usr/local/lib/libx.so"}


def test_an_image_that_has_it_there_has_it_where_no_loader_looks() -> None:
    image = {"/usr/local/lib/libx.so": "mine/libx.so"}
    entries: Entries = {**glibc_system("libx.so"), "mine/libx.so": ELF}
    assert [one.name for one in close(entries, image).missing] == ["libx.so"]
    cached = {**image, "/etc/ld.so.cache": "/etc/ld.so.cache"}
    assert close(entries, cached).missing == ()


@pytest.mark.parametrize(
    ("loader", "home"),
    [
        ("/usr/lib64/ld-linux-x86-64.so.2", "/lib64"),
        ("/nix/glibc/lib/ld-linux-x86-64.so.2", "/nix"),
    ],
)
def test_other_systems_have_other_directories(loader: str, home: str) -> None:
    directory = loader.rpartition("/")[0]
    libc = directory if home == "/nix" else home
    entries: Entries = {
        "m": replace(ELF, interpreter=loader, needed=("libx.so",)),
        loader: ELF,
        f"{libc}/libc.so.6": ELF,
        "/etc/ld.so.conf": b"/usr/local/lib\n",
        "/usr/local/lib/libx.so": ELF,
    }
    assert placed(close(entries)) == {f"{libc}/libx.so": "/usr/local/lib/libx.so"}


def test_debians_loader_does_not_look_in_lib64() -> None:
    entries = {**glibc_system("libx.so"), "/usr/lib64/libx.so": ELF}
    assert [one.name for one in close(entries).missing] == ["libx.so"]


def musl_system(*needed: str) -> Entries:
    return {
        "m": replace(ELF, interpreter=MUSL, needed=needed),
        MUSL: ELF,
        "/etc/ld-musl-x86_64.path": b"/usr/lib\n/usr/lib/x86_64-linux-musl\n",
        "/usr/lib/x86_64-linux-musl/libx.so": ELF,
        "/usr/lib/liby.so": ELF,
    }


def test_what_musls_path_file_finds_goes_to_a_directory_of_its_own() -> None:
    entries = musl_system("libx.so", "liby.so")
    library = "/usr/lib/x86_64-linux-musl/libx.so"
    assert placed(close(entries)) == {
        "/lib/libx.so": library,
        "/usr/lib/liby.so": "/usr/lib/liby.so",
    }
    path = "/etc/ld-musl-x86_64.path"
    assert placed(close(entries, {path: path})) == {
        library: library,
        "/usr/lib/liby.so": "/usr/lib/liby.so",
    }


@pytest.mark.parametrize(
    ("entries", "loader", "path"),
    [
        (musl_system("libx.so"), MUSL, "/usr/lib/x86_64-linux-musl/libx.so"),
        (
            {**glibc_system("libx.so"), "/usr/local/lib/libx.so": ELF},
            GLIBC,
            "/usr/local/lib/libx.so",
        ),
    ],
)
def test_where_the_system_has_what_the_loader_of_a_config_does_not_find(
    entries: Entries, loader: str, path: str
) -> None:
    linker = Linker(MemoryView(entries), LoaderConfig((LoaderEntry(loader, ("/none",)),)))
    closure = linker.close("m", "/bin/m")
    assert [one.name for one in closure.missing] == ["libx.so"]
    assert linker.elsewhere("libx.so", closure) == path
    assert linker.elsewhere("libgone.so", closure) == ""


def test_a_machine_that_has_musl_too_is_one_of_glibc() -> None:
    """Where no loader config says that the image's loader is musl's."""
    entries: Entries = {**glibc_system(), MUSL: ELF, "m": replace(ELF, needed=("libx.so",))}
    closure = Linker(MemoryView({**entries, "/lib64/libx.so": ELF}), None).close("m", "/lib/m")
    assert closure.interpreter is not None
    assert closure.interpreter.path == GLIBC
    del entries[GLIBC]
    closure = Linker(MemoryView(entries), None).close("m", "/lib/m")
    assert closure.interpreter is not None
    assert closure.interpreter.path == MUSL


@pytest.mark.parametrize("what", [b"INPUT(x)", replace(ELF, elf_class=32)])
def test_what_the_loader_passes_over_in_the_image_is_missing(what: bytes | ElfFacts) -> None:
    entries: Entries = {**glibc_system("libx.so"), "mine/libx.so": what}
    image = {f"{MULTIARCH}/libx.so": "mine/libx.so"}
    assert [one.name for one in close(entries, image).missing] == ["libx.so"]


class Odd(MemoryView):
    """A view in which some paths are fifos."""

    def __init__(self, entries: Entries, *fifos: str) -> None:
        super().__init__({**entries, **dict.fromkeys(fifos, b"")})
        self.fifos = fifos

    def lstat(self, path: str) -> SourceStat | None:
        return SourceStat(FIFO) if path in self.fifos else super().lstat(path)

    def read(self, path: str, limit: int = 0) -> bytes | None:
        assert path not in self.fifos
        return super().read(path)


def test_a_configuration_that_is_no_file_is_told_once_and_a_missing_one_never() -> None:
    conf = b"include ld.so.conf.d/*.conf\ninclude gone.conf\n/usr/local/lib\n"
    system = {**glibc_system("libx.so"), "/usr/local/lib/libx.so": ELF, "/etc/ld.so.conf": conf}
    system["/etc/link.conf"] = "-> /etc/none"
    odd = ["/etc/ld.so.conf.d/a.conf", "/etc/ld.so.conf.d/b.conf/"]
    linker = Linker(Odd({**system, f"{odd[1]}x": b""}, odd[0]), LoaderConfig())
    for name in ("m", "m"):
        assert "libx.so" in str(placed(linker.close(name, "/bin/m")))
    kinds = [f"{odd[0]} is a fifo", f"{odd[1].rstrip('/')} is a dir"]
    told = [one.message.partition(" and is not read")[0] for one in linker.unread()]
    assert told == kinds and {one.severity for one in linker.unread()} == {"warning"}
    for entries, fifo in (
        (glibc_system(), "/etc/ld.so.conf"),
        (musl_system(), "/etc/ld-musl-x86_64.path"),
    ):
        linker = Linker(Odd(entries, fifo), LoaderConfig())
        linker.close("m", "/bin/m")
        assert [one.message.split()[0] for one in linker.unread()] == [fifo]
    linker = Linker(MemoryView({"m": replace(ELF, interpreter=GLIBC), GLIBC: ELF}), LoaderConfig())
    linker.close("m", "/bin/m")
    assert linker.unread() == []
