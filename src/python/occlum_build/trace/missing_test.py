"""What counts as missing, on an image and a root of a few files; no program is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, FILE, SourceStat
from occlum_build.sources.os import OsSources
from occlum_build.trace.calls import CREATE, ENTER, EXEC, LINK, LIST, LOOK, OPEN
from occlum_build.trace.missing import MADE, By, Finding, Missing, find_missing
from occlum_build.trace.probes import CACHE, DEFAULT, HOOK, LIBOS, LOOKED, REFUSED
from occlum_build.trace.processes import Ask
from occlum_build.trace.record import Record
from occlum_build.trace.snippet import snippet

APP = "/bin/app"


class Machine:
    """An image and the root that it was made from; a path that ends with a slash is a directory."""

    def __init__(self, folder: Path) -> None:
        self.image, self.root = folder / "image", folder / "root"
        self.image.mkdir()
        self.root.mkdir()

    def put(self, top: Path, *paths: str) -> None:
        for path in paths:
            path, arrow, target = path.partition(" -> ")
            place = top / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if arrow:
                place.symlink_to(target)
            elif path.endswith("/"):
                place.mkdir(exist_ok=True)
            else:
                place.write_text("x")

    def missing(self, asks: Iterable[Ask]) -> Missing:
        root = OsSources(str(self.root))
        return find_missing(Record(1, False, {*asks}), Root.of_directory(str(self.image)), root)

    def found(self, *asks: Ask) -> list[tuple[str, str]]:
        return [(one.path, one.kind) for one in self.missing(asks).found]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def ask(path: str, kind: str = OPEN, *, found: bool = True, by: str = APP) -> Ask:
    return Ask(path, by, kind, found)


def test_files_that_the_image_lacks_and_the_root_has(machine: Machine) -> None:
    machine.put(machine.image, "etc/there")
    machine.put(machine.root, "etc/there", "etc/a", "etc/b", "etc/c")
    missing = machine.missing(
        [
            ask("/etc/there"),
            ask("/etc/a", found=False),
            ask("/etc/b", EXEC),
            ask("/etc/c", LOOK, found=False),
            ask("/etc/a", by="/bin/b"),
            ask("/etc/nowhere", found=False),
            ask("/etc/gone", LOOK, found=False),
        ]
    )
    assert [(one.path, one.asked) for one in missing.found] == [
        ("/etc/a", ((APP, OPEN), ("/bin/b", OPEN))),
        ("/etc/b", ((APP, EXEC),)),
        ("/etc/c", ((APP, LOOK),)),
    ]
    assert (missing.left_out, missing.absent) == ({}, 2)


def test_links_are_followed_in_the_image(machine: Machine) -> None:
    machine.put(machine.image, "lib -> usr/lib", "usr/lib/", "etc/x -> /opt/x", "etc/loop -> loop")
    machine.put(machine.root, "lib -> usr/lib", "usr/lib/p.so", "opt/x", "etc/loop", "etc/y")
    assert machine.found(
        ask("/lib/p.so"), ask("/etc/x", found=False), ask("/etc/loop"), ask("/lib/../../etc/y")
    ) == [("/etc/y", FILE), ("/opt/x", FILE), ("/usr/lib/p.so", FILE)]
    assert machine.found(ask("/etc/x", LINK)) == []


def test_a_root_that_has_it_by_another_name(machine: Machine) -> None:
    machine.put(machine.image, "srv -> data", "data/")
    machine.put(machine.root, "srv/x")
    (finding,) = machine.missing([ask("/srv/x", found=False)]).found
    assert (finding.path, finding.source) == ("/data/x", "/srv/x")


def test_what_was_only_looked_at(machine: Machine) -> None:
    machine.put(machine.root, "opt/one/x", "opt/two/x", "opt/f", "opt/dir/x")
    missing = machine.missing(
        [ask("/opt/one", LIST), ask("/opt/two", LOOK), ask("/opt/two/x"), ask("/opt/f", LOOK),
         ask("/opt/dir")]
    )  # fmt: skip
    assert [one.path for one in missing.found] == ["/opt/two/x"]
    assert missing.left_out == {"/opt/dir": LOOKED, "/opt/f": LOOKED, "/opt/one": LOOKED}


def test_directories(machine: Machine) -> None:
    machine.put(machine.root, "var/log/app/old", "srv/", "opt/lib/a", "opt/lib/b", "tmp/", "run/x/")
    (machine.root / "tmp").chmod(0o1777)
    missing = machine.missing(
        [
            ask("/var/log/app/new", CREATE, found=False),
            ask("/srv", ENTER),
            ask("/opt/lib", LOOK, found=False),
            ask("/opt/lib/a", found=False),
            ask("/tmp/x", CREATE, found=False),
            ask("/run/x/y", CREATE, found=False),
            ask("/nowhere/x", CREATE, found=False),
        ]
    )
    assert [(one.path, one.kind, oct(one.mode)) for one in missing.found] == [
        ("/opt/lib", DIR, "0o755"),
        ("/srv", MADE, "0o755"),
        ("/tmp", MADE, "0o1777"),
        ("/var/log/app", MADE, "0o755"),
    ]


class Refusing(OsSources):
    """A root of which an ordinary user may not see everything."""

    def _refuse(self, path: str) -> None:
        if path.startswith(("/root/", "/etc/ssl/private/")):
            raise OcclumError("unreadable", f"{path} cannot be read: Permission denied")

    def lstat(self, path: str) -> SourceStat | None:
        self._refuse(path)
        return super().lstat(path)

    def names(self, path: str) -> Sequence[str]:
        self._refuse(f"{path}/")
        return super().names(path)


def test_what_an_ordinary_user_may_not_see_of_the_root(machine: Machine) -> None:
    machine.put(machine.root, "root/.config", "etc/a", "etc/ssl/conf", "etc/ssl/private/key")
    asks = {
        ask("/root/.config"),
        ask("/root/new/file", CREATE, found=False),
        ask("/etc/a"),
        ask("/etc/ssl/conf"),
        ask("/etc/ssl/private/key", found=False),
        ask("/etc/ssl/private", LIST, found=False),
    }
    image, root = Root.of_directory(str(machine.image)), Refusing(str(machine.root))
    missing = find_missing(Record(1, False, asks), image, root)
    assert [(one.path, one.kind) for one in missing.found] == [
        ("/etc/a", FILE),
        ("/etc/ssl/conf", FILE),
    ]
    refused = ("/etc/ssl/private", "/etc/ssl/private/key", "/root/.config", "/root/new")
    assert missing.left_out == dict.fromkeys(refused, REFUSED)


def test_a_cache_that_is_written_anew(machine: Machine) -> None:
    machine.put(machine.image, "opt/m.py")
    machine.put(machine.root, "opt/m.py", "opt/__pycache__/m.pyc")
    missing = machine.missing(
        [ask("/opt/__pycache__/m.pyc.1", CREATE), ask("/opt/__pycache__", CREATE)]
    )
    assert (missing.found, missing.left_out) == ((), {"/opt/__pycache__": CACHE})


def test_a_directory_of_which_everything_was_used(machine: Machine) -> None:
    machine.put(machine.image, "usr/")
    machine.put(machine.root, "usr/l/C/A", "usr/l/C/B/a", "usr/l/C/link -> A", "usr/l/D/A")
    asks = [ask("/usr/l/C/A"), ask("/usr/l/C/B/a"), ask("/usr/l/C/link")]
    assert machine.found(*asks) == [("/usr/l/C", DIR)]
    assert machine.found(*asks[:2]) == [("/usr/l/C/A", FILE), ("/usr/l/C/B/a", FILE)]
    machine.put(machine.image, "usr/l/C/other")
    assert [path for path, _ in machine.found(*asks)] == [one.path for one in sorted(asks)]


def test_a_search_in_vain_is_told_once(machine: Machine) -> None:
    machine.put(machine.image, "bin/", "usr/bin/")
    machine.put(machine.root, "bin -> usr/bin", "usr/bin/awk")
    search = [ask(path, LOOK, found=False) for path in ("/bin/awk", "/usr/bin/awk")]
    assert machine.found(*search) == [("/bin/awk", FILE)]
    found = [ask(path, OPEN) for path in ("/bin/awk", "/usr/bin/awk")]
    assert [path for path, _ in machine.found(*found)] == ["/bin/awk", "/usr/bin/awk"]


@pytest.mark.parametrize(
    ("path", "others", "reason"),
    [
        ("/etc/localtime", [], DEFAULT),
        ("/etc/nsswitch.conf", [], DEFAULT),
        ("/etc/resolv.conf", [], LIBOS),
        ("/etc/ld.so.cache", [], HOOK),
        ("/usr/lib/python3.9/sitecustomize.py", [], HOOK),
        ("/usr/lib/python3/dist-packages/x.pth", [], HOOK),
        ("/usr/lib/python3/dist-packages/x.py", [], ""),
        ("/opt/__pycache__/x.pyc", [], CACHE),
        ("/usr/lib/locale/locale-archive", [], ""),
        ("/usr/lib/locale/locale-archive", ["/usr/lib/locale/C.utf8/LC_CTYPE"], DEFAULT),
        ("/usr/lib/locale/C.utf8/LC_CTYPE", [], ""),
        ("/usr/lib/x/gconv/gconv-modules.cache", [], DEFAULT),
        ("/usr/lib/x/gconv/gconv-modules.cache", ["/usr/lib/x/gconv/EUC-JP.so"], ""),
    ],
)
def test_what_every_program_asks_for(
    path: str, others: list[str], reason: str, machine: Machine
) -> None:
    machine.put(machine.root, path[1:])
    missing = machine.missing([ask(path), *(ask(one, found=False) for one in others)])
    assert missing.left_out.get(path, "") == reason
    assert [one.path for one in missing.found] == ([] if reason else [path])


@pytest.mark.parametrize("path", ["/proc/self/maps", "/dev/null", "/tmp/x", "/run/nscd/socket"])
def test_what_no_image_has(path: str, machine: Machine) -> None:
    machine.put(machine.root, path[1:])
    missing = machine.missing([ask(path)])
    assert (missing.found, missing.left_out, missing.absent) == ((), {}, 0)


def test_interpreters_which_no_call_tells(machine: Machine) -> None:
    machine.put(machine.root, "bin/bash", "bin/tool", "bin/other")
    machine.put(machine.image, "usr/x")
    script = machine.image / "usr/script"
    script.write_text("#!/bin/bash -e\n")
    (machine.root / "bin/tool").write_text("#! /bin/tclsh\n")
    machine.put(machine.root, "bin/tclsh")
    asks = [ask("/usr/script", EXEC, found=False), ask("/bin/tool", EXEC)]
    assert [path for path, _ in machine.found(*asks)] == ["/bin/bash", "/bin/tclsh", "/bin/tool"]


def test_libraries_that_the_closure_brings(tmp_path: Path) -> None:
    """ls needs libselinux, and that libpcre2; asked for by no name of ours but the loader's."""
    libraries = [f"/lib/x86_64-linux-gnu/{name}" for name in ("libselinux.so.1", "libpcre2-8.so.0")]
    for path in ("/bin/ls", *libraries):
        if not os.path.exists(path):
            pytest.skip(f"there is no {path} on this machine")
    asks = {ask("/bin/ls", EXEC), *(ask(path, by="/bin/ls") for path in libraries)}
    (tmp_path / "image").mkdir()
    image = Root.of_directory(str(tmp_path / "image"))
    missing = find_missing(Record(1, False, asks), image, OsSources())
    assert [one.path for one in missing.found] == ["/bin/ls"]
    assert sorted(missing.left_out) == sorted(libraries)


