"""Connections shared by threads: who has which, who waits for one, and what an interrupt left behind."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from math import inf
from types import FrameType, TracebackType

from datastore.adapters.opening import ClosedOnFailure
from datastore.deadlines import exceeded, left, until
from datastore.errors import BackendUnavailableError, ClosedError, DataStoreError
from datastore.stacks import is_cut_off, on_stack
from datastore.turns import Turns
from datastore_sqlite.client import NAME, AtRest, Connection, File, Settings, open_connection
from datastore_sqlite.failures import translate
from datastore_sqlite.gate import Gate, is_of_use

_IDLE_SECONDS = 10.0
"""How long an unused connection is kept."""
_LOOK = 0.1  # seconds between two checks, by those who wait, for abandoned connections
_MOST_PASSES = 8
"""How many times in a row a connection is given back for anybody to take while somebody waits for one.

The one who waits is woken each time, but needs time until it runs. A call that runs already may be done by then. If
each connection were kept for a thread that is still asleep, many threads would find none, and wait as well. Without a
bound the longest waits are three times as long. A bound in time, as in `datastore.turns.BargingTurns`, halves them, but
keeps connections for so many who sleep that there are fewer calls (`benchmarks/README.md` has the numbers).
"""
_MANY = 6
"""From so many connections on, short calls go one after another. With fewer threads that would take longer."""

inherited: list[Connection] = []
"""The connections of parent processes, kept so that they are never closed."""


class Pool:
    """Connections to a file: one for each thread that is inside a call, kept for the next call.

    Taking a connection and giving it back are single operations of a deque, which need no lock. After an exception, a
    connection is not given back but discarded, because a statement may still be under way in it.

    Args:
        settings: How connections are opened.
        file: The file that they must lead to.
        first: A connection that is open already.
    """

    def __init__(self, settings: Settings, file: File, first: Connection) -> None:
        self._settings = settings
        self._file = file
        self._closed = False
        self._begin(first)

    def _begin(self, *first: Connection) -> None:
        self._idle: deque[Connection] = deque(first)
        self._all: list[weakref.ref[Connection]] = [weakref.ref(connection) for connection in first]
        """Weak references, because a connection that an interrupt left behind must not count for ever."""
        self._waiting: deque[_Waiting] = deque()
        self._passes = 0
        self.gate: Gate | None = None
        """Where threads wait for each other before a short call, once there have been many connections."""
        self._opening = Turns("opening a connection")
        self._look_at = 0.0

    def take(self, frame: FrameType) -> Connection:
        """Return a connection that nobody else uses, for the call of a frame. Then `give_back` or `discard` it."""
        try:
            connection = self._idle.pop()  # the one used last, whose page cache is warm
        except IndexError:
            return self._wait_or_open(frame)
        connection.frame = frame
        return connection

    def give_back(self, connection: Connection, now: float | None = None) -> None:
        """Keep a connection for the next call; ``now`` is a recent `time.monotonic`."""
        connection.frame = None
        if self._passes >= _MOST_PASSES:
            self._passes = 0
            try:
                first = self._waiting.popleft()
            except IndexError:
                pass
            else:
                first.hand_over(connection)
                return
        idle = self._idle
        connection.idle_since = now = now or time.monotonic()
        if idle:
            self._close_one_idle(now - _IDLE_SECONDS)
        idle.append(connection)
        if self._waiting:
            self._passes += 1
            with suppress(IndexError):
                self._waiting[0].nudge()
        if self._closed:
            self.close()

    def discard(self, connection: Connection) -> None:
        """Close a connection that may not be clean. If it is in a transaction, that is rolled back."""
        connection.discarded, connection.frame = True, None
        try:
            if connection.in_transaction:  # while a statement is under way, closing alone would not end it
                connection.rollback()
        except sqlite3.Error:
            pass
        finally:
            connection.close()
        with suppress(IndexError):
            self._waiting.popleft().hand_over(None)  # it may open another connection

    def lent(self, frame: FrameType) -> Lent:
        """Lend a connection for a statement: ``with pool.lent(frame) as connection``; ``frame`` is the caller's."""
        return Lent(self, self.take(frame), self._settings)

    def close(self) -> None:
        """Close the connections. Those in use are closed when they are given back."""
        self._closed = True
        while self._idle:
            with suppress(IndexError):  # another thread was faster
                self.discard(self._idle.pop())
        self._discard_the_abandoned()

    def before_fork(self) -> None:
        """Close every connection. Nobody uses one now, so one that is not idle was left by an interrupt."""
        self._idle.clear()
        for connection in self._open_ones():
            self.discard(connection)

    def after_fork(self) -> None:
        """Forget the open connections without closing them, which would break the parent's locks.

        https://www.sqlite.org/howtocorrupt.html, section 2.6
        """
        inherited.extend(self._open_ones())
        self._begin()

    def _look_after_the_waiting(self) -> None:
        """Check for connections that nobody will give back. Of all who wait, one at a time does this."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        self._discard_the_abandoned()
        if len(self._open_ones()) < self._settings.pool:
            with suppress(IndexError):
                self._waiting.popleft().hand_over(None)

    def _discard_the_abandoned(self) -> None:
        """Close the connections of calls that an interrupt ended, and those that were left between two owners."""
        lent, ownerless = list[tuple[Connection, FrameType]](), list[tuple[Connection, float]]()
        for connection in self._not_idle():
            if (frame := connection.frame) is not None:
                lent.append((connection, frame))
            else:
                ownerless.append((connection, connection.idle_since))
        stacks = list(sys._current_frames().values())  # taken last, so that calls that began meanwhile are on them
        try:
            for connection, frame in lent:
                if connection.frame is frame and not any(on_stack(frame, stack) for stack in stacks):
                    self.discard(connection)
            if not ownerless or any(map(self._is_moving_one, stacks)):
                return
            still = self._not_idle()
            for connection, since in ownerless:
                # If it had been given back and taken again meanwhile, its `idle_since` would differ.
                if connection in still and connection.frame is None and connection.idle_since == since:
                    self.discard(connection)
        finally:
            # This function's own frame is among them. As garbage that refers to itself it would keep the variables of
            # all other threads: a statement that is not at its end, for one, with which nothing is committed.
            stacks.clear()

    def _is_moving_one(self, frame: FrameType | None) -> bool:
        """Return whether a thread is in the middle of taking a connection or giving one back, or may be."""
        settled = (Pool._wait_or_open.__code__, Pool._discard_the_abandoned.__code__)  # called between two such steps
        inner = None
        while frame is not None:
            if frame.f_code in _MOVING and (inner is None or inner.f_code not in settled):
                return True
            inner, frame = frame, frame.f_back
        return inner is not None and is_cut_off(inner)

    def _not_idle(self) -> list[Connection]:
        """Return the open connections that are in use or between two owners."""
        while True:
            try:
                idle = set(map(id, self._idle))
            except RuntimeError:  # another thread has just taken one or given one back
                continue
            return [connection for connection in self._open_ones() if id(connection) not in idle]

    def _open_ones(self) -> list[Connection]:
        """Return the connections that are open."""
        found = [connection for known in self._all if (connection := known()) is not None]
        return [connection for connection in found if not connection.discarded]

    def _close_one_idle(self, before: float) -> None:
        """Close the connection that has not been used for longest, if it has been idle for too long."""
        with suppress(IndexError):
            longest = self._idle.popleft()
            if longest.idle_since < before:
                self.discard(longest)
            else:
                self._idle.appendleft(longest)

    def _wait_or_open(self, frame: FrameType) -> Connection:
        end = time.monotonic() + min(self._settings.timeout, left())
        while True:
            if self._closed:
                raise ClosedError("the store was closed", backend=NAME)
            with self._opening.take():
                others = self._open_ones()
                if len(others) < self._settings.pool:
                    connection = self._open()
                    connection.frame = frame
                    self._all = list(map(weakref.ref, (*others, connection)))
                    if len(self._all) >= _MANY and self.gate is None and is_of_use():
                        self.gate = Gate()
                    return connection
            found = self._wait(end, frame)
            if found is not None:
                return found
            if time.monotonic() >= end:
                if left() <= 0:
                    raise exceeded()
                error = BackendUnavailableError(
                    f"all {self._settings.pool} connections were in use for {self._settings.timeout:g} s; "
                    "allow more with ?pool=",
                    backend=NAME,
                )
                error.waited = True
                raise error

    def _wait(self, end: float, frame: FrameType) -> Connection | None:
        """Wait for a connection to be given back; ``None`` if one may be opened instead, or the time is over."""
        waiting = _Waiting(frame)
        self._waiting.append(waiting)
        idle: Connection | None = None
        try:
            while (
                not waiting.is_served
                and (idle := self._given_back_just_now(frame)) is None
                and (remaining := end - time.monotonic()) > 0
            ):
                if not waiting.wake.acquire(timeout=min(remaining, _LOOK)):
                    self._look_after_the_waiting()
        finally:
            try:
                self._waiting.remove(waiting)
            except ValueError:  # another thread hands one over, or is about to
                patience = time.monotonic() + _LOOK
                while not waiting.is_served and (remaining := patience - time.monotonic()) > 0:
                    waiting.wake.acquire(timeout=remaining)
        if idle is None or waiting.connection is None:
            self._passes = 0
            return idle or waiting.connection
        self.give_back(waiting.connection)
        return idle

    def _given_back_just_now(self, frame: FrameType) -> Connection | None:
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        connection.frame = frame
        return connection

    def _open(self) -> Connection:
        try:
            connection = open_connection(self._settings)
        except sqlite3.Error as error:
            self._file.check()
            raise translate(error, self._settings) from error
        with ClosedOnFailure(connection):
            self._file.check()
        return connection


_MOVING = frozenset(
    function.__code__
    for function in (
        Pool.take,
        Pool._given_back_just_now,
        Pool.give_back,
        Pool._close_one_idle,
        Pool.discard,
        Pool.close,
        Pool.before_fork,
    )
)
"""The functions that hold a connection which belongs to nobody at that moment."""


class _Waiting:
    """A call that waits for a connection."""

    __slots__ = ("_frame", "connection", "is_served", "wake")

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self.connection: Connection | None = None
        self.is_served = False
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand_over(self, connection: Connection | None) -> None:
        """Give it a connection, or permission to open one."""
        if connection is not None:
            connection.frame = self._frame
        self.connection = connection
        self.is_served = True
        self.nudge()

    def nudge(self) -> None:
        """Let it look for a connection."""
        with suppress(RuntimeError):  # it is awake already
            self.wake.release()


class OneConnection:
    """The only connection to a database in memory; calls take turns.

    Args:
        settings: How it was opened.
        connection: The connection.
    """

    gate: Gate | None = None
    """Not needed: see `Pool.gate`."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._turns = Turns("using the database in memory")

    def take(self, frame: FrameType) -> Connection:
        """Wait for the connection. Then `give_back` or `discard` it."""
        connection = self._connection
        try:
            connection.turn = self._turns.take(self._settings.timeout, frame)
        except TimeoutError as error:
            raise no_turn(error) from error
        try:
            if connection.in_transaction:  # an interrupt left it there
                connection.rollback()
        except sqlite3.ProgrammingError as error:  # it was closed while this call waited for its turn
            self.give_back(connection)
            raise translate(error, self._settings) from error
        connection.deadline[0] = until()
        return connection

    def give_back(self, connection: Connection, now: float | None = None) -> None:
        """Let the next call have it."""
        if connection.turn is not None:
            connection.turn.leave()

    def discard(self, connection: Connection) -> None:
        """Let the next call have it, after rolling back its transaction."""
        try:
            if connection.in_transaction:
                connection.rollback()
        finally:
            self.give_back(connection)

    def lent(self, frame: FrameType) -> Lent:
        """Lend the connection for a statement, as `Pool.lent` does."""
        return Lent(self, self.take(frame), self._settings)

    def close(self) -> None:
        """Close it, and with it the database."""
        with self._turns.take():
            self._connection.close()

    def before_fork(self) -> None:
        """Do nothing: the child has a copy of the memory, and nobody is using the connection."""

    def after_fork(self) -> None:
        """Forget the turns of threads that do not exist in the child."""
        self._turns.reset()


