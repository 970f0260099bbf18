"""Calling what a program gives to a step, so that what it raises can be kept."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from datastore.errors import InvalidValueError, kind_of


class Made(NamedTuple):
    """What a step's function did: it returned something, or raised an error."""

    result: Any = None
    error: Exception | None = None


def catching(function: Callable[..., Any], parameter: str = "function", *, awaits: bool = False) -> Callable[..., Any]:
    """Return a function that returns what another one does as a `Made`; awaited, if that one is awaited.

    Args:
        function: What to call.
        parameter: Its name in errors.
        awaits: Whether it may be a coroutine function.

    Raises:
        InvalidValueError: If it cannot be called, or is a coroutine function and nobody awaits it.
    """
    if not callable(function):
        raise InvalidValueError(f"{parameter} is {kind_of(function)}; give the function to call")
    is_awaited = inspect.iscoroutinefunction(function)
    if is_awaited and not awaits:
        raise InvalidValueError(f"{parameter} is a coroutine function; data_store.asynchronous.runs awaits it")

    async def awaited(*arguments: Any) -> Made:
        try:
            return Made(await function(*arguments))
        except Exception as error:  # noqa: BLE001 - raised by the step, or kept
            return Made(error=error)

    def called(*arguments: Any) -> Made | Awaitable[Made]:
        try:
            result = function(*arguments)
        except Exception as error:  # noqa: BLE001 - raised by the step, or kept
            return Made(error=error)
        return _awaited(result) if awaits and inspect.isawaitable(result) else Made(result)

    return awaited if is_awaited else called


async def _awaited(made: Awaitable[Any]) -> Made:
    try:
        return Made(await made)
    except Exception as error:  # noqa: BLE001 - raised by the step, or kept
        return Made(error=error)
