from __future__ import annotations

from dataclasses import replace

from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.graph import build_graph, why
from occlum_build.elf.interpreter import GLIBC_LOADER as GLIBC
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig, LoaderEntry
from occlum_build.elf.testing import MemoryView

BASE = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)


def test_why_names_the_chain_of_every_program() -> None:
    program = replace(BASE, interpreter=GLIBC)
    view = MemoryView(
        {
            "a": replace(program, needed=("libx.so",)),
            "b": replace(program, needed=("liby.so",)),
            GLIBC: replace(BASE, soname="ld-linux-x86-64.so.2"),
            "/d/libx.so": replace(BASE, needed=("liby.so",)),
            "/d/liby.so": replace(BASE, needed=("ld-linux-x86-64.so.2",)),
        }
    )
    linker = Linker(view, LoaderConfig((LoaderEntry(GLIBC, ("/d",)),)))
    graph = build_graph([linker.close("a", "/bin/a"), linker.close("b", "/bin/b")])
    assert why(graph, "/lib64/liby.so") == [
        ("/bin/a", "/lib64/libx.so", "/lib64/liby.so"),
        ("/bin/b", "/lib64/liby.so"),
    ]
    assert why(graph, GLIBC) == [("/bin/a", GLIBC), ("/bin/b", GLIBC)]
    assert why(graph, "/bin/a") == [("/bin/a",)]
    assert why(graph, "/absent") == []
    assert graph.nodes["/lib64/libx.so"] == {"source": "/d/libx.so", "program": False}
    assert graph.edges["/bin/a", GLIBC]["reason"] == "interpreter"
    assert graph.edges["/lib64/libx.so", "/lib64/liby.so"] == {
        "reason": "needed",
        "name": "liby.so",
        "rule": "loader config",
    }
