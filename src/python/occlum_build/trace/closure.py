"""Which libraries come by themselves when a BOM names the files that need them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occlum_build.errors import OcclumError
from occlum_build.sources.model import FILE, Sources, resolve

if TYPE_CHECKING:
    from occlum_build.elf.facts import ElfFacts
    from occlum_build.trace.missing import Finding


def brought(findings: Iterable[Finding], root: Sources) -> list[str]:
    """The paths of those libraries that others of the findings need, sorted."""
    facts = {one.path: found for one in findings if (found := _facts(one, root)) is not None}
    by_name: dict[str, set[str]] = {}
    for path, one in facts.items():
        for name in (posixpath.basename(path), one.soname):
            if name:
                by_name.setdefault(name, set()).add(path)
    needs = {
        path: {to for name in one.needed for to in by_name.get(name, ()) if to != path}
        for path, one in facts.items()
    }
    needed = {to for found in needs.values() for to in found}
    # First what nobody needs; then of those that need each other the first.
    seen: set[str] = set()
    heads: list[str] = []
    for path in [*sorted(facts.keys() - needed), *sorted(needed)]:
        if path in seen:
            continue
        heads.append(path)
        pending = [path]
        while pending:
            one_path = pending.pop()
            if one_path not in seen:
                seen.add(one_path)
                pending += needs[one_path]
    return sorted(facts.keys() - {*heads})


def _facts(finding: Finding, root: Sources) -> ElfFacts | None:
    if finding.kind != FILE:
        return None
    real = resolve(root, finding.source)
    try:
        return root.facts(real) if real is not None else None
    except OcclumError:  # nobody may read it
        return None
