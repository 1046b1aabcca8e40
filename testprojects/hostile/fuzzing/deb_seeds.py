"""The first inputs of the readers of packages."""

from __future__ import annotations

from collections.abc import Iterator

from occlum_build.elf.facts import Script
from occlum_build.elf.testing_made import made_elf
from occlum_build.packages.alternatives import Alternative, Slave
from occlum_build.packages.index import DebIndex, Entry, write_index
from occlum_build.packages.testing_debs import (
    PACKERS,
    Item,
    deb_of,
    directory,
    hard_link,
    link,
)
from occlum_build.sources.model import DIR, FILE


def packages() -> Iterator[tuple[str, bytes]]:
    """Readers, and inputs for them."""
    scripts = {
        "postinst": "#!/bin/sh\nset -e\np=5\nfor i in a b; do update-alternatives --install "
        '/usr/bin/$i "$i" /usr/lib/${i}x $p --slave /m m /n; done\n',
        "preinst": "#!/bin/sh\nf() {\n dpkg-divert --add --divert $1.x $1\n}\n"
        "if x; then f /y; fi\n",
    }
    items = (
        directory("./usr/bin/"),
        Item("./usr/bin/a", made_elf(), 0o4755),
        hard_link("./bin/b", "./usr/bin/a", 0o4755),
        link("./lib64", "usr/lib64"),
        Item("./etc/run", b"#!/bin/sh\n"),
    )
    for compression in PACKERS:
        yield "deb", deb_of(items=items, scripts=scripts, compression=compression)
    for text in scripts.values():
        yield "maintainer_script", text.encode()
    entries = {"/a": Entry(FILE, 0o755, 1, "0" * 64), "/d": Entry(DIR, 0o755)}
    alternative = Alternative("x", "/usr/bin/x", "/a", 5, (Slave("y", "/y", "/z"),))
    fields = {"Replaces": "b (<< 2), c"}
    index = DebIndex("a", "1", "all", fields, entries, {"0" * 64: Script("x")}, (alternative,))
    yield "deb_index", write_index(index)
