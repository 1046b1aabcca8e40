"""Rules that are called by name on a Pants that has only `Get`: 2.17 to 2.22.

A decorated function becomes a RuleByName. Called in another rule it makes a `Get` of its output,
with the types that its parameters are declared with; which calls a rule makes is read from its
source when `collect_rules` runs, as only then all that its module defines is known. To the type
checker a decorated function stays what it is in current Pants.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Coroutine, Iterable, Mapping
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable, TypeVar, get_origin, get_type_hints, overload

from pants.engine.internals.selectors import Get, MultiGet
from pants.engine.rules import Rule, TaskRule
from pants.engine.rules import collect_rules as collect_rules_of_pants
from pants.util.logging import LogLevel

from pants_occlum.compat.rule_calls import IMPLICITLY, awaitables_of, task_rule

if TYPE_CHECKING:
    from typing_extensions import ParamSpec  # pants: no-infer-dep

    P = ParamSpec("P")
T = TypeVar("T")
T0 = TypeVar("T0")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
F = TypeVar("F", bound=Callable[..., Any])


class RuleByName:
    """A rule of ours, or one of Pants' own where `options` is None.

    `output` and `parameters` are the declared types; `rule` is what Pants registers.
    """

    def __init__(
        self, func: Callable[..., Any], options: Mapping[str, Any] | None, *, cacheable: bool = True
    ) -> None:
        hints = {name: get_origin(one) or one for name, one in get_type_hints(func).items()}
        self.output: type = hints["return"]
        self.parameters: dict[str, type] = {
            name: hints[name] for name in inspect.signature(func).parameters
        }
        self.options = options
        self.cacheable = cacheable
        self.__wrapped__ = func
        self.__name__ = func.__name__
        self.__doc__ = func.__doc__

    @cached_property
    def rule(self) -> TaskRule | None:
        if self.options is None:
            return None
        func = self.__wrapped__
        # The engine shows it.
        func.__line_number__ = func.__code__.co_firstlineno  # type: ignore[attr-defined]
        return task_rule(
            self.output,
            self.parameters,
            awaitables_of(func),
            func,
            cacheable=self.cacheable,
            desc=self.options.get("desc"),
            level=self.options.get("level", LogLevel.TRACE),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Get[Any]:
        """The Get that the call stands for. Only rules, and what they await, can await it."""
        inputs = list(zip(args, self.parameters.values()))
        for value in kwargs.pop(IMPLICITLY, ()):
            inputs += value.items() if isinstance(value, dict) else [(value, type(value))]
        if kwargs or len(args) > len(self.parameters):
            raise TypeError(f"{self.__name__}() takes its parameters by position, and implicitly()")
        if len(inputs) == 1:
            ((value, declared),) = inputs
            return Get(self.output, declared, value)
        return Get(self.output, dict(inputs)) if inputs else Get(self.output)


def of_pants(func: F) -> F:
    """A rule that Pants has without a name to call it by; the function is only its signature."""
    return RuleByName(func, None)  # type: ignore[return-value]


def implicitly(*args: Any) -> dict[str, Any]:
    """For `**implicitly(...)` in the call of a rule: what it gets besides its arguments.

    One value, or a dictionary of values to the types that they stand for; nothing, for what the
    rule takes from its surroundings.
    """
    return {IMPLICITLY: args}


@overload
def concurrently(
    first: Coroutine[Any, Any, T0], second: Coroutine[Any, Any, T1], /
) -> Coroutine[Any, Any, tuple[T0, T1]]: ...
@overload
def concurrently(
    first: Coroutine[Any, Any, T0],
    second: Coroutine[Any, Any, T1],
    third: Coroutine[Any, Any, T2],
    /,
) -> Coroutine[Any, Any, tuple[T0, T1, T2]]: ...
@overload
def concurrently(
    calls: Iterable[Coroutine[Any, Any, T]], /
) -> Coroutine[Any, Any, tuple[T, ...]]: ...
def concurrently(*calls: Any) -> Any:
    """The results of several calls of rules, which may run at the same time."""
    return MultiGet(*calls)


@overload
def rule(func: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def rule(*, desc: str = ..., level: LogLevel = ...) -> Callable[[F], F]: ...
def rule(*args: Any, **options: Any) -> Any:
    """Pants' `@rule`."""
    return _decorated(args, options, cacheable=True)


@overload
def _uncacheable_rule(
    func: Callable[P, Coroutine[Any, Any, T]], /
) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def _uncacheable_rule(*, desc: str = ..., level: LogLevel = ...) -> Callable[[F], F]: ...
def _uncacheable_rule(*args: Any, **options: Any) -> Any:
    """Pants' `@_uncacheable_rule`: a rule that runs in each session."""
    return _decorated(args, options, cacheable=False)


def _decorated(args: tuple[Any, ...], options: Mapping[str, Any], *, cacheable: bool) -> Any:
    if args:
        (func,) = args
        return RuleByName(func, options, cacheable=cacheable)
    return lambda func: RuleByName(func, options, cacheable=cacheable)


def collect_rules(*namespaces: ModuleType | Mapping[str, Any]) -> Iterable[Rule]:
    """Pants' `collect_rules`: the rules in some namespaces, by default in the caller's module."""
    return collect_rules_of_pants(*(namespaces or (sys._getframe(1).f_globals,)))
