"""The manifest and the tree of a planned image, made of the last ones where few files differ."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from pants.engine.addresses import Address

from occlum_build.image.entries import FILE, Entry
from occlum_build.image.manifest import ManifestText, exchanged_text, manifest_text
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.image.planned import PlannedImage

_FEW = 10  # each costs a copy of the manifest
_MOST_IMAGES = 16


class ImageTexts(NamedTuple):
    """What an image is told by: its manifest, and its tree in dist."""

    manifest: ManifestText
    tree: tuple[TreeEntry, ...]


class _Last(NamedTuple):
    entries: tuple[Entry, ...]
    sha256: Mapping[str, str]
    packages: Mapping[str, tuple[str, str]]
    texts: ImageTexts


_texts: OrderedDict[Address, _Last] = OrderedDict()
_lock = threading.Lock()


def texts_of(address: Address, plan: PlannedImage) -> ImageTexts:
    """The texts of a plan; those of the address's last one are used for what is as it was."""
    with _lock:
        last = _texts.pop(address, None)
    exchanged = _exchanged(last, plan) if last is not None else None
    if last is None or exchanged is None:
        manifest = manifest_text(plan.entries, plan.sha256.__getitem__, plan.packages)
        tree = tuple(_tree_entry(entry, plan.sha256) for entry in plan.entries if entry.path)
        texts = ImageTexts(manifest, tree)
    else:
        manifest = exchanged_text(
            last.texts.manifest,
            exchanged,
            last.sha256.__getitem__,
            plan.sha256.__getitem__,
            plan.packages,
        )
        others = {new.path: _tree_entry(new, plan.sha256) for _, new in exchanged}
        texts = ImageTexts(
            manifest, tuple(others.get(entry.path, entry) for entry in last.texts.tree)
        )
    with _lock:
        _texts[address] = _Last(plan.entries, plan.sha256, plan.packages, texts)
        if len(_texts) > _MOST_IMAGES:
            _texts.popitem(last=False)
    return texts


def _exchanged(last: _Last, plan: PlannedImage) -> list[tuple[Entry, Entry]] | None:
    """The files that differ where the rest is the same, before and now; None for many."""
    if len(last.entries) != len(plan.entries) or last.packages != plan.packages:
        return None
    before = last.sha256
    others = {path for path, content in plan.sha256.items() if before.get(path) != content}
    if len(others) > _FEW:
        return None
    found = []
    for old, new in zip(last.entries, plan.entries):
        if old is new or old == new:
            if new.source not in others or new.kind != FILE:
                continue
        elif old._replace(size=new.size) != new:
            return None
        found.append((old, new))
        if len(found) > _FEW:
            return None
    return found


def _tree_entry(entry: Entry, sha256: Mapping[str, str]) -> TreeEntry:
    content = sha256[entry.source] if entry.kind == FILE else ""
    return TreeEntry(entry.path, entry.kind, entry.mode, content, entry.size, entry.target)
