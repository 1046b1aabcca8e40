"""Why something is in an image: which BOM line brings it, over which chain.

The JSON has its schema in report/why.schema.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from occlum_build.errors import NOTE, OcclumError, Problem
from occlum_build.image.graph import GRAPH, HOLDS, INTERPRETER
from occlum_build.report.chains import IN, Chain, Chains, Step, place_key
from occlum_build.report.model import DIR, FILE, SYMLINK, Item, KnownImage
from occlum_build.report.queries import DIRECTORY, Absent, absent, find
from occlum_build.shown import Lines

SCHEMA = 1
ABSENT = "absent"
_FEW = 20  # entries of which each is told with its chain
_INDENT = "  "


@dataclass(frozen=True)
class Answer:
    """What a query was found as (`kind`, of report.queries, or ABSENT), and each path's chains.

    `below` has the chains of what is in a directory, by BOM line: one of it, entries and bytes.
    """

    query: str
    kind: str
    chains: Mapping[str, Sequence[Chain]]
    below: Sequence[Group] = ()
    absent: Absent | None = None


@dataclass(frozen=True)
class Group:
    """Entries that one BOM line brings: how many by itself, how many as what those need."""

    bom: str
    named: int
    needed: int
    size: int


class Why:
    """Answers about one image: the shortest chain, or `every` one."""

    def __init__(self, image: KnownImage, *, every: bool = False) -> None:
        self.image, self._every = image, every
        self._chains = Chains(image)

    def notes(self) -> list[Problem]:
        """What is to be said about the answers so far."""
        found = []
        if self._chains.is_cut:
            message = "there are more chains than are told"
            found.append(Problem("graph", message, severity=NOTE))
        if self.image.graph is None:
            message = f"there is no {GRAPH} beside the manifest: of each library one chain is known"
            found.append(Problem("graph", message, severity=NOTE))
        return found

    def answers(self, query: str) -> list[Answer]:
        """At least one; a name may be found as several things."""
        found = find(self.image, query)
        if not found:
            return [Answer(query, ABSENT, {}, absent=absent(self.image, query))]
        return [
            Answer(
                query,
                one.kind,
                {path: self._chains_to(path) for path in one.paths},
                self._groups(one.paths[0]) if one.kind == DIRECTORY else (),
            )
            for one in found
        ]

    def _chains_to(self, path: str) -> list[Chain]:
        if self._every:
            return self._chains.every(path)
        chain = self._chains.shortest(path)
        return [chain] if chain is not None else []

    def _groups(self, directory: str) -> list[Group]:
        return groups(self.image.tree(directory), self._chains)


def groups(items: Iterable[Item], chains: Chains) -> list[Group]:
    """Entries by the BOM line of their shortest chain, the largest first."""
    named: dict[str, int] = {}
    needed: dict[str, int] = {}
    size: dict[str, int] = {}
    for item in items:
        bom = item.bom
        if item.needed_by:
            chain = chains.shortest(item.path)
            bom = chain.bom if chain is not None else bom
        counts = needed if item.needed_by else named
        counts[bom] = counts.get(bom, 0) + 1
        size[bom] = size.get(bom, 0) + item.size
    made = [Group(bom, named.get(bom, 0), needed.get(bom, 0), size[bom]) for bom in size]
    return sorted(made, key=lambda one: (-one.size, place_key(one.bom)))


def to_json(image: KnownImage, answers: Iterable[Answer]) -> dict[str, Any]:
    """All answers as an object."""
    return {
        "schema": SCHEMA,
        "image": image.name,
        "answers": [_answer_json(image, one) for one in answers],
    }


def _answer_json(image: KnownImage, answer: Answer) -> dict[str, Any]:
    value: dict[str, Any] = {"query": answer.query, "as": answer.kind}
    if answer.absent is not None:
        nearest = list(answer.absent.nearest)
        return {**value, "searched": list(answer.absent.searched), "nearest": nearest}
    value["entries"] = [
        {
            **_item_json(image.items.get(path), path),
            "chains": [_chain_json(image, c) for c in found],
        }
        for path, found in answer.chains.items()
    ]
    if answer.kind == DIRECTORY:
        value["below"] = [
            {"bom": one.bom, "named": one.named, "needed": one.needed, "bytes": one.size}
            for one in answer.below
        ]
    return value


def _item_json(item: Item | None, path: str) -> dict[str, Any]:
    if item is None:
        return {"path": path, "type": "member"}
    value: dict[str, Any] = {"path": path, "type": item.kind}
    if item.kind == FILE:
        value["bytes"] = item.size
    if item.target:
        value["target"] = item.target
    return value


def _chain_json(image: KnownImage, chain: Chain) -> dict[str, Any]:
    return {"bom": chain.bom, "steps": [_step_json(image, step) for step in chain.steps]}


def _step_json(image: KnownImage, step: Step) -> dict[str, Any]:
    item = image.items.get(step.path)
    told = {"name": step.name, "rule": step.rule}
    if item is not None:
        told.update(package=item.package, version=item.version, source=item.source)
    present = {key: text for key, text in told.items() if text}
    return {"path": step.path, "reason": step.reason, **present}


def lines(image: KnownImage, answers: Iterable[Answer]) -> Iterator[str]:
    """All answers but those that are ABSENT, for people: a line a step."""
    for answer in answers:
        if answer.kind != ABSENT:
            yield from _lines(image, answer)


def absent_error(answers: Iterable[Answer]) -> OcclumError | None:
    """The error `absent` of what an image does not have; None when it has all."""
    gone = [_absent_problem(one) for one in answers if one.kind == ABSENT]
    return OcclumError.of(gone) if gone else None


def _lines(image: KnownImage, answer: Answer) -> Iterator[str]:
    paths = list(answer.chains)
    if len(paths) > _FEW:
        items = [image.items[path] for path in paths if path in image.items]
        size = sum(item.size for item in items)
        yield f"{answer.query}: as a {answer.kind}, {len(paths):,} entries, {size:,} bytes"
        yield from _group_lines(groups(items, Chains(image)))
        return
    for path in paths:
        yield _head(image, path)
        for chain in answer.chains[path]:
            yield from _chain_lines(image, chain)
        if not answer.chains[path]:
            yield f"{_INDENT}the root of the image" if path == "/" else f"{_INDENT}nobody knows"
    if answer.kind == DIRECTORY and answer.below:
        yield f"{_INDENT}below it:"
        for text in _group_lines(answer.below):
            yield _INDENT + text


def _absent_problem(answer: Answer) -> Problem:
    """What was searched, numbered, and the hint with the nearest names."""
    found = answer.absent or Absent((), ())
    text = Lines(
        f"{answer.query}: the image does not have it; looked for",
        *(f"{number:3}. {one}" for number, one in enumerate(found.searched, start=1)),
    )
    hint = f"did you mean {', '.join(found.nearest)}?" if found.nearest else ""
    return Problem("absent", text, hint=hint)


def _group_lines(found: Iterable[Group]) -> Iterator[str]:
    told = list(found)
    for one in told[:_FEW]:
        parts = []
        if one.named:
            parts.append(f"{one.named:,} named")
        if one.needed:
            parts.append(f"{one.needed:,} needed by what it names")
        yield f"{_INDENT}{_place(one.bom)}: {', '.join(parts)}, {one.size:,} bytes"
    if told[_FEW:]:
        size = sum(one.size for one in told[_FEW:])
        yield f"{_INDENT}and {len(told) - _FEW:,} more BOM lines, {size:,} bytes"


def _head(image: KnownImage, path: str) -> str:
    item = image.items.get(path)
    if item is None:
        return f"{path}: an ELF file in an archive"
    if item.kind == DIR:
        below = list(image.tree(path))
        size = sum(one.size for one in below)
        return f"{path}: directory with {len(below):,} entries, {size:,} bytes"
    if item.kind == SYMLINK:
        return f"{path}: link to {item.target}"
    return f"{path}: file, {item.size:,} bytes"


def _chain_lines(image: KnownImage, chain: Chain) -> Iterator[str]:
    first, *others = chain.steps
    item = image.items.get(first.path)
    source = f" copies {item.source}" if item is not None and item.source else ""
    yield f"{_INDENT}{_place(chain.bom)}{source}"
    yield f"{_INDENT}-> {first.path}{_release(item)}"
    for step in others:
        item = image.items.get(step.path)
        yield f"{_INDENT}-> {_evidence(step)}: {step.path}{_release(item)}"


def _evidence(step: Step) -> str:
    if step.reason in (HOLDS, IN):
        return step.reason
    if step.reason == INTERPRETER:
        return "PT_INTERP"
    name = f"DT_NEEDED {step.name}" if step.name else "DT_NEEDED"
    return f"{name}, found by {step.rule}" if step.rule else name


def _release(item: Item | None) -> str:
    return f" ({item.release})" if item is not None and item.package else ""


def _place(bom: str) -> str:
    return bom or "(no BOM line: the manifest has no provenance)"
