"""Short calls of several threads one after another, where that takes less time than all at once."""

from __future__ import annotations

import sys
import threading
import time

from datastore.deadlines import left

_PATIENCE = 0.010
"""How many seconds a call waits for those before it. Then it goes on beside them."""
_SHORT = 0.000_5
"""How many seconds calls may take on average. If they take longer, nobody waits for another."""
_WEIGHT = 1 / 16  # of the newest call in that mean
_PAUSE = 1.0  # seconds for which nobody waits, until it is tried again


def is_of_use() -> bool:
    """Return whether there is one lock for all threads of the interpreter, which free-threaded Python has not."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())  # since Python 3.13


class Gate:
    """Lets threads use SQLite for something short one after another.

    Python's `sqlite3` gives the interpreter's lock away and takes it again some ten times in a short call, whether or
    not it is to wait for anything. If several threads are in such calls at once, each time wakes another thread, which
    finds the lock taken again, or takes it and lets the first one wait. The longer the queue for the lock, the more of
    the time goes into that. Here they queue once for each call, asleep (`benchmarks/README.md` has numbers).

    It is a habit and not a lock that anything relies on. A call that has waited for long enough goes on without the
    others, and so a call that an interrupt or a fork left in here costs the next ones that time, once. Where a call
    takes long because the disk does, it is the other way round: while one waits for the disk, others can do so as well.
    Then all go at once for a while.
    """

    __slots__ = ("_entered", "_lock", "_mean", "_open_until")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = self._mean = self._open_until = 0.0

    def enter(self) -> threading.Lock | None:
        """Wait until it is this call's time, and return its place: give it to `leave` when the call is over."""
        lock = self._lock
        if not lock.acquire(False):
            if time.monotonic() < self._open_until:
                return None
            if not lock.acquire(timeout=max(min(_PATIENCE, left()), 0)):
                self._lock = lock = threading.Lock()
                lock.acquire()
        self._entered = time.monotonic()
        return lock

    def leave(self, place: threading.Lock) -> None:
        """Let the next call go."""
        if place is self._lock:
            now = time.monotonic()
            self._mean += (now - self._entered - self._mean) * _WEIGHT
            if self._mean > _SHORT:
                self._mean = 0.0
                self._open_until = now + _PAUSE
        place.release()
