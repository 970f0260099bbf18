"""How long a call may take: one deadline for each thread's call, which everything that can take long looks at.

A call begins with `within`; matching, sorting, paging, retrying and the adapters `check` it, or ask what is `left`.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from types import FrameType, TracebackType

from datastore.errors import DeadlineExceededError


class _Current(threading.local):
    at = math.inf
    """In seconds of `time.monotonic`; infinity while no call is under way."""
    seconds = math.inf
    frame: FrameType | None = None
    """The frame that began the call."""


_current = _Current()


class within:  # noqa: N801 - reads as the statement that it is, like `contextlib.suppress`
    """Gives what happens inside at most so many seconds; a call within a call keeps the earlier deadline.

    Args:
        seconds: How long the call may take.
    """

    __slots__ = ("_before",)

    def __init__(self, seconds: float) -> None:
        current = _current
        self._before = (current.at, current.seconds, current.frame)
        if current.frame is not None and not on_stack(current.frame, sys._getframe(1)):
            # A call that was interrupted before it could clean up.
            self._before = (math.inf, math.inf, None)
            current.at = math.inf
        at = time.monotonic() + seconds
        if at < current.at:
            current.frame = sys._getframe(1)
            current.at, current.seconds = at, seconds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.at, _current.seconds, _current.frame = self._before


def check() -> None:
    """Raise if the call under way has taken too long.

    Raises:
        DeadlineExceededError: If it has.
    """
    if time.monotonic() > _current.at:
        raise exceeded()


def left() -> float:
    """Return how many seconds the call under way has left; infinity if there is none, never less than 0."""
    return max(_current.at - time.monotonic(), 0.0)


def until() -> float:
    """Return when the call under way must have ended, in seconds of `time.monotonic`; infinity if there is none."""
    return _current.at


def exceeded() -> DeadlineExceededError:
    """Return the error for a call that has taken too long."""
    return DeadlineExceededError(
        f"the call took longer than max_seconds, which is {_current.seconds:g} s; ask for less, or give "
        "connect(max_seconds=) more"
    )


def on_stack(frame: FrameType, innermost: FrameType | None) -> bool:
    """Return whether a frame is still being executed below another one."""
    while innermost is not None:
        if innermost is frame:
            return True
        innermost = innermost.f_back
    return False
