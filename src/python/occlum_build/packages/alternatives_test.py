from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.packages.alternatives import (
    Alternative,
    Link,
    Slave,
    alternatives_in,
    chosen_links,
)
from occlum_build.packages.shell import commands_of

REGISTRY, SCRIPTS = Path("/var/lib/dpkg/alternatives"), Path("/var/lib/dpkg/info")

BLAS = """\
#!/bin/sh
set -e
update-alternatives --install /usr/lib/t/libblas.so.3 \\
    libblas.so.3-t /usr/lib/t/blas/libblas.so.3 10
"""
AWK = """\
#!/bin/sh
if [ "$1" = configure ]; then
    update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\
        --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\
        --slave /usr/bin/nawk nawk /usr/bin/mawk
fi
"""
# With its priority lowered elsewhere, and slaves as far as there are manual pages.
JAVA = """\
#!/bin/sh
priority=1711
base=/usr/lib/jvm/java
tools='java keytool'
case "$1" in
configure)
    if [ "$DPKG_MAINTSCRIPT_ARCH" != $(dpkg --print-architecture) ]; then
        priority=$(expr $priority - 1)
    fi
    for i in $tools; do
        unset slave || true
        if [ -e $base/man/$i.1 ]; then
            slave="--slave \\
                /usr/share/man/$i.1 \\
                $i.1 \\
                $base/man/$i.1"
        fi
        update-alternatives \\
            --install \\
            /usr/bin/$i \\
            $i \\
            $base/bin/$i \\
            $priority \\
            $slave
    done
    ;;
esac
"""


def _read(script: str) -> tuple[list[Alternative], list[str]]:
    found, unread = alternatives_in(commands_of(script, {}))
    return found, [str(one) for one in unread]


def _java(tool: str) -> Alternative:
    slave = Slave(f"{tool}.1", f"/usr/share/man/{tool}.1", f"/usr/lib/jvm/java/man/{tool}.1")
    return Alternative(tool, f"/usr/bin/{tool}", f"/usr/lib/jvm/java/bin/{tool}", 1711, (slave,))


def test_one_line_that_goes_on() -> None:
    blas = Alternative(
        "libblas.so.3-t", "/usr/lib/t/libblas.so.3", "/usr/lib/t/blas/libblas.so.3", 10
    )
    assert _read(BLAS) == ([blas], [])


def test_slaves() -> None:
    manual = Slave("awk.1.gz", "/usr/share/man/man1/awk.1.gz", "/usr/share/man/man1/mawk.1.gz")
    nawk = Slave("nawk", "/usr/bin/nawk", "/usr/bin/mawk")
    awk = Alternative("awk", "/usr/bin/awk", "/usr/bin/mawk", 5, (manual, nawk))
    assert _read(AWK) == ([awk], [])


def test_loops_and_variables() -> None:
    assert _read(JAVA) == ([_java("java"), _java("keytool")], [])


def test_functions() -> None:
    script = 'f() { update-alternatives --install "$2/$1" "$1" "$2/$1.x" 50; }\nf ps /bin\n'
    assert _read(script) == ([Alternative("ps", "/bin/ps", "/bin/ps.x", 50)], [])


@pytest.mark.parametrize(
    "words",
    [
        "--install /usr/bin/x x",
        "--install /usr/bin/x x $(y) 5",
        "--install /usr/bin/x x /y high",
        "--install /usr/bin/x ../x /y 5",
        "--install /usr/bin/x x/y /y 5",
        "--install /usr/bin/x . /y 5",
        "--install /usr/bin/x x /y 5 --slave /z ../../z /y",
        "$(options) --install /usr/bin/x x /y 5",
    ],
)
def test_what_cannot_be_read(words: str) -> None:
    found, unread = _read(f"update-alternatives {words}\n")
    assert (found, len(unread)) == ([], 1)


@pytest.mark.parametrize("words", ["--remove x /y", "--auto x", "--list x", "--query x"])
def test_what_installs_nothing(words: str) -> None:
    assert _read(f"update-alternatives {words}\n") == ([], [])