class ReadingPool(Pool):
    """Connections to a file that is opened only for reading.

    A connection that was opened while the file was at rest can be used as long as it stays so. If that changes during a
    read, the result is not returned: the call fails for now, and when it is repeated it opens the file as one in use.
    """

    def take(self, frame: FrameType) -> Connection:
        """See `Pool.take`."""
        while not self._holds(connection := super().take(frame)):
            self.discard(connection)
        return connection

    def give_back(self, connection: Connection, now: float | None = None) -> None:
        """See `Pool.give_back`."""
        if not self._holds(connection):
            super().discard(connection)
            raise self._changed()
        super().give_back(connection, now)

    def discard(self, connection: Connection) -> None:
        """See `Pool.discard`. A file that is changed during a read looks damaged although it is not."""
        holds = self._holds(connection)
        super().discard(connection)
        if not holds and isinstance(error := sys.exception(), sqlite3.Error):
            raise self._changed() from error

    def _holds(self, connection: Connection) -> bool:
        path, log = self._settings.path, self._settings.log
        if connection.at_rest is None or path is None or log is None:
            return True
        return AtRest.of(path, log) == connection.at_rest

    def _changed(self) -> DataStoreError:
        self._file.check()
        return BackendUnavailableError(
            f"{self._settings.path} was opened for writing by another process while it was read", backend=NAME
        )


def no_turn(error: TimeoutError) -> BackendUnavailableError:
    """Return the error for a call that did not get its turn in time."""
    refused = BackendUnavailableError(f"{error}; nothing was written", backend=NAME)
    refused.waited = True
    return refused


class Lent:
    """A connection lent for a statement, which may run until the deadline of the call under way."""

    __slots__ = ("_connection", "_owner", "_settings")

    def __init__(self, owner: Pool | OneConnection, connection: Connection, settings: Settings) -> None:
        self._owner = owner
        self._connection = connection
        self._settings = settings

    def __enter__(self) -> Connection:
        self._connection.deadline[0] = until()
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            give_up(self._owner, self._connection, error, self._settings)
            return
        self._connection.deadline[0] = inf
        self._owner.give_back(self._connection)


def give_up(owner: Pool | OneConnection, connection: Connection, error: BaseException, settings: Settings) -> None:
    """Discard a connection with which something failed; if that was SQLite, raise the store's error for it."""
    connection.deadline[0] = inf
    owner.discard(connection)
    if isinstance(error, sqlite3.Error):
        raise translate(error, settings) from error
