"""Small universes for tests, as text: a suite has stanzas, a stanza is one line."""

from __future__ import annotations

import hashlib

from occlum_build.packages.config import LocalDeb
from occlum_build.packages.package_index import PackageIndex
from occlum_build.packages.universe import Suite, Universe

_SHORT = {
    "D": "Depends", "P": "Pre-Depends", "R": "Recommends", "C": "Conflicts", "B": "Breaks",
    "V": "Provides", "Q": "Priority", "E": "Essential", "A": "Architecture",
}  # fmt: skip


def index_text(text: str) -> bytes:
    """Of lines such as `a 1.2; D: b (>= 1), c; V: d` a Packages file; `#` begins a comment."""
    stanzas = []
    for line in filter(None, (one.partition("#")[0].strip() for one in text.splitlines())):
        first, *rest = (part.strip() for part in line.split(";"))
        name, _, version = first.partition(" ")
        fields = {"Package": name, "Version": version or "1", "Architecture": "amd64"}
        for part in rest:
            key, _, value = part.partition(":")
            fields[_SHORT[key]] = value.strip()
        digest = hashlib.sha256(line.encode()).hexdigest()
        fields.update(Filename=f"pool/{name}_{version or 1}.deb", Size="1", SHA256=digest)
        stanzas.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
    return "\n".join(stanzas).encode()


def suite(
    text: str,
    name: str = "stable",
    archive: str = "debian",
    *,
    automatic: bool = True,
    only: str = "",
) -> Suite:
    """A suite of one index."""
    index = PackageIndex(index_text(text), f"{name} of {archive}")
    return Suite(archive, name, (index,), tuple(only.split()), automatic)


def universe(*suites: str | Suite, debs: str = "") -> Universe:
    """A universe of suites, or of texts that are one each, and of files of the project."""
    found = [
        one if isinstance(one, Suite) else suite(one, f"suite{n}") for n, one in enumerate(suites)
    ]
    return Universe(found, [_deb(line) for line in debs.splitlines() if line.strip()])


def _deb(line: str) -> LocalDeb:
    stanza = dict(one.split(": ", 1) for one in index_text(line).decode().splitlines())
    digest = stanza.pop("SHA256")
    return LocalDeb(f"debs/{stanza['Package']}.deb", digest, 1, tuple(stanza.items()))
