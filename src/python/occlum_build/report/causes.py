"""Why an entry is another one than before: a package, a BOM line, a source, who needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from occlum_build.report.model import FILE, Item

PACKAGE, BOM, SOURCE, CONTENT, MODE, TYPE, NEEDED, UNKNOWN = (
    *("package", "bom", "source", "content", "mode", "type", "needed", "unknown"),
)
Pair = tuple[Optional[Item], Optional[Item]]


class Cause(NamedTuple):
    """`kind` is of this module; `text` says it, the same for all entries that have one cause."""

    kind: str
    text: str


_NOT_KNOWN = Cause(UNKNOWN, "no BOM line is known")


class Causes:
    """Finds the causes of the entries of `pairs`, which are all that differ.

    `old_boms` and `new_boms` tell how many entries each BOM place names in either image: a place
    of which all are new is new itself. Places move when a line is added above them.
    """

    def __init__(
        self, pairs: Iterable[Pair], old_boms: Mapping[str, int], new_boms: Mapping[str, int]
    ) -> None:
        pairs = list(pairs)
        added = _named(new for old, new in pairs if old is None)
        removed = _named(old for old, new in pairs if new is None)
        self._new = {bom for bom, count in added.items() if count == new_boms.get(bom)}
        self._gone = {bom for bom, count in removed.items() if count == old_boms.get(bom)}
        self._versions: dict[str, tuple[str, str]] = {}
        for old, new in pairs:
            if old and new and old.package == new.package and old.version != new.version:
                self._versions.setdefault(old.package, (old.version, new.version))
        # Also of packages whose files all have other names in the other version.
        was = _versions(old for old, new in pairs if new is None)
        now = _versions(new for old, new in pairs if old is None)
        for package in was.keys() & now.keys():
            if was[package] != now[package]:
                self._versions.setdefault(package, (was[package], now[package]))
        self._programs = {}
        for old, new in pairs:
            state = "is new" if old is None else "is gone" if new is None else "is another one"
            for item in (old, new):
                if item is not None and item.source and item.kind == FILE:
                    self._programs[item.source] = f"{item.path} {state}"

    def cause(self, old: Item | None, new: Item | None) -> Cause:
        """Of an entry as it was and as it is."""
        if old is None or new is None:
            item = new or old
            return self._of_one(item, is_new=new is not None) if item else _NOT_KNOWN
        if old.package and new.package and old.release != new.release:
            return _of_packages(old, new)
        place = _place(new.bom or old.bom)
        if old.kind != new.kind:
            return Cause(TYPE, f"{place} brings another kind of entry")
        if (old.sha256, old.target) == (new.sha256, new.target):
            return Cause(MODE, f"the mode of what {place} brings is another one")
        if old.source != new.source and old.source and new.source:
            return Cause(SOURCE, f"{place} takes {new.source} instead of {old.source}")
        whose = f"{place} brings"
        if new.package:
            whose += f" of package {new.release}"
        return Cause(CONTENT, f"another content of what {whose}")

    def _of_one(self, item: Item, *, is_new: bool) -> Cause:
        if item.package in self._versions:
            old, new = self._versions[item.package]
            return Cause(PACKAGE, f"package {item.package} {old} -> {new}")
        if not item.bom:
            return _NOT_KNOWN
        place = _place(item.bom)
        if item.bom in self._new and item.bom in self._gone:
            return Cause(BOM, f"{place} brings others")
        if item.bom in (self._new if is_new else self._gone):
            return Cause(BOM, f"{place} is {'new' if is_new else 'gone'}")
        if item.needed_by:
            program = item.needed_by[0]
            has = "needs" if is_new else "needed"
            if program in self._programs:
                return Cause(NEEDED, f"{self._programs[program]}, which {has} it")
            return Cause(NEEDED, f"{program} {has} it, of {place}")
        return Cause(BOM, f"{place} {'brings more' if is_new else 'brings less'}")


def _named(items: Iterable[Item | None]) -> Counter[str]:
    return Counter(item.bom for item in items if item is not None and not item.needed_by)


def _versions(items: Iterable[Item | None]) -> dict[str, str]:
    """The version of each package among them."""
    return {item.package: item.version for item in items if item is not None and item.package}


def _of_packages(old: Item, new: Item) -> Cause:
    if old.package == new.package:
        return Cause(PACKAGE, f"package {old.package} {old.version} -> {new.version}")
    return Cause(PACKAGE, f"package {old.release} -> {new.release}")


def _place(bom: str) -> str:
    return f"BOM line {bom}" if bom else "a BOM line that is not known"
