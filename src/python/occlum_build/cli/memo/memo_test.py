"""Runs of `copy-bom` with a memo are those without one, whatever changed between two of them."""

from __future__ import annotations

import pytest

from occlum_build.cli.memo.testing import LOADER, MORE, OLD_NS, Change, Workspace, twice
from occlum_build.elf.layout import DT_NEEDED, DT_SONAME
from occlum_build.elf.testing_made import made_elf

# What changes between two runs; after those in KNOWN the next one is known by the memo.
CHANGES: dict[str, Change] = {
    "nothing": lambda ws: ws,
    "content of a file": lambda ws: ws.write("ws/src/a.txt", "A.TXT"),
    "size of a file": lambda ws: ws.write("ws/src/a.txt", "longer than it was"),
    "content of a file in a directory": lambda ws: ws.write("ws/src/conf/sub/b", "CONF/SUB/B"),
    "mode of a file": lambda ws: ws.chmod("ws/src/a.txt", 0o600),
    "mode of a copied directory": lambda ws: ws.chmod("ws/src/conf/sub", 0o700),
    "mtime of a copied directory": lambda ws: ws.utime("ws/src/conf/sub", 1),
    "time of a file": lambda ws: ws.utime("ws/src/a.txt", OLD_NS + 1),
    "target of a copied link": lambda ws: ws.link("ws/src/conf/link", "sub"),
    "link in place of a file": lambda ws: ws.link("ws/src/conf/sub/b", "../a"),
    "link to a library": lambda ws: ws.link("host/usr/lib/liby.so.1", "libx.so.1"),
    "new file in a directory": lambda ws: ws.write("ws/src/conf/sub/new", "new"),
    "new excluded file": lambda ws: ws.write("ws/src/conf/sub/left-out", "new"),
    "removed file": lambda ws: ws.remove("ws/src/conf/sub/b"),
    "removed named file": lambda ws: ws.remove("ws/src/run"),
    "removed directory": lambda ws: ws.remove("ws/src/conf"),
    "removed library": lambda ws: ws.remove("host/usr/lib/libx.so.1"),
    "library in an earlier directory": lambda ws: ws.write(
        "host/lib/libx.so.1", made_elf(tags=[(DT_SONAME, b"libx.so.1")])
    ),
    "library in a new directory that is configured": lambda ws: ws.write(
        "host/opt/lib/libx.so.1", made_elf(tags=[(DT_SONAME, b"libx.so.1")])
    ),
    "directory in place of one that is searched": lambda ws: ws.remove("host/lib").link(
        "host/lib", "usr/lib/real"
    ),
    "program that needs more": lambda ws: ws.write(
        "host/usr/bin/app",
        made_elf(LOADER, tags=[(DT_NEEDED, b"libx.so.1"), (DT_NEEDED, b"libz.so.1")]),
    ),
    "ld.so.conf": lambda ws: ws.write("host/etc/ld.so.conf", "/usr/lib/real\n"),
    "ld.so.conf that includes": lambda ws: ws.write(
        "host/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n"
    ).write("host/etc/ld.so.conf.d/x.conf", "/opt/lib\n"),
    "loader config that is new": lambda ws: ws.write(
        "host/opt/occlum/etc/template/occlum_elf_loader.config",
        "/lib64/ld-linux-x86-64.so.2 /usr/lib\n",
    ),
    "variable of the BOM": lambda ws: ws.setenv("NAME", "another"),
    "variable that is nobody's": lambda ws: ws.setenv("SOMETHING", "else"),
    "log level": lambda ws: ws.setenv("OCCLUM_LOG_LEVEL", "error"),
    "log level that logs": lambda ws: ws.setenv("OCCLUM_LOG_LEVEL", "info"),
    "BOM": lambda ws: ws.write("bom.yaml", "targets:\n- target: /app\n  mkdirs: [one]\n"),
    "BOM that is invalid": lambda ws: ws.write("bom.yaml", "targets: 1\n"),
    "removed BOM": lambda ws: ws.remove("bom.yaml"),
    "included BOM": lambda ws: ws.write("late/more.yaml", MORE.replace("/more", "/MORE")),
    "included BOM that comes earlier": lambda ws: ws.write(
        "early/more.yaml", MORE.replace("/more", "/early")
    ),
    "include directory that is a link": lambda ws: (
        ws.write("other/more.yaml", MORE.replace("/more", "/other"))
        .remove("early")
        .link("early", "other")
    ),
    "sysroot that is a link": lambda ws: (
        ws.copy("host", "hosts")
        .write("hosts/usr/lib/libx.so.1", made_elf())
        .remove("host")
        .link("host", "hosts")
    ),
    "no image": lambda ws: ws.remove("ws/image"),
    "empty image": lambda ws: ws.remove("ws/image").mkdir("ws/image"),
    "image that is a file": lambda ws: ws.remove("ws/image").write("ws/image", "file"),
    "image that is a link": lambda ws: ws.rename("ws/image", "i").link("ws/image", "../i"),
    "image that dangles": lambda ws: ws.remove("ws/image").link("ws/image", "nowhere"),
    "edited file of the image": lambda ws: ws.write("ws/image/app/run", "#!/bin/SH\n"),
    "deleted file of the image": lambda ws: ws.remove("ws/image/app/run"),
    "mode of a file of the image": lambda ws: ws.chmod("ws/image/app/run", 0o600),
    "mode of a directory of the image": lambda ws: ws.chmod("ws/image/app/conf/sub", 0o700),
    "directory in place of a file of the image": lambda ws: ws.remove("ws/image/app/run").mkdir(
        "ws/image/app/run"
    ),
    "link in place of a directory of the image": lambda ws: ws.rename(
        "ws/image/app/conf", "ws/image/app/moved"
    ).link("ws/image/app/conf", "moved"),
    "target of a link of the image": lambda ws: ws.link("ws/image/app/start", "conf/sub"),
    "stray file in the image": lambda ws: ws.write("ws/image/app/tmp/stray", "stray"),
    "stray file at the top of the image": lambda ws: ws.write("ws/image/stray", "stray"),
    "deleted source and image": lambda ws: ws.remove("ws/src/run").remove("ws/image"),
    "new file and no image": lambda ws: ws.write("ws/src/conf/sub/new", "new").remove("ws/image"),
}
KNOWN = {"nothing", "variable that is nobody's", "no image"}


@pytest.mark.parametrize("options", [[], ["--sync"]])
@pytest.mark.parametrize("name", CHANGES)
def test_a_run_with_a_memo_is_one_without(ws: Workspace, name: str, options: list[str]) -> None:
    ws.options = options

    def runs(*more: str) -> list[object]:
        ws.setenv("NAME", "named")
        for variable in ("OCCLUM_LOG_LEVEL", "SOMETHING"):
            ws.setenv(variable, "")
        first, second = ws.run(*more), ws.run(*more)
        assert first.code == second.code == 0, first.err
        assert ws.was_known is (not more)
        CHANGES[name](ws)
        after = ws.run(*more)
        assert ws.was_known is (not more and name in KNOWN)
        return [first, second, after, ws.run(*more), ws.run(*more)]

    assert twice(ws, runs)
