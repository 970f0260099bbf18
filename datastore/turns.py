"""A fair lock that neither an interrupt nor a signal handler can break.

A `threading.Lock` lets a newcomer take it before those who wait. It stays locked for ever if an exception arrives
between two lines (Ctrl-C, a timeout by signal). And a thread waits for itself if a signal handler asks for the lock
that the thread holds. `Turns` serves in the order of arrival, takes back the turn of a call that is over, and refuses a
call within a call. `BargingTurns` does not keep the order so strictly, which takes less time.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar, cast

from datastore.deadlines import exceeded, left
from datastore.errors import ReentrantCallError
from datastore.stacks import on_stack

_LOOK, _LONGEST_LOOK = 0.05, 1.0  # seconds between two checks whether those in front are still there

T = TypeVar("T")

_LONGEST_CHAIN = 8  # threads that wait for each other

_PATIENCE = 0.010
"""How many seconds a call waits until no other goes before it (`BargingTurns`)."""


class Turns:
    """Lets one call after another do something, in the order of their arrival.

    Args:
        doing: What they do, for error messages: ``"writing to sqlite"``.
    """

    __slots__ = ("_doing", "_queue")

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._queue: deque[Turn] = deque()

    def take(self, seconds: float = math.inf, frame: FrameType | None = None) -> Turn:
        """Wait for a turn, and return it: ``with turns.take(): ...``, within one function and not across a ``yield``.

        Args:
            seconds: How long to wait.
            frame: The frame during which the turn may last; by default the caller's.

        Raises:
            TimeoutError: If it took longer.
            DeadlineExceededError: If the current call has no time left.
            ReentrantCallError: If this thread already has a turn, or waits for one.
        """
        turn = Turn(self._queue, frame or sys._getframe(1))
        self._queue.append(turn)
        if self._queue[0] is not turn:
            self._wait(turn, seconds)
        return turn

    @property
    def are_taken(self) -> bool:
        """Whether some call has a turn, or waits for one."""
        return bool(self._queue)

    def reset(self) -> None:
        """Forget all turns: a forked child does not have the threads that took them."""
        self._queue = deque()

    def take_at_once(self, frame: FrameType | None = None) -> Turn | None:
        """Return a turn if nobody else has one, or waits for one; ``frame`` as in `take`."""
        if self._queue:
            self._dismiss_the_gone()
        turn = self._place(frame or sys._getframe(1))
        self._queue.append(turn)
        if self._queue[0] is turn:
            return turn
        turn.leave()
        return None

    def _place(self, frame: FrameType) -> Turn:
        return Turn(self._queue, frame)

    def _wait(self, turn: Turn, seconds: float) -> None:
        look = _LOOK
        try:
            wake = turn.wake = threading.Lock()
            wake.acquire()
            self._line_up(turn)
            until = time.monotonic() + min(seconds, left())
            self._refuse_reentry(turn)
            first: Turn | None = None
            woken = True
            while not self._has(turn):
                now_first = self._first_waiting()
                if not woken and now_first is first:  # nothing has moved since the last look
                    self._dismiss_the_gone()
                    look = min(look * 2, _LONGEST_LOOK)
                first = now_first
                if (remaining := until - time.monotonic()) <= 0:
                    raise exceeded() if left() <= 0 else TimeoutError(f"others were {self._doing} for {seconds:g} s")
                _waits[turn.thread] = self  # set each time, since a signal handler may have waited for something else
                if self._waits_for(turn.thread):
                    raise _reentrant("a call that another one waits for")
                woken = wake.acquire(timeout=min(remaining, look))
        except BaseException:
            turn.leave()
            raise
        finally:
            _waits.pop(turn.thread, None)

    def _line_up(self, turn: Turn) -> None:
        """Let a turn wait after those who wait already. It does, since it was put into the queue."""

    def _has(self, turn: Turn) -> bool:
        """Return whether it is its time."""
        return self._queue[0] is turn

    def _in_front(self) -> Turn | None:
        try:
            return self._queue[0]
        except IndexError:
            return None

    def _first_waiting(self) -> Turn | None:
        """Return the first one of those in whose line a call waits; it is there for a short time only."""
        return self._in_front()

    def _all(self) -> list[Turn]:
        """Return the turns of those who have one or wait for one."""
        return snapshot(self._queue)

    def _waits_for(self, thread: int) -> bool:
        """Return whether the thread in front waits, perhaps through others, for a turn that the given thread has.

        This can happen if a signal handler asks for one turn while the call that it interrupts has another.
        """
        chain: list[tuple[Turns, Turn]] = []
        turns: Turns | None = self
        while turns is not None and len(chain) < _LONGEST_CHAIN:
            front = turns._in_front()
            if front is None:
                return False
            if front.thread == thread and front.is_over():
                front.leave()  # an interrupt prevented the call from leaving
                return False
            if front.thread == thread:
                # It is a deadlock only if all of this is true at the same time, and if it is not this thread's turn.
                return turns is not self and all(turns._is_first(front) for turns, front in chain)
            chain.append((turns, front))
            turns = _waits.get(front.thread)
        return False

    def _is_first(self, turn: Turn) -> bool:
        return self._in_front() is turn

    def _refuse_reentry(self, turn: Turn) -> None:
        """Raise if this thread itself is in front: it would wait for ever."""
        for other in self._all():
            if other is turn:
                return
            if other.thread != turn.thread:
                continue
            if other.is_over():
                other.leave()
                continue
            raise _reentrant(self._doing)

    def _dismiss_the_gone(self) -> None:
        turns = self._all()
        stacks = sys._current_frames()  # taken last, so that calls that began meanwhile are on them
        try:
            for turn in turns:
                if turn.is_over(stacks):
                    turn.leave()
        finally:
            stacks.clear()  # this function's own frame is among them: as garbage it would keep those of all threads


_waits: dict[int, Turns] = {}
"""Which `Turns` each thread waits for."""


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
            self._frame = None  # the frame refers to this turn: this breaks the cycle
        _wake_first(queue)

    def is_over(self, stacks: Mapping[int, FrameType] | None = None) -> bool:
        """Return whether the call that took the turn is over: an exception came before it could leave.

        Of another thread's call it may not be known yet; then the answer is no.

        Args:
            stacks: The innermost frame of each thread, if they are known.
        """
        frame = self._frame
        if frame is None:
            return True
        return not on_stack(frame, (sys._current_frames() if stacks is None else stacks).get(self.thread))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()


class BargingTurns(Turns):
    """`Turns` in which a call that comes when nobody has the turn may go before those who wait.

    A thread that waits must be woken, and then wait for the interpreter's lock. Until it has that, a turn that belongs
    to it is of no use to anybody; where many threads take turns at something short, that is most of the time. A call
    that is running can use this time. Those who wait take turns in the order of their arrival.

    Nobody starves: when the first in line has waited for some time, every call waits in line until it has had its turn.
    That is a time and not a number of calls, so that the longest waits are hardly longer than in strict order: where
    every wait is long, because there is more to do than there is time for, the order is strict.

    Args:
        doing: What they do, for error messages.
        patience: For how many seconds others may go before a call that waits.
        clock: Returns the time in seconds.
    """

    # Whoever wants the turn puts itself into the queue, and has it if it is first there. Otherwise it leaves the queue
    # again, and waits in line. Whoever leaves the queue empty wakes the first one in line, which then tries in the same
    # way.

    __slots__ = ("_clock", "_line", "_patience")

    def __init__(self, doing: str, patience: float = _PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(doing)
        self._line: deque[Turn] = deque()
        self._patience = patience
        self._clock = clock

    def take(self, seconds: float = math.inf, frame: FrameType | None = None, *, short: bool = True) -> Turn:
        """Wait for a turn, and return it, as `Turns.take` does.

        Args:
            seconds: How long to wait.
            frame: The frame during which the turn may last; by default the caller's.
            short: Whether the turn will be short; otherwise it does not go before those who wait.
        """
        turn = _BargingTurn(self._queue, self._line, frame or sys._getframe(1))
        # If it may not go first, it would only be in the way of the first one in line.
        if not self._line or (short and self._may_pass()):
            self._queue.append(turn)
            # Others may have come since the first look.
            if self._queue[0] is turn and (not self._line or (short and self._may_pass())):
                return turn
            turn.step_back()
        self._wait(turn, seconds)
        return turn

    def _may_pass(self) -> bool:
        """Return whether the first in line has not waited for too long."""
        first = self._first_waiting()
        return first is None or self._clock() < cast(_BargingTurn, first).patient_until

    def take_at_once(self, frame: FrameType | None = None) -> Turn | None:
        """See `Turns.take_at_once`."""
        if self._line:
            self._dismiss_the_gone()
            if self._line:
                return None
        return super().take_at_once(frame or sys._getframe(1))

    def reset(self) -> None:
        """See `Turns.reset`."""
        super().reset()
        self._line = deque()

    def _place(self, frame: FrameType) -> Turn:
        return _BargingTurn(self._queue, self._line, frame)

    def _line_up(self, turn: Turn) -> None:
        cast(_BargingTurn, turn).patient_until = self._clock() + self._patience
        self._line.append(turn)

    def _has(self, turn: Turn) -> bool:
        if self._first_waiting() is not turn:
            return False
        self._queue.append(turn)
        if self._queue[0] is turn:
            self._line.remove(turn)
            return True
        cast(_BargingTurn, turn).step_back()
        return False

    def _first_waiting(self) -> Turn | None:
        try:
            return self._line[0]
        except IndexError:
            return None

    def _all(self) -> list[Turn]:
        return snapshot(self._queue) + snapshot(self._line)


class _BargingTurn(Turn):
    """A place in the queue of a `BargingTurns`, or in its line."""

    __slots__ = ("_line", "patient_until")

    patient_until: float
    """Until when others may go before it, if it waits in line."""

    def __init__(self, queue: deque[Turn], line: deque[Turn], frame: FrameType) -> None:  # without `super`: it is hot
        self._queue = queue
        self._line = line
        self._frame = frame
        self.thread = threading.get_ident()
        self.wake = None

    def step_back(self) -> None:
        """Leave the queue, but not the line."""
        try:  # noqa: SIM105 - each write comes here, and `suppress` takes longer than all the rest
            self._queue.remove(self)
        except ValueError:  # another thread found the call to be over
            pass
        if not self._queue:
            _wake_first(self._line)

    def leave(self) -> None:
        """See `Turn.leave`."""
        self._frame = None
        if self.wake is not None:  # it has waited
            with suppress(ValueError):
                self._line.remove(self)
        self.step_back()


class Calls(threading.local):
    """Refuses a call within a call of the same thread: ``with calls.begin(): ...``.

    Client libraries have their own locks, for which a signal handler in the middle of a call would wait for ever.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._frame: FrameType | None = None

    def begin(self, frame: FrameType | None = None) -> Self:
        """Begin a call.

        Args:
            frame: The frame during which the call may last; by default the caller's.

        Raises:
            ReentrantCallError: If this thread is in the middle of a call.
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


def _wake_first(queue: deque[Turn]) -> None:
    """Wake the first one in a queue, if it sleeps."""
    if not queue:
        return
    try:
        wake = queue[0].wake
    except IndexError:  # the last one has just left
        return
    if wake is not None:
        try:
            wake.release()
        except RuntimeError:  # it is awake already
            return


def snapshot(queue: deque[T]) -> list[T]:
    """Return what is in a queue that other threads change."""
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
