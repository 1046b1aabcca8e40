"""Why something is in an image, as text and as JSON, whose schema is report/why.schema.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from occlum_build.errors import OcclumError, Problem
from occlum_build.image.graph import HOLDS, INTERPRETER
from occlum_build.report.chains import IN, Chain, Chains, Step
from occlum_build.report.model import DIR, FILE, SYMLINK, Item, KnownImage, entries
from occlum_build.report.queries import DIRECTORY, Absent
from occlum_build.report.why import ABSENT, Answer, Group, groups
from occlum_build.shown import Lines

SCHEMA = 1
_FEW = 20  # entries of which each is told with its chain
_INDENT = "  "


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
        yield f"{answer.query}: as a {answer.kind}, {entries(len(paths))}, {size:,} bytes"
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
        return f"{path}: directory with {entries(len(below))}, {size:,} bytes"
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
