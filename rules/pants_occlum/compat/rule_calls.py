"""The calls that a rule makes of other rules, read from its source, as Pants wants to know them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import linecache
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from types import CodeType
from typing import Any, Callable, Union, get_type_hints

from pants.base.exceptions import RuleTypeError
from pants.engine.internals.selectors import AwaitableConstraints
from pants.engine.rules import TaskRule
from pants.util.frozendict import FrozenDict

IMPLICITLY = "__implicitly"

_LOCAL = "is a local variable here, and the name of a rule"
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Definition = Union[ast.FunctionDef, ast.AsyncFunctionDef]
# What a line begins with that ends no function above it, where that stands in its module.
_WITHIN = tuple(" \t\f\r\n#)]}")


def implicitly(*args: Any) -> dict[str, Any]:
    """For `**implicitly(...)` in the call of a rule: what it gets besides its arguments.

    One value, or a dictionary of values to the types that they stand for; nothing, for what the
    rule takes from its surroundings.
    """
    return {IMPLICITLY: args}


def awaitables_of(func: Callable[..., Any]) -> tuple[AwaitableConstraints, ...]:
    """What a rule awaits, itself and in the coroutine functions that it calls.

    Raises RuleTypeError, with file and line, for what cannot be read as a call of a rule: current
    Pants would refuse it too, or not see it.
    """
    found: dict[AwaitableConstraints, None] = {}
    pending, seen = [func], {func}
    while pending:
        awaitables, helpers = _read(pending.pop())
        found.update(dict.fromkeys(awaitables))
        for helper in helpers:
            if helper not in seen:
                seen.add(helper)
                pending.append(helper)
    return tuple(found)


# Many rules call one helper, and many are of one module: at each start all of them are read.
@cache
def _read(
    func: Callable[..., Any],
) -> tuple[tuple[AwaitableConstraints, ...], tuple[Callable[..., Any], ...]]:
    calls = _Calls(func)
    return tuple(calls.awaitables), tuple(calls.helpers)


def _definition_alone(lines: Sequence[str], first: int) -> _Definition | None:
    """A function that stands in its module, by its first line, parsed without the rest of that.

    None where the lines from there to the next statement are no function alone.
    """
    end, is_begun = first, False
    for end in range(first, len(lines) + 1):
        line = lines[end - 1]
        if not line.startswith(_WITHIN):
            if is_begun:
                break
            is_begun = line.startswith(("async def ", "def "))
    else:
        end = len(lines) + 1
    try:
        tree = ast.parse("\n" * (first - 1) + "".join(lines[first - 1 : end - 1]))
    except SyntaxError:  # such as that of a string that is cut off
        return None
    node = tree.body[0] if len(tree.body) == 1 else None
    return node if isinstance(node, _DEFINITIONS) else None


@lru_cache(maxsize=32)
def _definitions(source: str) -> Mapping[int, _Definition]:
    """The functions of a module, by the line of their first decorator or of their `def`."""
    found: dict[int, _Definition] = {}
    pending: list[Any] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, _DEFINITIONS):
            found[min(one.lineno for one in (node, *node.decorator_list))] = node
        for block in ("body", "handlers", "orelse", "finalbody"):
            pending += getattr(node, block, ())
    return found


def _is_rule(value: Any) -> bool:
    return isinstance(getattr(value, "parameters", None), dict) and hasattr(value, "output")


def _local_names(code: CodeType) -> Iterator[str]:
    """Those of inner functions too, as a name is one thing in all of a function."""
    pending = [code]
    while pending:
        one = pending.pop()
        yield from (*one.co_varnames, *one.co_cellvars)
        pending += (inner for inner in one.co_consts if isinstance(inner, CodeType))


class _Calls(ast.NodeVisitor):
    """Reads one function: the rules that it calls, and the other coroutine functions."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.names = {**func.__globals__, **inspect.getclosurevars(func).nonlocals}
        self.awaitables: list[AwaitableConstraints] = []
        self.helpers: list[Callable[..., Any]] = []
        self.definition = self._definition()
        for name in _local_names(func.__code__):
            if _is_rule(self.names.pop(name, None)):
                raise self._error(self._binding_of(name), _LOCAL)
        self.visit(self.definition)

    def _definition(self) -> _Definition:
        code = self.func.__code__
        lines = linecache.getlines(code.co_filename, self.func.__globals__)
        first = code.co_firstlineno
        # Half of the time of the whole modules, at each start.
        found = _definition_alone(lines, first) or _definitions("".join(lines)).get(first)
        if found is None:
            raise OSError(f"{code.co_filename}:{first}: there is no function here")
        return found

    def _binding_of(self, name: str) -> ast.expr | ast.arg:
        """Where a name becomes a local variable; an import or a definition has no node of it."""
        for node in ast.walk(self.definition):
            if isinstance(node, ast.arg) and node.arg == name:
                return node
            if isinstance(node, ast.Name) and (node.id, type(node.ctx)) == (name, ast.Store):
                return node
        return ast.copy_location(ast.Name(name, ast.Store()), self.definition)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._lookup(node.func)
        if _is_rule(called):
            if len(node.args) > len(called.parameters) or any(
                isinstance(argument, ast.Starred) for argument in node.args
            ):
                raise self._error(node, "has other arguments than the rule has parameters")
            parameters = list(called.parameters.values())
            inputs = [*parameters[: len(node.args)], *self._implicit(node)]
            self.awaitables.append(_constraints(called.output, inputs))
        elif inspect.iscoroutinefunction(called):
            if not inspect.isfunction(called):
                raise self._error(node, "awaits what is no plain function: it cannot be read")
            self.helpers.append(called)
        else:
            self.visit(node.func)
        for child in (*node.args, *node.keywords):
            self.visit(child)

    def visit_Name(self, node: ast.Name) -> None:
        self._refuse_rule(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._refuse_rule(node)
        self.visit(node.value)

    def _refuse_rule(self, node: ast.expr) -> None:
        if _is_rule(self._lookup(node)):
            raise self._error(node, "is a rule: it can be called here, and nothing else")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_body(node)

    def _visit_body(self, node: _Definition) -> None:
        """Not the decorators and annotations, which are not run by the rule."""
        for child in node.body:
            self.visit(child)

    def _implicit(self, node: ast.Call) -> Iterator[type]:
        for keyword in node.keywords:
            value = keyword.value
            if (
                keyword.arg is not None
                or not isinstance(value, ast.Call)
                or self._lookup(value.func) is not implicitly
                or len(value.args) > 1
            ):
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

    def _error(self, node: ast.expr | ast.arg, text: str) -> RuleTypeError:
        place = f"{self.func.__code__.co_filename}:{node.lineno}"
        if isinstance(node, ast.Call):
            what = f"{ast.unparse(node.func)}()"
        else:
            what = node.arg if isinstance(node, ast.arg) else ast.unparse(node)
        return RuleTypeError(f"{place}: {what} {text}")


def _constraints(output: type, inputs: Iterable[type]) -> AwaitableConstraints:
    values: dict[str, Any] = {
        "output_type": output,
        "input_types": tuple(inputs),
        "is_effect": False,
        # Since 2.19 and 2.20; these values stand for a Get.
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
    """The rule as Pants registers it; since 2.20 that knows the names of parameters."""
    named = "parameters" in {field.name for field in dataclasses.fields(TaskRule)}
    selectors: Any = FrozenDict(parameters) if named else tuple(parameters.values())
    name = f"{func.__module__}.{func.__qualname__}".replace(".<locals>", "")
    return TaskRule(output, selectors, awaitables, (), func, canonical_name=name, **options)
