"""Calls that a caller's function takes part in, as steps: what the store does, between what the caller does.

Such a call is a generator. It yields whenever it needs the caller's function or has to wait, and does everything else
itself. So the call is the same, whether the function is called in this thread or awaited on an event loop
(`datastore.asynchronous`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

from datastore.retry import Backoff


class Compute(NamedTuple):
    """Call the function with these arguments, and send what it returns."""

    arguments: tuple[Any, ...]


Steps: TypeAlias = Generator[Compute | Backoff, Any, Any]
"""A call: it yields a `Compute`, or a `Backoff` to wait with, and returns the result of the call."""


def follow(steps: Steps, function: Callable[..., Any]) -> Any:
    """Follow the steps of a call in this thread, and return its result. What the function raises is raised as it is."""
    made = None
    while True:
        try:
            step = steps.send(made)
        except StopIteration as end:
            return end.value
        if isinstance(step, Backoff):
            step.wait()
            made = None
            continue
        try:
            made = function(*step.arguments)
        except BaseException:
            steps.close()  # now, and not when the traceback is gone: it may hold a lease
            raise
