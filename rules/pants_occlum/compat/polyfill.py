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

from pants.base.exceptions import RuleTypeError
from pants.engine.internals.selectors import Get, MultiGet
from pants.engine.rules import Rule, TaskRule
from pants.engine.rules import collect_rules as collect_rules_of_pants
from pants.util.logging import LogLevel

from pants_occlum.compat.rule_calls import IMPLICITLY, awaitables_of, implicitly, task_rule

if TYPE_CHECKING:
    from typing_extensions import ParamSpec  # pants: no-infer-dep

    P = ParamSpec("P")

__all__ = [
    "_uncacheable_rule",
    "collect_rules",
    "concurrently",
    "goal_rule",
    "implicitly",
    "rule",
]

T = TypeVar("T")
T0 = TypeVar("T0")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
F = TypeVar("F", bound=Callable[..., Any])


class RuleByName:
    """A rule of ours, or one of Pants' own where `is_own` is False.

    `output` and `parameters` are the declared types; `rule` is what Pants registers. Raises
    RuleTypeError for a function that is no rule, or whose calls a `Get` could not tell apart.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        desc: str | None = None,
        level: LogLevel = LogLevel.TRACE,
        cacheable: bool = True,
        is_own: bool = True,
    ) -> None:
        self.__wrapped__, self.__name__, self.__doc__ = func, func.__name__, func.__doc__
        if not inspect.iscoroutinefunction(func):
            raise self._error("is no `async def`")
        hints = {name: get_origin(one) or one for name, one in get_type_hints(func).items()}
        names = list(inspect.signature(func).parameters)
        untyped = [name for name in (*names, "return") if not isinstance(hints.get(name), type)]
        if untyped:
            raise self._error(f"declares no class for {untyped[0]}")
        self.output: type = hints["return"]
        self.parameters: dict[str, type] = {name: hints[name] for name in names}
        if len(set(self.parameters.values())) < len(names):
            raise self._error("has two parameters of one type")
        self._options = {"desc": desc, "level": level, "cacheable": cacheable}
        self._is_own = is_own

    @cached_property
    def rule(self) -> TaskRule | None:
        if not self._is_own:
            return None
        func = self.__wrapped__
        # The engine shows it.
        func.__line_number__ = func.__code__.co_firstlineno  # type: ignore[attr-defined]
        try:
            awaitables = awaitables_of(func)
        except AttributeError as error:
            # Pants' `collect_rules` would take it for having no rule.
            raise self._error(f"cannot be read: {error}") from error
        return task_rule(self.output, self.parameters, awaitables, func, **self._options)

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

    def _error(self, text: str) -> RuleTypeError:
        code = self.__wrapped__.__code__
        return RuleTypeError(
            f"{code.co_filename}:{code.co_firstlineno}: the rule {self.__name__} {text}"
        )


def of_pants(func: F) -> F:
    """A rule that Pants has without a name to call it by; the function is only its signature."""
    return RuleByName(func, is_own=False)  # type: ignore[return-value]


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


def goal_rule(func: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Pants' `@goal_rule`: what a goal does, in each session; it returns the goal."""
    goal = get_type_hints(func)["return"]
    made: Any = RuleByName(func, desc=f"`{goal.name}` goal", level=LogLevel.DEBUG, cacheable=False)
    return made  # type: ignore[no-any-return]


def _decorated(args: tuple[Any, ...], options: Mapping[str, Any], *, cacheable: bool) -> Any:
    if args:
        (func,) = args
        return RuleByName(func, cacheable=cacheable)
    return lambda func: RuleByName(func, cacheable=cacheable, **options)


def collect_rules(*namespaces: ModuleType | Mapping[str, Any]) -> Iterable[Rule]:
    """Pants' `collect_rules`: the rules in some namespaces, by default in the caller's module."""
    return collect_rules_of_pants(*(namespaces or (sys._getframe(1).f_globals,)))