def test_slaves_that_cannot_be_read() -> None:
    found, unread = _read("update-alternatives --install /usr/bin/x x /y 5 --slave /a a /b $(z)\n")
    assert found == [Alternative("x", "/usr/bin/x", "/y", 5, (Slave("a", "/a", "/b"),))]
    assert unread == ["update-alternatives --install /usr/bin/x x /y 5 --slave /a a /b ..."]


def test_json() -> None:
    for one in _read(AWK + JAVA)[0]:
        assert Alternative.from_json(one.to_json()) == one


def test_links_of_the_highest_priority() -> None:
    one = Alternative(
        "awk", "/usr/bin/awk", "/usr/bin/mawk", 5, (Slave("n", "/bin/n", "/bin/mawk"),)
    )
    other = Alternative(
        "awk", "/usr/bin/awk", "/usr/bin/gawk", 10, (Slave("g", "/g", "/not/there"),)
    )
    gone = Alternative("awk", "/usr/bin/awk", "/usr/bin/goawk", 20)
    paths = {"/usr/bin/mawk", "/usr/bin/gawk"}
    alternatives = [("mawk", one), ("gawk", other), ("goawk", gone)]
    assert chosen_links(alternatives, paths, True) == [
        Link("/etc/alternatives/awk", "/usr/bin/gawk", "alternatives of gawk"),
        Link("/usr/bin/awk", "/etc/alternatives/awk", "alternatives of gawk"),
    ]
    assert chosen_links(alternatives, {"/usr/bin/mawk"}, True) == [
        Link("/etc/alternatives/awk", "/usr/bin/mawk", "alternatives of mawk"),
        Link("/etc/alternatives/n", "/bin/mawk", "alternatives of mawk"),
        Link("/usr/bin/awk", "/etc/alternatives/awk", "alternatives of mawk"),
        Link("/usr/bin/n", "/etc/alternatives/n", "alternatives of mawk"),
    ]


def test_of_equal_priorities_the_first_path() -> None:
    both = [("b", Alternative("x", "/x", "/b", 1)), ("a", Alternative("x", "/x", "/a", 1))]
    for alternatives in (both, both[::-1]):
        (chosen, _) = chosen_links(alternatives, {"/a", "/b"}, True)
        assert chosen == Link("/etc/alternatives/x", "/a", "alternatives of a")


def test_a_file_of_a_package_stays() -> None:
    alternatives = [("a", Alternative("x", "/usr/bin/x", "/a", 1))]
    assert chosen_links(alternatives, {"/a", "/usr/bin/x"}, True) == []


def test_links_where_none_can_be() -> None:
    alternatives = [("a", Alternative("x", "usr/bin/../x", "/a", 1))]
    assert chosen_links(alternatives, {"/a"}, True) == []


def _registered(path: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """(group, path) -> (link, priority), as dpkg's registry has them (update-alternatives.c)."""
    lines = path.read_text().split("\n")
    slaves = lines.index("", 2) // 2 - 1
    found, at = {}, 2 * slaves + 3
    while lines[at]:
        found[path.name, lines[at]] = (lines[1], int(lines[at + 1]))
        at += 2 + slaves
    return found


@pytest.mark.skipif(not REGISTRY.is_dir(), reason="this machine has no alternatives of dpkg")
def test_as_this_machine_has_them(record_property: Callable[[str, object], None]) -> None:
    due = {key: value for file in REGISTRY.iterdir() for key, value in _registered(file).items()}
    found = {}
    for script in SCRIPTS.glob("*.postinst"):
        text = script.read_text(encoding="utf-8", errors="replace")
        if "sh" in text.partition("\n")[0]:
            for one in alternatives_in(commands_of(text, {"DPKG_ROOT": ""}))[0]:
                found[one.group, one.path] = (one.link, one.priority)
    groups, read = {group for group, _ in due}, {group for group, path in found.keys() & due.keys()}
    record_property("groups of alternatives on this machine", len(groups))
    record_property("of which their scripts tell", len(read))
    # What is in no registry is not there either.
    wrong = [key for key in found if found[key] != due.get(key) and Path(key[1]).exists()]
    assert wrong == []
    assert len(read) >= 0.9 * len(groups)