def test_packages_are_named(machine: Machine) -> None:
    machine.put(machine.root, "usr/share/p/a", "usr/share/p/b", "opt/x", "usr/share/y")
    machine.put(machine.root, "var/lib/dpkg/info/")
    (machine.root / "var/lib/dpkg/info/p.list").write_text("/usr/share/p/a\n/usr/share/p/b\n")
    status = "Package: p\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n\n"
    (machine.root / "var/lib/dpkg/status").write_text(status)
    found = machine.missing([ask("/usr/share/p/a"), ask("/usr/share/p/b"), ask("/opt/x")]).found
    told = [(one.path, one.package, one.version) for one in found]
    assert told == [("/opt/x", "", ""), ("/usr/share/p", "p", "1.0")]


def test_a_snippet_is_a_bom_whatever_names_are(machine: Machine, tmp_path: Path) -> None:
    names = ["plain", "with blank", "$HOME", "a: b # c", "123", "true", 'q"\\', "ä\n- x", "[x]*"]
    machine.put(machine.root, *(f"opt/{name}" for name in names), "opt/other", "srv/d/")
    (machine.root / "srv/d").chmod(0o1777)
    asks = [ask(f"/opt/{name}") for name in names]
    found = [*machine.missing([*asks, ask("/srv/d", ENTER)]).found]
    found.append(Finding("/opt/renamed", "/opt/plain", FILE, (By(APP, OPEN),)))
    lines = list(snippet(found))
    assert not any("\n" in line for line in lines)
    (tmp_path / "bom.yaml").write_text("\n".join(lines))
    image = tmp_path / "made"
    options = ["-f", str(tmp_path / "bom.yaml"), "--root", str(image)]
    command = [sys.executable, "-m", "occlum_build.cli.main", "copy-bom", *options]
    command += ["--sysroot", str(machine.root)]
    subprocess.run(command, check=True, capture_output=True)
    assert sorted(one.name for one in (image / "opt").iterdir()) == sorted([*names, "renamed"])
    assert (image / "srv/d").stat().st_mode & 0o7777 == 0o1777


def test_nothing_is_missing(machine: Machine) -> None:
    assert list(snippet(machine.missing([]).found)) == []
