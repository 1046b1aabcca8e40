"""Rules that are called by name, run by the real engine of this Pants.

The wrong calls are not run: a `type: ignore` that is not needed is an error of the type check.
"""

from __future__ import annotations

import functools
from dataclasses import astuple, dataclass, make_dataclass
from typing import Any, Callable

import pytest
from pants.base.exceptions import RuleTypeError
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent
from pants.engine.rules import QueryRule, TaskRule
from pants.option.option_types import StrOption
from pants.option.subsystem import Subsystem
from pants.testutil.rule_runner import RuleRunner
from pants.util.frozendict import FrozenDict

from pants_occlum.compat import rule_calls
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents
from pants_occlum.compat.polyfill import RuleByName
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


def test_awaitables() -> None:
    assert _awaits(_helper) == {(Sum, (Number, Doubled)), (Doubled, (Number,))}
    digests = {(Digest, (CreateDigest,)), (DigestContents, (Digest,))}
    assert digests <= _awaits(answer.__wrapped__)  # type: ignore[attr-defined]


# fmt: off
async def _over_lines(
    number: Number,
) -> Doubled:
# A comment at the beginning of a line, where a function could end.
    await add(
        number,

        Doubled(1),
)
    return await double(number)
# fmt: on


async def _from_a_string() -> None:
    text = """
async def double(): ...
"""
    await double(Number(len(text)))


def _made() -> Callable[[], Any]:
    async def within() -> None:
        await double(Number(1))

    return within


@pytest.mark.parametrize("func", [_from_a_string, _made()])
def test_awaitables_of_a_function_that_cannot_be_parsed_alone(func: Callable[..., Any]) -> None:
    assert _awaits(func) == {(Doubled, (Number,))}


def test_awaitables_to_the_end_of_a_function() -> None:
    assert _awaits(_over_lines) == {(Doubled, (Number,)), (Sum, (Number, Doubled))}


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


async def _other_keywords() -> None:
    await double(**dict(number=Number(1)))


async def _passed_on() -> list[Any]:
    return list(map(double, [Number(1)]))


async def _another_name() -> None:
    other = double
    await other(Number(1))


async def _parameter(add: Callable[[int], int]) -> int:
    return add(1)


async def _loop_variable(numbers: list[Number]) -> list[Number]:
    return [double for double in numbers]


async def _parameter_within() -> Callable[[int], int]:
    return lambda add: add


async def _caught() -> None:
    try:
        ...
    except ValueError as double:
        print(double)


async def _imported() -> None:
    from operator import add

    add(1, 1)


_partial = functools.partial(_helper, Number(1))


async def _unreadable() -> None:
    await _partial()


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (_too_many_arguments, r"double\(\) has other arguments than the rule has parameters"),
        (_unpacked_arguments, r"double\(\) has other arguments than the rule has parameters"),
        (_keyword, r"double\(\) takes no keyword but \*\*implicitly\(\) of one value"),
        (_two_implicit_values, r"\w+\(\) takes no keyword but \*\*implicitly\(\) of one value"),
        (_implicit_value_of_unknown_type, r"\w+\(\) is given number, whose type is not known"),
        (_other_keywords, r"double\(\) takes no keyword but"),
        (_passed_on, "double is a rule: it can be called here, and nothing else"),
        (_another_name, "double is a rule: it can be called here, and nothing else"),
        (_loop_variable, "double is a local variable here, and the name of a rule"),
        (_parameter_within, "add is a local variable here"),
        (_unreadable, r"_partial\(\) awaits what is no plain function: it cannot be read"),
    ],
)
def test_what_is_refused(func: Callable[..., Any], message: str) -> None:
    line = func.__code__.co_firstlineno + 1
    with pytest.raises(RuleTypeError, match=rf"polyfill_test\.py:{line}: {message}"):
        awaitables_of(func)


def test_parameter_with_the_name_of_a_rule() -> None:
    with pytest.raises(RuleTypeError, match="add is a local variable"):
        awaitables_of(_parameter)


@pytest.mark.parametrize(("func", "name"), [(_caught, "double"), (_imported, "add")])
def test_local_name_that_is_no_variable(func: Callable[..., Any], name: str) -> None:
    line = func.__code__.co_firstlineno
    with pytest.raises(RuleTypeError, match=rf"polyfill_test\.py:{line}: {name} is a local"):
        awaitables_of(func)


def test_functions_that_are_no_rules() -> None:
    def sync(number: Number) -> Doubled: ...  # type: ignore[empty-body]
    async def untyped(number) -> Doubled: ...  # type: ignore[no-untyped-def,empty-body]
    async def no_class(number: Number) -> Doubled | None: ...
    async def alike(first: Number, second: Number) -> Doubled: ...  # type: ignore[empty-body]

    cases: list[tuple[Callable[..., Any], str]] = [
        (sync, "the rule sync is no `async def`"),
        (untyped, "the rule untyped declares no class for number"),
        (no_class, "the rule no_class declares no class for return"),
        (alike, "the rule alike has two parameters of one type"),
    ]
    for func, message in cases:
        with pytest.raises(RuleTypeError, match=rf"polyfill_test\.py:\d+: {message}"):
            RuleByName(func)
    decorator: Any = rule
    with pytest.raises(TypeError, match="unexpected keyword argument 'dessc'"):
        decorator(dessc="A slip.")(_helper)


def test_error_in_a_rule_is_told_by_what_collects_it() -> None:
    with pytest.raises(RuleTypeError, match="double is a rule: it can be"):
        collect_rules({"broken": rule(_passed_on_to_another)})


async def _passed_on_to_another(number: Number) -> Doubled:
    (doubled,) = [await one for one in map(double, [number])]
    return doubled


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (["output_type", "input_types", "is_effect"], (Sum, (Number,), False)),
        (
            ["rule_id", "output_type", "input_types", "is_effect"],
            (None, Sum, (Number,), False),
        ),
        (
            ["rule_id", "output_type", "explicit_args_arity", "input_types", "is_effect"],
            (None, Sum, 0, (Number,), False),
        ),
    ],
)
def test_shapes_of_a_get(
    monkeypatch: pytest.MonkeyPatch, constraints: list[str], expected: object
) -> None:
    """As 2.17, 2.19 and 2.20 have them."""
    shape = make_dataclass("AwaitableConstraints", constraints)
    monkeypatch.setattr(rule_calls, "AwaitableConstraints", shape)
    assert astuple(rule_calls._constraints(Sum, [Number])) == expected


def test_shape_of_a_rule_with_named_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 2.20 has it."""
    names = ["output_type", "parameters", "awaitables", "masked_types", "func", "canonical_name"]
    monkeypatch.setattr(rule_calls, "TaskRule", make_dataclass("TaskRule", names))
    made: Any = rule_calls.task_rule(Sum, {"number": Number}, (), _helper)
    assert made.parameters == FrozenDict({"number": Number})
    assert made.canonical_name == f"{__name__}._helper"


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
