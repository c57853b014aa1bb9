"""Steps: pieces of a run whose results are recorded, so that no later attempt repeats them.

A step is known by its name and by how many steps of that name the run had before. What it returns
is recorded as JSON before the run goes on; an attempt that finds a record returns it instead of
calling the function. The first time, too, the value is read back from its record, so that code sees
the same kind of value whether or not a step was executed by this attempt.
"""

import typing
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, overload

import msgspec

from runyard.sdk.annotations import Translation, Unsupported, translate
from runyard.sdk.current import CURRENT

P = ParamSpec("P")
R = TypeVar("R")

_ANYTHING = Translation(translate(Any).kind, Any)


@overload
def step(
    function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Awaitable[R]: ...


@overload
def step(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


@overload
def step(
    name: str, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Awaitable[R]: ...


@overload
def step(name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


def step(first: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function as a step: `step(fetch, url)`, or `step("name", fetch, url)`.

    Returns what the function returns; `await` it where the function is asynchronous. Its name is
    the function's unless one is given. Raises TypeError when the result cannot be recorded as JSON.
    Outside a run it only calls the function.
    """
    if isinstance(first, str):
        name, function, *rest = (first, *args)
    else:
        name, function, rest = getattr(first, "__name__", "step"), first, list(args)
    if CURRENT.channel is None:
        return function(*rest, **kwargs)
    occurrence = _next_occurrence(name)
    if iscoroutinefunction(function):
        return _take_async(name, occurrence, function, rest, kwargs)
    recorded = CURRENT.run().steps.get((name, occurrence))
    if recorded is None:
        recorded = _record(name, occurrence, function, function(*rest, **kwargs))
    return _read(function, recorded)


async def _take_async(
    name: str,
    occurrence: int,
    function: Callable[..., Awaitable[Any]],
    args: list[Any],
    kwargs: dict[str, Any],
) -> Any:  # noqa: ANN401 - what the function returns
    recorded = CURRENT.run().steps.get((name, occurrence))
    if recorded is None:
        recorded = _record(name, occurrence, function, await function(*args, **kwargs))
    return _read(function, recorded)


def _next_occurrence(name: str) -> int:
    if CURRENT.steps_taken is None:
        CURRENT.steps_taken = {}
    occurrence = CURRENT.steps_taken.get(name, 0)
    CURRENT.steps_taken[name] = occurrence + 1
    return occurrence


def _record(name: str, occurrence: int, function: Callable[..., Any], value: object) -> bytes:
    write = _result_of(function).write
    try:
        raw = msgspec.json.encode(write(value) if write else value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the result of step {name!r} cannot be recorded: {error}") from None
    if CURRENT.channel is None:
        raise RuntimeError(f"step {name!r} ended after its run")
    CURRENT.channel.record(name, occurrence, raw)
    return raw


def _read(function: Callable[..., Any], recorded: bytes) -> Any:  # noqa: ANN401 - what the function returns
    result = _result_of(function)
    value = msgspec.json.decode(recorded, type=result.native)
    return result.read(value) if result.read else value


def _result_of(function: Callable[..., Any]) -> Translation:
    """How results of this function travel; as plain JSON where its annotation says nothing."""
    try:
        annotation = typing.get_type_hints(function, include_extras=True).get("return", Any)
        return _ANYTHING if annotation is type(None) else translate(annotation)
    except (Unsupported, NameError, TypeError, AttributeError):
        return _ANYTHING
