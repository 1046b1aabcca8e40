"""The calls that a rule makes of other rules, read from its source, as Pants wants to know them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, get_type_hints

from pants.engine.internals.selectors import AwaitableConstraints
from pants.engine.rules import TaskRule
from pants.util.frozendict import FrozenDict

IMPLICITLY = "__implicitly"


def awaitables_of(func: Callable[..., Any]) -> tuple[AwaitableConstraints, ...]:
    """What a rule awaits, itself and in the coroutine functions that it calls.

    Raises TypeError, with file and line, for a call that current Pants would not take either.
    """
    found: dict[AwaitableConstraints, None] = {}
    pending, seen = [func], {func}
    while pending:
        reader = _Calls(pending.pop())
        found.update(dict.fromkeys(reader.awaitables))
        for helper in reader.helpers:
            if helper not in seen:
                seen.add(helper)
                pending.append(helper)
    return tuple(found)


class _Calls(ast.NodeVisitor):
    """Reads one function: the rules that it calls, and the other coroutine functions."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.names = {**func.__globals__, **inspect.getclosurevars(func).nonlocals}
        for local in func.__code__.co_varnames:
            self.names.pop(local, None)
        self.awaitables: list[AwaitableConstraints] = []
        self.helpers: list[Callable[..., Any]] = []
        self.visit(ast.parse(textwrap.dedent(inspect.getsource(func))))

    def visit_Call(self, node: ast.Call) -> None:
        called = self._lookup(node.func)
        output, parameters = getattr(called, "output", None), getattr(called, "parameters", None)
        if isinstance(output, type) and isinstance(parameters, dict):
            if len(node.args) > len(parameters) or any(
                isinstance(argument, ast.Starred) for argument in node.args
            ):
                raise self._error(node, "has other arguments than the rule has parameters")
            inputs = [*list(parameters.values())[: len(node.args)], *self._implicit(node)]
            self.awaitables.append(_constraints(output, inputs))
        elif inspect.iscoroutinefunction(called):
            self.helpers.append(called)
        self.generic_visit(node)

    def _implicit(self, node: ast.Call) -> Iterator[type]:
        for keyword in node.keywords:
            value = keyword.value
            if keyword.arg is not None or not isinstance(value, ast.Call) or len(value.args) > 1:
                raise self._error(node, "takes no keyword but **implicitly() of one value")
            for given in value.args:
                types = given.values if isinstance(given, ast.Dict) else [given]
                yield from (self._type(node, one) for one in types)

    def _type(self, call: ast.Call, node: ast.expr) -> type:
        """The type that an expression names, makes or, by its annotation, returns."""
        found = self._lookup(node.func if isinstance(node, ast.Call) else node)
        if not isinstance(found, type) and callable(found):
            found = get_type_hints(found).get("return")
        if not isinstance(found, type):
            raise self._error(call, f"is given {ast.unparse(node)}, whose type is not known")
        return found

    def _lookup(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Attribute):
            return getattr(self._lookup(node.value), node.attr, None)
        return self.names.get(node.id) if isinstance(node, ast.Name) else None

    def _error(self, node: ast.Call, text: str) -> TypeError:
        code = self.func.__code__
        line = code.co_firstlineno + node.lineno - 1
        return TypeError(f"{code.co_filename}:{line}: {ast.unparse(node.func)}() {text}")


def _constraints(output: type, inputs: Iterable[type]) -> AwaitableConstraints:
    values: dict[str, Any] = {
        "output_type": output,
        "input_types": tuple(inputs),
        "is_effect": False,
        # Since 2.19, where these stand for a Get.
        "rule_id": None,
        "explicit_args_arity": 0,
    }
    known = {field.name for field in dataclasses.fields(AwaitableConstraints)}
    return AwaitableConstraints(**{name: values[name] for name in values if name in known})


def task_rule(
    output: type,
    parameters: Mapping[str, type],
    awaitables: tuple[AwaitableConstraints, ...],
    func: Callable[..., Any],
    **options: Any,
) -> TaskRule:
    """The rule as Pants registers it; since 2.19 that knows the names of parameters."""
    named = "parameters" in {field.name for field in dataclasses.fields(TaskRule)}
    selectors: Any = FrozenDict(parameters) if named else tuple(parameters.values())
    name = f"{func.__module__}.{func.__qualname__}".replace(".<locals>", "")
    return TaskRule(output, selectors, awaitables, (), func, canonical_name=name, **options)
