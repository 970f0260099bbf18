"""How long a call may take: each thread's call has one deadline, which everything that can take long respects.

A call begins with `within`. Matching, sorting, paging, retrying and the adapters call `check`, or ask how much time is
`left`.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType, TracebackType
from typing import TypeAlias

from datastore.errors import DeadlineExceededError
from datastore.stacks import on_stack

_Call: TypeAlias = tuple[float, float, FrameType]
"""When a call must have ended, in seconds of `time.monotonic`; how much time it was given; the frame that began it."""


class _Current(threading.local):
    call: _Call | None = None


_current = _Current()


class within:  # noqa: N801 - reads as the statement that it is, like `contextlib.suppress`
    """Limits the time of the code inside; a call within a call keeps the earlier deadline.

    Args:
        seconds: How long the call may take.
        since: When it was asked for, in seconds of `time.monotonic`; ``None`` for now.
        frame: The frame during which it lasts; ``None`` for the caller's.
    """

    __slots__ = ("_before",)

    def __init__(self, seconds: float, since: float | None = None, frame: FrameType | None = None) -> None:
        self._before = begin(seconds, frame or sys._getframe(1), since)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.call = self._before


def unlimited() -> within:
    """Return what is put around work that has no time of its own, such as connecting.

    It keeps the time of a call around it, and not that of one that an interrupt ended before it could clean up.
    """
    return within(math.inf, None, sys._getframe(1))


def begin(seconds: float, frame: FrameType, since: float | None = None) -> _Call | None:
    """Begin a call in a frame, as `within` does; pass the result to `end`.

    Args:
        seconds: How long the call may take.
        frame: The frame during which it lasts.
        since: When it was asked for, in seconds of `time.monotonic`; ``None`` for now.
    """
    before = _current.call
    if before is not None and not on_stack(before[2], frame):
        before = None  # that call was ended by an interrupt before it could clean up
    until = (time.monotonic() if since is None else since) + seconds
    if before is None or until < before[0]:
        _current.call = (until, seconds, frame)
    return before


def end(before: _Call | None) -> None:
    """Restore the previous deadline."""
    _current.call = before


def shared() -> Callable[[], within]:
    """Return what a thread that helps the current call puts around its work: the same deadline, whenever it begins."""
    call = _current.call
    return partial(within, math.inf) if call is None else partial(within, call[1], call[0] - call[1])


def check() -> None:
    """Raise if the current call has taken too long.

    Raises:
        DeadlineExceededError: If it has.
    """
    call = _current.call
    if call is not None and time.monotonic() > call[0]:
        raise exceeded()


def left() -> float:
    """Return how many seconds the current call has left, at least 0; infinity if there is no call."""
    call = _current.call
    return math.inf if call is None else max(call[0] - time.monotonic(), 0.0)


def until() -> float:
    """Return when the current call must have ended, in seconds of `time.monotonic`; infinity if there is no call."""
    call = _current.call
    return math.inf if call is None else call[0]


def exceeded(seconds: float | None = None) -> DeadlineExceededError:
    """Return the error for a call that has taken too long.

    Args:
        seconds: How much time it was given; ``None`` if it is this thread's current call, which knows.
    """
    if seconds is None and _current.call is not None:
        seconds = _current.call[1]
    given = "" if seconds is None else f", which is {seconds:g} s"
    return DeadlineExceededError(
        f"the call took longer than max_seconds{given}; ask for less, or give connect(max_seconds=) more"
    )
