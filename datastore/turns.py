"""A lock that is fair, and that neither an interrupt nor a signal handler can spoil.

A `threading.Lock` lets whoever comes by take it before those who wait, stays taken for ever when an exception arrives
between two lines (Ctrl-C, a timeout by signal), and lets a thread wait for itself when a signal handler asks for what
the thread is in the middle of. `Turns` serves in the order of arrival, takes back the turn of a call that is over, and
refuses a call within a call.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from types import FrameType, TracebackType
from typing import Any, Self

from datastore.deadlines import exceeded, left, on_stack
from datastore.errors import ReentrantCallError

_LOOK, _LONGEST_LOOK = 0.05, 1.0  # seconds between two looks at whether those in front are still there

_LONGEST_CHAIN = 8  # of threads that wait for each other


class Turns:
    """Lets one call after another do something, in the order in which they came.

    Args:
        doing: What they do, for the message of an error: ``"writing to sqlite"``.
    """

    __slots__ = ("_doing", "_queue")

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._queue: deque[Turn] = deque()

    def take(self, seconds: float = math.inf, frame: FrameType | None = None) -> Turn:
        """Wait for one's turn, and return it: ``with turns.take(): ...``, in one function and across no ``yield``.

        Args:
            seconds: How long to wait.
            frame: The frame during which the turn may last; by default the caller's.

        Raises:
            TimeoutError: If it took longer.
            DeadlineExceededError: If the call under way has no time left.
            ReentrantCallError: If this very thread has a turn, or waits for one.
        """
        turn = Turn(self._queue, frame or sys._getframe(1))
        self._queue.append(turn)
        if self._queue[0] is not turn:
            self._wait(turn, seconds)
        return turn

    def reset(self) -> None:
        """Forget all turns: in a forked child those who had them are not there."""
        self._queue = deque()

    def take_at_once(self) -> Turn | None:
        """Return a turn if nobody else has one, or waits for one."""
        if self._queue:
            self._dismiss_the_gone()
        turn = Turn(self._queue, sys._getframe(1))
        self._queue.append(turn)
        if self._queue[0] is turn:
            return turn
        turn.leave()
        return None

    def _wait(self, turn: Turn, seconds: float) -> None:
        look = _LOOK
        try:
            wake = turn.wake = threading.Lock()
            wake.acquire()
            until = time.monotonic() + min(seconds, left())
            self._refuse_reentry(turn)
            front: Turn | None = None
            while (now_in_front := self._queue[0]) is not turn:
                if now_in_front is front:  # nothing has moved since the last look
                    self._dismiss_the_gone()
                    look = min(look * 2, _LONGEST_LOOK)
                front = now_in_front
                if (remaining := until - time.monotonic()) <= 0:
                    raise exceeded() if left() <= 0 else TimeoutError(f"others were {self._doing} for {seconds:g} s")
                _waits[turn.thread] = self  # each time: a signal handler may have waited for something else
                if self._waits_for(turn.thread):
                    raise _reentrant("a call that another one waits for")
                if self._queue[0] is not turn:
                    wake.acquire(timeout=min(remaining, look))
        except BaseException:
            turn.leave()
            raise
        finally:
            _waits.pop(turn.thread, None)

    def _waits_for(self, thread: int) -> bool:
        """Return whether whoever is in front waits, perhaps through others, for a turn that a thread has.

        A signal handler may ask for one turn while the call that it interrupts has another.
        """
        chain: list[tuple[Turns, Turn]] = []
        turns: Turns | None = self
        while turns is not None and len(chain) < _LONGEST_CHAIN:
            try:
                front = turns._queue[0]
            except IndexError:
                return False
            if front.thread == thread and front.is_over():
                front.leave()  # an interrupt has left it there
                return False
            if front.thread == thread:
                # True only if all this holds at the same time, and it is not that this thread's own turn has come.
                return turns is not self and all(turns._is_first(front) for turns, front in chain)
            chain.append((turns, front))
            turns = _waits.get(front.thread)
        return False

    def _is_first(self, turn: Turn) -> bool:
        queue = self._queue
        return bool(queue) and queue[0] is turn

    def _refuse_reentry(self, turn: Turn) -> None:
        """See that nobody in front is this thread itself: it would wait for ever."""
        for other in _snapshot(self._queue):
            if other is turn:
                return
            if other.thread != turn.thread:
                continue
            if other.is_over():
                other.leave()
                continue
            raise _reentrant(self._doing)

    def _dismiss_the_gone(self) -> None:
        for other in _snapshot(self._queue):
            if other.is_over():
                other.leave()


_waits: dict[int, Turns] = {}
"""What threads wait for."""


class Turn:
    """A place in the queue of a `Turns`; a context manager that leaves it."""

    __slots__ = ("_frame", "_queue", "thread", "wake")

    def __init__(self, queue: deque[Turn], frame: FrameType) -> None:
        self._queue = queue
        self._frame: FrameType | None = frame
        self.thread = threading.get_ident()
        self.wake: threading.Lock | None = None

    def leave(self) -> None:
        """Let the next one have its turn. Idempotent."""
        queue = self._queue
        try:
            queue.remove(self)
        except ValueError:
            return
        finally:
            self._frame = None  # which refers to this turn in turn
        if not queue:
            return
        try:
            wake = queue[0].wake
        except IndexError:  # the last one has left just now
            return
        if wake is not None:
            try:
                wake.release()
            except RuntimeError:  # it is awake already
                return

    def is_over(self) -> bool:
        """Return whether the call that took the turn is over: an exception came before it could leave."""
        frame = self._frame
        if frame is None:
            return True
        return not on_stack(frame, sys._current_frames().get(self.thread))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()


class Calls(threading.local):
    """Refuses a call within a call of one thread: ``with calls.begin(): ...``.

    Client libraries take locks of their own, which a signal handler in the middle of them would wait for.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._frame: FrameType | None = None

    def begin(self, frame: FrameType | None = None) -> Self:
        """Begin a call.

        Args:
            frame: The frame during which the call may last; by default the caller's.

        Raises:
            ReentrantCallError: If this very thread is in the middle of one.
        """
        frame = frame or sys._getframe(1)
        if self._frame is not None and on_stack(self._frame, frame):
            raise _reentrant(self._doing)
        self._frame = frame
        return self

    def end(self) -> None:
        """End it."""
        self._frame = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()


def _reentrant(doing: str) -> ReentrantCallError:
    return ReentrantCallError(
        f"this thread is in the middle of {doing}; a signal handler, a finalizer or a callback within that cannot do "
        "so as well. Set a flag there, and call the store when the call has ended"
    )


def _snapshot(queue: deque[Turn]) -> list[Turn]:
    while True:
        try:
            return list(queue)
        except RuntimeError:  # another thread came or left meanwhile
            continue


def keep_newest(items: dict[Any, Any], most: int) -> None:
    """Remove the oldest entries of a dict that threads share without a lock, down to a number."""
    while len(items) > most:
        try:
            items.pop(next(iter(items)), None)
        except RuntimeError:  # changed by another thread meanwhile
            continue
