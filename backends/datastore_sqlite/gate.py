"""Short calls of several threads one after another, where that takes less time than all at once."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import suppress

from datastore.deadlines import left

_PATIENCE = 0.010
"""How many seconds a call waits for those before it. Then it goes on beside them."""
_POLITE = 0.001
"""How many seconds a call for which others wait elsewhere lets newcomers go before it."""
_SHORT = 0.000_5
"""How many seconds calls may take on average. If they take longer, nobody waits for another."""
_LONG = 0.002
"""A call that took longer counts as if it had taken this: one call that was held up says little."""
_WEIGHT = 1 / 16  # of the newest call in that mean
_PAUSE = 1.0  # seconds for which nobody waits, until it is tried again


def is_of_use() -> bool:
    """Return whether there is one lock for all threads of the interpreter, which free-threaded Python has not."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())  # since Python 3.13


class _Waiting:
    """A call in the line.

    Args:
        since: When it came.
        ahead: Whether others wait for it elsewhere.
    """

    __slots__ = ("ahead", "since", "wake")

    def __init__(self, since: float, ahead: bool) -> None:
        self.since = since
        self.ahead = ahead
        self.wake = threading.Lock()  # whoever leaves gives it back, and so wakes this call
        self.wake.acquire()


class Gate:
    """Lets threads use SQLite for something short one after another.

    Python's `sqlite3` gives the interpreter's lock away and takes it again some ten times in a short call, whether or
    not it is to wait for anything. If several threads are in such calls at once, each time wakes another thread, which
    finds the lock taken again, or takes it and lets the first one wait. The longer the queue for the lock, the more of
    the time goes into that. Here they queue once for each call, asleep (`benchmarks/README.md` has numbers).

    Only the first one of those who wait is woken. Until it runs, a call that comes may go before it, for otherwise the
    time that it takes to wake would be lost: in strict order half as many calls are made. A writer, for whom all other
    writers wait, is first in line, and lets calls go before it for a moment only.

    It is a habit and not a lock that anything relies on. A call that has waited for long enough goes on without the
    others, and so a call that an interrupt or a fork left in here costs the next ones that time, once. Where a call
    takes long because the disk does, it is the other way round: while one waits for the disk, others can do so as well.
    Then all go at once for a while.
    """

    __slots__ = ("_entered", "_line", "_lock", "_mean", "_open_until")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: deque[_Waiting] = deque()
        self._entered = self._mean = self._open_until = 0.0

    def enter(self, ahead: bool = False) -> threading.Lock | None:
        """Wait until it is this call's time, and return its place: give it to `leave` when the call is over.

        Args:
            ahead: Whether to go before all who wait: for a call that others wait for elsewhere.
        """
        now = time.monotonic()
        place = self._lock
        if not (self._line and self._is_owed(now)) and place.acquire(False):
            self._entered = now
            return place
        return None if now < self._open_until else self._wait(now, ahead)

    def _is_owed(self, now: float) -> bool:
        """Return whether the first in line is one for which others wait, and has waited for so long that it is next."""
        first = self._first()
        return first is not None and first.ahead and now - first.since > _POLITE

    def _first(self) -> _Waiting | None:
        try:
            return self._line[0]
        except IndexError:
            return None

    def _wait(self, now: float, ahead: bool) -> threading.Lock:
        until = now + min(_PATIENCE, left())
        me = _Waiting(now, ahead)
        (self._line.appendleft if ahead else self._line.append)(me)
        try:
            while not (self._first() is me and (place := self._lock).acquire(False)):
                if (remaining := until - time.monotonic()) <= 0:
                    self._dismiss_the_gone()
                    place = self._lock = threading.Lock()
                    place.acquire()
                    break
                me.wake.acquire(timeout=remaining)
        finally:
            with suppress(ValueError):  # another one took it for gone
                self._line.remove(me)
        self._entered = time.monotonic()
        return place

    def _dismiss_the_gone(self) -> None:
        """Take out of the line those who should have gone on long ago, before an interrupt or a fork."""
        latest = time.monotonic() - _PATIENCE
        while (first := self._first()) is not None and first.since < latest:
            with suppress(ValueError):
                self._line.remove(first)

    def leave(self, place: threading.Lock) -> None:
        """Let the next call go."""
        if place is self._lock:
            now = time.monotonic()
            self._mean += (min(now - self._entered, _LONG) - self._mean) * _WEIGHT
            if self._mean > _SHORT:
                self._mean = 0.0
                self._open_until = now + _PAUSE
        place.release()
        if (first := self._first()) is not None:
            with suppress(RuntimeError):  # it is awake
                first.wake.release()
