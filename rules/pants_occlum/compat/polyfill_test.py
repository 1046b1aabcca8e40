"""Rules that are called by name, run by the real engine of this Pants.

The wrong calls are not run: a `type: ignore` that is not needed is an error of the type check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import pytest
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent
from pants.engine.rules import QueryRule, TaskRule
from pants.option.option_types import StrOption
from pants.option.subsystem import Subsystem
from pants.testutil.rule_runner import RuleRunner

from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents
from pants_occlum.compat.rule_calls import awaitables_of


@dataclass(frozen=True)
class Number:
    value: int


@dataclass(frozen=True)
class Doubled:
    value: int


@dataclass(frozen=True)
class Sum:
    value: int


@dataclass(frozen=True)
class Named:
    text: str


@dataclass(frozen=True)
class Counted:
    value: int


class Names(Subsystem):
    options_scope = "names"
    help = "For these tests."

    name = StrOption(default="n", help="A name.")


RUNS: list[int] = []


@rule(desc="Add numbers")
async def add(first: Number, second: Doubled) -> Sum:
    """Called with the types that its parameters are declared with."""
    doubled = await double(first)
    return Sum(doubled.value + second.value)


@rule
async def double(number: Number) -> Doubled:
    RUNS.append(number.value)
    return Doubled(2 * number.value)


@rule
async def name_number(number: Number, names: Names) -> Named:
    return Named(f"{names.name}{number.value}")


@_uncacheable_rule
async def count(number: Number) -> Counted:
    RUNS.append(number.value)
    return Counted(len(RUNS))


async def _helper(number: Number) -> Sum:
    return await add(number, await double(number))


@dataclass(frozen=True)
class Asked:
    """One of the ways to call, by its name."""

    way: str
    value: int


@dataclass(frozen=True)
class Answer:
    value: object


@rule
async def answer(asked: Asked) -> Answer:
    number = Number(asked.value)
    if asked.way == "two arguments":
        return Answer(await add(number, Doubled(10)))
    if asked.way == "helper":
        return Answer(await _helper(number))
    if asked.way == "from the surroundings":
        return Answer(await name_number(number, **implicitly()))
    if asked.way == "implicit value":
        return Answer(await name_number(**implicitly(Number(asked.value + 1))))
    if asked.way == "implicit value of a type":
        return Answer(await name_number(**implicitly({number: Number})))
    if asked.way == "two at once":
        return Answer(await concurrently(double(number), name_number(number, **implicitly())))
    if asked.way == "three at once":
        return Answer(
            await concurrently(
                double(number), double(Number(8)), name_number(number, **implicitly())
            )
        )
    if asked.way == "many at once":
        return Answer(await concurrently(double(Number(one)) for one in range(asked.value)))
    file = FileContent("number", str(asked.value).encode())
    digest = await create_digest(CreateDigest([file]))
    contents = await get_digest_contents(digest)
    return Answer(contents[0].content)


def _runner() -> RuleRunner:
    queries = [QueryRule(Answer, [Asked]), QueryRule(Counted, [Number])]
    return RuleRunner(rules=[*collect_rules(globals()), *queries])


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("two arguments", Sum(16)),
        ("helper", Sum(12)),
        ("from the surroundings", Named("n3")),
        ("implicit value", Named("n4")),
        ("implicit value of a type", Named("n3")),
        ("two at once", (Doubled(6), Named("n3"))),
        ("three at once", (Doubled(6), Doubled(16), Named("n3"))),
        ("many at once", (Doubled(0), Doubled(2), Doubled(4))),
        ("rules of Pants", b"3"),
    ],
)
def test_calls(way: str, expected: object) -> None:
    assert _runner().request(Answer, [Asked(way, 3)]).value == expected


def test_rules_are_memoised_and_those_that_are_not() -> None:
    runner = _runner()
    RUNS.clear()
    for _ in range(2):
        runner.request(Answer, [Asked("many at once", 2)])
    assert sorted(RUNS) == [0, 1]
    counted = [runner.request(Counted, [Number(7)]).value]
    runner.set_options([])  # a new session
    counted.append(runner.request(Counted, [Number(7)]).value)
    assert counted == [3, 4]


def test_what_pants_registers() -> None:
    rules = {
        one.func.__name__: one for one in collect_rules(globals()) if isinstance(one, TaskRule)
    }
    added = rules["add"]
    assert (added.output_type, added.desc, added.cacheable) == (Sum, "Add numbers", True)
    assert added.canonical_name == f"{__name__}.add"
    assert not rules["count"].cacheable
    # The rules of Pants are not ours to register, and options come with the rules that read them.
    assert "create_digest" not in rules
    assert any("names" in name for name in rules)


def _awaits(func: Callable[..., Any]) -> set[tuple[type, tuple[type, ...]]]:
    return {(one.output_type, one.input_types) for one in awaitables_of(func)}


async def _local_of_the_same_name(add: Callable[[int], int]) -> int:
    return add(1)


def test_awaitables() -> None:
    assert _awaits(_helper) == {(Sum, (Number, Doubled)), (Doubled, (Number,))}
    assert _awaits(_local_of_the_same_name) == set()
    digests = {(Digest, (CreateDigest,)), (DigestContents, (Digest,))}
    assert digests <= _awaits(answer.__wrapped__)  # type: ignore[attr-defined]


async def _too_many_arguments() -> None:
    await double(Number(1), Number(2))  # type: ignore[call-arg]


async def _unpacked_arguments(numbers: list[Number]) -> None:
    await double(*numbers)


async def _keyword() -> None:
    await double(number=Number(1))


async def _two_implicit_values() -> None:
    await name_number(**implicitly(Number(1), Names))


async def _implicit_value_of_unknown_type(number: Number) -> None:
    await name_number(**implicitly(number))


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (_too_many_arguments, r"double\(\) has other arguments than the rule has parameters"),
        (_unpacked_arguments, r"double\(\) has other arguments than the rule has parameters"),
        (_keyword, r"double\(\) takes no keyword but \*\*implicitly\(\) of one value"),
        (_two_implicit_values, r"\w+\(\) takes no keyword but \*\*implicitly\(\) of one value"),
        (_implicit_value_of_unknown_type, r"\w+\(\) is given number, whose type is not known"),
    ],
)
def test_calls_that_current_pants_refuses(func: Callable[..., Any], message: str) -> None:
    line = func.__code__.co_firstlineno + 1
    with pytest.raises(TypeError, match=rf"polyfill_test\.py:{line}: {message}"):
        awaitables_of(func)


def test_wrong_calls_without_the_engine() -> None:
    for arguments in ((Number(1), Number(2)), ()):
        keywords: dict[str, Any] = {} if arguments else {"number": Number(1)}
        with pytest.raises(TypeError, match=r"double\(\) takes its parameters by position"):
            _ = double(*arguments, **keywords)


async def _never_run() -> None:
    await double(1)  # type: ignore[arg-type]
    await name_number(Number(1))  # type: ignore[call-arg]
    await create_digest(Number(1))  # type: ignore[arg-type]
    sums: Sum = await double(Number(1))  # type: ignore[assignment]
    two: tuple[Sum, Named] = await concurrently(
        double(Number(1)),  # type: ignore[arg-type]
        name_number(Number(1), **implicitly()),
    )
    print(sums, two)
