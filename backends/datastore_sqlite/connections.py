"""Connections to one file, shared by threads; and what SQLite's errors mean."""

from __future__ import annotations

import operator
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple
from urllib.parse import quote

from datastore import deadlines
from datastore.deadlines import exceeded, left, on_stack, until
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ClosedError,
    DamagedRecordError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
    ValueTooLargeError,
)
from datastore.turns import Turn, Turns

NAME = "sqlite"
_MAPPED = 2**31 - 2**16
"""The bytes of the file that a memory map covers: as much as SQLite maps (https://www.sqlite.org/mmap.html)."""
_CHECKPOINT_PAGES = 4_000
"""How long the log grows before it is written back to the file: 16 MB instead of SQLite's 4, so that a page that is
written often is written back less often. Readers find a page at the same cost: up to 4,062 pages share one index
(https://www.sqlite.org/walformat.html, section 2.3.1)."""
_STEPS = 10_000
"""How many steps of SQLite's virtual machine lie between two looks at the deadline: about a millisecond."""
_IDLE_SECONDS = 10.0
"""How long a connection is kept that nobody needs."""
_LOOK = 0.1  # seconds between two looks of those who wait at whether a connection was abandoned


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a store.

    Attributes:
        path: The file; ``None`` for a database in memory.
        synchronous: ``"normal"`` survives the end of the process, ``"full"`` the loss of power as well.
        timeout: Seconds to wait for another process's lock.
        create: Whether a missing file is made.
        mmap: Whether documents are read from a memory map of the file.
        pool: The most connections.
        customer: Whether it is the database of one customer, which its file remembers.
        read_only: Whether it is opened for reading only, and no file is made or changed.
        log: Where its write-ahead log is when there is one; known only where the file is opened for reading only.
    """

    path: Path | None
    synchronous: str = "normal"
    timeout: float = 10.0
    create: bool = True
    mmap: bool = False
    pool: int = 16
    customer: bool = False
    read_only: bool = False
    log: Path | None = None


class AtRest(NamedTuple):
    """A file that nobody has open for writing, by all that changes as soon as somebody does.

    SQLite makes two files beside one that has a write-ahead log, even to read it, and so needs a directory that it may
    write to; what one only reads should not be changed in any case. While nobody has it open it can be read without
    them, as a file that nothing changes (https://www.sqlite.org/wal.html#read_only_databases). That it has not changed
    is looked at before and after each statement.
    """

    device: int
    inode: int
    size: int
    written: int

    @classmethod
    def of(cls, path: Path, log: Path) -> AtRest | None:
        """Return the state of a file; ``None`` if somebody has it open, or what was written last is in its log."""
        try:
            if log.exists() and (_index_of(log).exists() or log.stat().st_size):
                return None
            status = path.stat()
        except OSError:  # which SQLite is about to meet, too
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _index_of(log: Path) -> Path:
    return log.with_name(log.name.removesuffix("-wal") + "-shm")


class Connection(sqlite3.Connection):
    """A connection in autocommit mode."""

    deadline: list[float]
    """One number: the `time.monotonic` at which SQLite gives up a statement."""
    waits_less = False
    """Whether it waits for other processes' locks for less than the settings say."""
    frame: FrameType | None = None
    """The call that uses it; ``None`` while it is idle."""
    discarded = False
    at_rest: AtRest | None = None
    """The file as it must be for what is read to be right, where it was opened as one that nothing changes."""
    idle_since = 0.0
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class File:
    """Which file it is, whatever its path says later.

    Attributes:
        path: Where it was, absolute.
        device: The file system.
        inode: The file in it.
    """

    path: str
    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> File:
        """Return the file that is there now."""
        status = path.stat()
        return cls(str(path), status.st_dev, status.st_ino)

    def check(self) -> None:
        """See that the path still leads to the file.

        Raises:
            BackendUnusableError: If it does not.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116 - once for each write: a Path takes twice as long
        except OSError as error:
            raise self._gone(f"is gone ({error.strerror})") from error
        if status.st_ino != self.inode or status.st_dev != self.device:
            raise self._gone("is another file than the one that was opened")

    def _gone(self, what: str) -> BackendUnusableError:
        return BackendUnusableError(
            f"{self.path} {what}: it was deleted, moved or replaced meanwhile, and nothing is written to where nobody "
            "looks. Put it back, or close the store and connect again",
            backend=NAME,
        )


def open_connection(settings: Settings) -> Connection:
    """Open one connection to what is there, with the settings that hold for a connection and not for the file."""
    at_rest = AtRest.of(settings.path, settings.log) if settings.path is not None and settings.log is not None else None
    # Never creating: a file that has gone must not come back empty.
    mode = "rw" if not settings.read_only else "ro" if at_rest is None else "ro&immutable=1"
    connection = sqlite3.connect(
        ":memory:" if settings.path is None else f"file:{quote(str(settings.path))}?mode={mode}",
        timeout=settings.timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128,
        factory=Connection,
        uri=settings.path is not None,
    )
    connection.at_rest = at_rest
    try:
        connection.execute(f"PRAGMA synchronous={settings.synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}").close()
        if settings.mmap:
            connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        connection.deadline = [inf]
        connection.set_progress_handler(_out_of_time(connection.deadline), _STEPS)
    except BaseException:
        connection.close()
        raise
    return connection


def _out_of_time(deadline: list[float]) -> Callable[[], bool]:
    """Return the function that says whether a deadline is over.

    It is made of functions in C alone: Python runs signal handlers when it enters a function of its own, and what they
    raise would be lost in SQLite, which calls this one.
    """
    now = iter(time.monotonic, None)
    return map(operator.gt, now, iter(partial(deadline.__getitem__, 0), None)).__next__


class Pool:
    """Connections to a file: one for each thread that is inside a call, kept for the next.

    Taking and giving back are single operations of a deque, which need no lock. Whoever has met an exception does not
    give a connection back but discards it: a statement may be under way in it.

    Args:
        settings: How to open them.
        file: Which file it must be.
        first: What is open already.
    """

    def __init__(self, settings: Settings, file: File, first: Connection) -> None:
        self._settings = settings
        self._file = file
        self._closed = False
        self._begin(first)

    def _begin(self, *first: Connection) -> None:
        self._idle: deque[Connection] = deque(first)
        self._all: list[weakref.ref[Connection]] = [weakref.ref(connection) for connection in first]
        """Weakly, because one that an interrupt has left behind must not count for ever."""
        self._waiting: deque[_Waiting] = deque()
        self._opening = Turns("opening a connection")
        self._look_at = 0.0

    def take(self, frame: FrameType) -> Connection:
        """Return a connection that nobody else uses, to the call of a frame; `give_back` or `discard` it."""
        try:
            connection = self._idle.pop()  # the one used last: its page cache is warm
        except IndexError:
            return self._wait_or_open(frame)
        connection.frame = frame
        return connection

    def give_back(self, connection: Connection, now: float | None = None) -> None:
        """Keep a connection for the next call; ``now`` is what `time.monotonic` has said not long ago."""
        connection.frame = None
        if self._waiting:
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
        if self._closed:
            self.close()

    def discard(self, connection: Connection) -> None:
        """Close a connection that may not be clean; what its transaction has written, if there is one, is undone."""
        connection.discarded, connection.frame = True, None
        try:
            if connection.in_transaction:  # with a statement under way, closing alone would not end it
                connection.rollback()
        except sqlite3.Error:
            pass
        finally:
            connection.close()
        with suppress(IndexError):
            self._waiting.popleft().hand_over(None)  # it may open another one

    def lent(self, frame: FrameType) -> Lent:
        """Lend a connection for a statement: ``with pool.lent(frame) as connection``; ``frame`` is the caller's."""
        return Lent(self, self.take(frame), self._settings)

    def close(self) -> None:
        """Close the connections; those in use are closed when they are given back."""
        self._closed = True
        while self._idle:
            with suppress(IndexError):  # another thread was faster
                self.discard(self._idle.pop())
        self._discard_the_abandoned()

    def before_fork(self) -> None:
        """Close every connection: nobody uses one, so those that are not idle were left by an interrupt."""
        self._idle.clear()
        for connection in self._open_ones():
            self.discard(connection)

    def after_fork(self) -> None:
        """Forget connections that are open, unclosed: closing them would break the parent's locks.

        https://www.sqlite.org/howtocorrupt.html, section 2.6
        """
        _inherited.extend(self._open_ones())
        self._begin()

    def _look_after_the_waiting(self) -> None:
        """See whether connections are missing that nobody will give back; one of all who wait does it at a time."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        self._discard_the_abandoned()
        if len(self._open_ones()) < self._settings.pool:
            with suppress(IndexError):
                self._waiting.popleft().hand_over(None)

    def _discard_the_abandoned(self) -> None:
        """Close the connections of calls that an interrupt ended before they could, and those between two owners."""
        lent, ownerless = list[tuple[Connection, FrameType]](), list[tuple[Connection, float]]()
        for connection in self._not_idle():
            if (frame := connection.frame) is not None:
                lent.append((connection, frame))
            else:
                ownerless.append((connection, connection.idle_since))
        stacks = list(sys._current_frames().values())  # after that: a call that has begun meanwhile is not in question
        for connection, frame in lent:
            if connection.frame is frame and not any(on_stack(frame, stack) for stack in stacks):
                self.discard(connection)
        if not ownerless or any(map(self._is_moving_one, stacks)):
            return
        still = self._not_idle()
        for connection, since in ownerless:
            # Had it been given back and taken again meanwhile, it would have been idle since another time.
            if connection in still and connection.frame is None and connection.idle_since == since:
                self.discard(connection)

    def _is_moving_one(self, frame: FrameType | None) -> bool:
        """Return whether a thread is taking a connection or giving one back, between two lines of it."""
        settled = (Pool._wait_or_open.__code__, Pool._discard_the_abandoned.__code__)  # they are called between moves
        inner = None
        while frame is not None:
            if frame.f_code in _MOVING and inner not in settled:
                return True
            inner, frame = frame.f_code, frame.f_back
        return False

    def _not_idle(self) -> list[Connection]:
        """Return the connections that are open and in use, or between two owners."""
        while True:
            try:
                idle = set(map(id, self._idle))
            except RuntimeError:  # another thread took one, or gave one back
                continue
            return [connection for connection in self._open_ones() if id(connection) not in idle]

    def _open_ones(self) -> list[Connection]:
        """Return the connections that are open."""
        found = [connection for known in self._all if (connection := known()) is not None]
        return [connection for connection in found if not connection.discarded]

    def _close_one_idle(self, before: float) -> None:
        """Close the connection that was not used for longest, if that is long ago."""
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
        """Wait for a connection that is given back, behind whoever waits already; ``None`` when one may be opened."""
        waiting = _Waiting(frame)
        self._waiting.append(waiting)
        idle: Connection | None = None
        woken = False
        try:
            idle = self._given_back_just_now(frame)
            while idle is None and not woken and (remaining := end - time.monotonic()) > 0:
                woken = waiting.wake.acquire(timeout=min(remaining, _LOOK))
                if not woken:
                    self._look_after_the_waiting()
        finally:
            try:
                self._waiting.remove(waiting)
            except ValueError:  # somebody is about to hand one over
                if not woken:
                    waiting.wake.acquire(timeout=_LOOK)
        if idle is None or waiting.connection is None:
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
        try:
            self._file.check()
        except BaseException:
            connection.close()
            raise
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
"""What has a connection in hand that belongs to nobody for the moment."""


class _Waiting:
    """A call that waits for a connection."""

    __slots__ = ("_frame", "connection", "wake")

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self.connection: Connection | None = None
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand_over(self, connection: Connection | None) -> None:
        """Give it a connection, or the leave to open one."""
        if connection is not None:
            connection.frame = self._frame
        self.connection = connection
        self.wake.release()


class OneConnection:
    """The only connection to a database in memory; calls take turns.

    Args:
        settings: How it was opened.
        connection: The connection.
    """

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._turns = Turns("using the database in memory")

    def take(self, frame: FrameType) -> Connection:
        """Wait for the connection; `give_back` or `discard` it."""
        connection = self._connection
        try:
            connection.turn = self._turns.take(self._settings.timeout, frame)
        except TimeoutError as error:
            raise no_turn(error) from error
        if connection.in_transaction:  # an interrupt has left it so
            connection.rollback()
        connection.deadline[0] = until()
        return connection

    def give_back(self, connection: Connection, now: float | None = None) -> None:
        """Let the next one have it."""
        if connection.turn is not None:
            connection.turn.leave()

    def discard(self, connection: Connection) -> None:
        """Let the next one have it, without what its transaction has written."""
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
        """Nothing: the child has a copy of the memory, and nobody is inside."""

    def after_fork(self) -> None:
        """Forget the turns of threads that are not there."""
        self._turns.reset()


class ReadingPool(Pool):
    """Connections to a file that is opened for reading only.

    One that was opened while the file was at rest is good for as long as it is. What was read while that changed is not
    handed over: the call fails for now, and finds the file open when it is repeated.
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
        """See `Pool.discard`. A file that is changed meanwhile looks damaged, and is not."""
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
    """Return the error for a call whose turn did not come."""
    refused = BackendUnavailableError(f"{error}; nothing was written", backend=NAME)
    refused.waited = True
    return refused


class Lent:
    """A connection lent for a statement, which may take until the deadline of the call under way."""

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
        connection = self._connection
        connection.deadline[0] = inf
        if error is None:
            self._owner.give_back(connection)
            return
        self._owner.discard(connection)
        if isinstance(error, sqlite3.Error):
            raise translate(error, self._settings) from error


_inherited: list[Connection] = []


_DENIED = frozenset({sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY})
_TRANSIENT = {
    sqlite3.SQLITE_ABORT: "a transaction was rolled back under the statement",
    sqlite3.SQLITE_NOMEM: "SQLite found no memory",
    sqlite3.SQLITE_PROTOCOL: "other processes kept changing the file's log",
    sqlite3.SQLITE_SCHEMA: "another process kept changing the schema",
}
_REPLACED = frozenset({sqlite3.SQLITE_READONLY_DBMOVED, sqlite3.SQLITE_IOERR_VNODE})
_PASSING_IO = frozenset(
    {
        sqlite3.SQLITE_IOERR_BLOCKED,
        sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_NOMEM,
        sqlite3.SQLITE_IOERR_RDLOCK,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_UNLOCK,
    }
)
"""Errors of locks and of memory. All others are what the operating system said of the disk, which no retry mends."""
_OF_THE_SCHEMA = ("no such table", "no such column", "no such index", "has no column named", "already exists")

_OF_A_DOCUMENT = ("malformed JSON",)


def translate(error: sqlite3.Error, settings: Settings) -> DataStoreError:
    """Return the error of the store for one of SQLite's (https://www.sqlite.org/rescode.html).

    By the code, and by the message only where one code stands for several causes. What SQLite says may quote a value,
    so it is chained and not repeated.
    """
    where = "the database in memory" if settings.path is None else str(settings.path)
    extended = getattr(error, "sqlite_errorcode", 0)
    code, name = extended & 0xFF, getattr(error, "sqlite_errorname", type(error).__name__)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return ClosedError("the store was closed", backend=NAME)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        locked = BackendUnavailableError(
            f"another process held {where} locked for {settings.timeout:g} s; nothing was written. "
            "End its transaction, or wait longer with ?timeout=",
            backend=NAME,
        )
        locked.waited = True
        return locked
    if code == sqlite3.SQLITE_INTERRUPT:
        if deadlines.left() == 0:
            return deadlines.exceeded()
        return BackendUnavailableError("the statement was interrupted; nothing was written", backend=NAME)
    if code in _TRANSIENT or extended in _PASSING_IO:
        return BackendUnavailableError(
            f"{where} cannot be used for now: {_TRANSIENT.get(code, 'the operating system gave no lock')} ({name})",
            backend=NAME,
        )
    if extended in _REPLACED:
        return _lasting(f"{where} was moved, removed or replaced while the store was open; connect anew ({name})")
    if settings.read_only and settings.path is not None and (code in _DENIED or code == sqlite3.SQLITE_CANTOPEN):
        return _cannot_read(settings.path, settings.log, name)
    if code in _DENIED:
        return _denied(where, name)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open(where, settings, name)
    if code == sqlite3.SQLITE_FULL:
        return _lasting(f"the disk that holds {where} is full; nothing was written. Free some space")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
        return _lasting(f"{where} is damaged ({name}); restore it from a backup, or rescue it with sqlite3's .recover")
    if code == sqlite3.SQLITE_IOERR:
        return _lasting(
            f"the operating system failed to read or write {where} ({name}): look at the disk, its quota and the "
            "limits of this process"
        )
    if code == sqlite3.SQLITE_NOLFS:
        return _lasting(f"{where} has grown beyond what its file system takes ({name})")
    if code == sqlite3.SQLITE_TOOBIG:
        return ValueTooLargeError(f"this build of SQLite takes no value of that size ({name})", backend=NAME)
    if code == sqlite3.SQLITE_ERROR and any(said in str(error) for said in _OF_THE_SCHEMA):
        return _lasting(
            f"{where} has not the tables of this version: another program changed or removed them. Restore it from a "
            "backup, or name another file"
        )
    if code == sqlite3.SQLITE_ERROR and any(said in str(error) for said in _OF_A_DOCUMENT):
        return DamagedRecordError(
            f"a document in {where} holds text that is not JSON: another program changed it. Find it by reading the "
            "records one by one",
            backend=NAME,
        )
    return InternalError(
        f"SQLite refused a statement of this package ({name}); the cause is chained. Please report it", backend=NAME
    )


def _cannot_open(where: str, settings: Settings, name: str) -> DataStoreError:
    """Return the error for a file that cannot be opened: SQLite does not say why, so one has to look."""
    path = settings.path
    if path is None or (path.exists() and os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK)):
        return BackendUnavailableError(
            f"{where} cannot be opened for now ({name}); perhaps this process has too many files open", backend=NAME
        )
    if not path.exists():
        return _lasting(f"{where} is not there any more: it or its directory was removed or moved ({name})")
    return _denied(where, name)


def _cannot_read(path: Path, log: Path | None, name: str) -> DataStoreError:
    """Return the error for a file that cannot be opened for reading only, though it may be read itself."""
    if not path.exists():
        return _lasting(f"{path} is not there any more: it or its directory was removed or moved ({name})")
    if log is not None and not all(os.access(beside, os.R_OK) for beside in (log, _index_of(log))):
        return PermissionDeniedError(
            f"{path} cannot be read without {log.name} and {_index_of(log).name}: the first holds what was written "
            f"last, and this user may not read both of them, or not make the second ({name}). Let somebody who may "
            "write to the file open it and close it again, or copy it together with its log to where this user may "
            "write",
            backend=NAME,
        )
    return BackendUnavailableError(
        f"{path} cannot be opened for now ({name}); perhaps this process has too many files open", backend=NAME
    )


def _denied(where: str, name: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{where} cannot be written ({name}); the file and its directory must be readable and writable for this user",
        backend=NAME,
    )


def _lasting(message: str) -> BackendUnusableError:
    return BackendUnusableError(message, backend=NAME)
