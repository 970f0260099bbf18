"""How long a call may take: one deadline for each thread's call, which everything that can take long looks at.

A call begins with `within`; matching, sorting, paging, retrying and the adapters `check` it, or ask what is `left`.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import NamedTuple

from datastore.errors import DeadlineExceededError


class _Call(NamedTuple):
    """A call that is under way."""

    until: float
    """When it must have ended, in seconds of `time.monotonic`."""
    seconds: float
    frame: FrameType
    """The frame that began it."""


class _Current(threading.local):
    call: _Call | None = None


_current = _Current()


class within:  # noqa: N801 - reads as the statement that it is, like `contextlib.suppress`
    """Gives what happens inside at most so many seconds; a call within a call keeps the earlier deadline.

    Args:
        seconds: How long the call may take.
    """

    __slots__ = ("_before",)

    def __init__(self, seconds: float) -> None:
        frame = sys._getframe(1)
        before = _current.call
        if before is not None and not on_stack(before.frame, frame):
            before = None  # an interrupt ended that call before it could clean up
        self._before = before
        until = time.monotonic() + seconds
        if before is None or until < before.until:
            _current.call = _Call(until, seconds, frame)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.call = self._before


def check() -> None:
    """Raise if the call under way has taken too long.

    Raises:
        DeadlineExceededError: If it has.
    """
    call = _current.call
    if call is not None and time.monotonic() > call.until:
        raise exceeded()


def left() -> float:
    """Return how many seconds the call under way has left; infinity if there is none, never less than 0."""
    call = _current.call
    return math.inf if call is None else max(call.until - time.monotonic(), 0.0)


def until() -> float:
    """Return when the call under way must have ended, in seconds of `time.monotonic`; infinity if there is none."""
    call = _current.call
    return math.inf if call is None else call.until


def exceeded() -> DeadlineExceededError:
    """Return the error for a call that has taken too long."""
    call = _current.call
    seconds = "" if call is None else f", which is {call.seconds:g} s"
    return DeadlineExceededError(
        f"the call took longer than max_seconds{seconds}; ask for less, or give connect(max_seconds=) more"
    )


def on_stack(frame: FrameType, innermost: FrameType | None) -> bool:
    """Return whether a frame is still being executed below another one."""
    while innermost is not None:
        if innermost is frame:
            return True
        innermost = innermost.f_back
    return False
