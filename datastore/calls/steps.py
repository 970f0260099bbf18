"""Calls that a caller's function takes part in, as steps: what the store does, between what the caller does.

Such a call is a generator. It yields whenever it needs the caller's function or has to wait, and does everything else
itself. So the call is the same, whether the function is called in this thread or awaited on an event loop
(`datastore.asynchronous`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from datastore.retry import Backoff

Steps: TypeAlias = Generator[tuple[Any, ...] | Backoff, Any, Any]
"""A call. It yields a tuple of arguments, to be sent what the function returns for them, or a `Backoff` to wait with.
At its end it returns the result. (The tuple is a plain one, because another would show in the time of `increment`.)"""


def follow(steps: Steps, function: Callable[..., Any]) -> Any:
    """Follow the steps of a call in this thread, and return its result. What the function raises is raised as it is."""
    made, send = None, steps.send
    while True:
        try:
            step = send(made)
        except StopIteration as end:
            return end.value
        if not isinstance(step, tuple):
            step.wait()
            made = None
            continue
        try:
            made = function(*step)
        except BaseException:
            steps.close()  # now, and not when the traceback is gone: it may hold a lease
            raise
