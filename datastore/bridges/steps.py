"""Calls of a bridge, written once for threads and for coroutines: steps that are given to a store, or awaited.

Most contracts of frameworks have each call twice. What such a call does is a generator here: it yields functions that
ask a store for something, and is sent what the store has answered, or thrown what it has raised. `run` asks an
`AgentDataStore`, `arun` its awaited twin, so that nothing is asked from a thread by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from operator import attrgetter, methodcaller
from typing import Any, TypeAlias, TypeVar

from datastore import AgentDataStore, AsyncAgentDataStore

T = TypeVar("T")
Asked: TypeAlias = Callable[[Any], Any]
"""What is asked of a store: a function of it that makes one call."""
Steps: TypeAlias = Generator[Asked | list[Asked], Any, T]
"""Of a list the answers are a list. Its members do not depend on each other: coroutines ask them together."""


def ask(call: str, *args: Any, **kwargs: Any) -> Asked:
    """Return what makes one call of a store, such as ``"get"`` or ``"blobs.get"``."""
    if "." not in call:
        return methodcaller(call, *args, **kwargs)
    method = attrgetter(call)
    return lambda store: method(store)(*args, **kwargs)


def ask_in(namespace: str, call: str, *args: Any, **kwargs: Any) -> Asked:
    """As `ask`, of the store in another namespace of the user."""
    if "." not in call:
        return lambda store: getattr(store.use_namespace(namespace), call)(*args, **kwargs)
    method = attrgetter(call)
    return lambda store: method(store.use_namespace(namespace))(*args, **kwargs)


def run(store: AgentDataStore, steps: Steps[T]) -> T:
    """Ask the store for each step, and return what comes of them."""
    answer, error = None, None
    while True:
        try:
            asked = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a StopIteration does not know its type
        answer, error = None, None
        try:
            answer = [ask(store) for ask in asked] if isinstance(asked, list) else asked(store)
        except Exception as raised:  # noqa: BLE001 - the steps decide what becomes of it
            error = raised


async def arun(store: AsyncAgentDataStore, steps: Steps[T]) -> T:
    """As `run`, with each step awaited."""
    answer, error = None, None
    while True:
        try:
            asked = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # as above
        answer, error = None, None
        try:
            answer = await (_all(store, asked) if isinstance(asked, list) else asked(store))
        except Exception as raised:  # noqa: BLE001 - as above
            error = raised


async def _all(store: AsyncAgentDataStore, asked: list[Asked]) -> list[Any]:
    answers = await asyncio.gather(*(ask(store) for ask in asked), return_exceptions=True)
    for answer in answers:  # each has ended: none goes on behind the back of the caller
        if isinstance(answer, BaseException):
            raise answer
    return answers
