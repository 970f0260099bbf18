"""Connections to one file, shared by threads; and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from datastore import deadlines
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
from datastore.values import decode, encode, merge_metadata

NAME = "sqlite"
_MAPPED = 2**31 - 2**16
"""The bytes of the file that a memory map covers: as much as SQLite maps (https://www.sqlite.org/mmap.html)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a store.

    Attributes:
        path: The file; ``None`` for a database in memory.
        synchronous: ``"normal"`` survives the end of the process, ``"full"`` the loss of power as well.
        timeout: Seconds to wait for another process's lock.
        create: Whether a missing file is made.
        mmap: Whether single documents are read from a memory map of the file.
    """

    path: Path | None
    synchronous: str = "normal"
    timeout: float = 10.0
    create: bool = True
    mmap: bool = True


class Connection(sqlite3.Connection):
    """A connection in autocommit mode that knows how to merge metadata inside a statement."""

    too_large: ValueTooLargeError | None = None
    """Why the last merge of metadata failed: SQLite itself only says that a function did."""

    def merge(self, current: str, changes: str) -> str:
        """Return stored metadata with changes merged in; the SQL function ``merge_metadata``."""
        try:
            return encode(merge_metadata(decode(current), decode(changes)), "metadata")
        except ValueTooLargeError as error:
            self.too_large = error
            raise


def open_connection(settings: Settings, *, mmap: bool = True) -> Connection:
    """Open one connection, with the settings that hold for a connection and not for the file."""
    connection = sqlite3.connect(
        ":memory:" if settings.path is None else settings.path,
        timeout=settings.timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128,
        factory=Connection,
    )
    try:
        connection.execute(f"PRAGMA synchronous={settings.synchronous}")
        if mmap and settings.mmap:
            connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        connection.create_function("merge_metadata", 2, connection.merge, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


class Pool:
    """Connections to a file: one for each thread that is inside a call, kept for the next.

    Taking and giving back are single operations of a deque, which need no lock.
    """

    def __init__(self, settings: Settings, *first: Connection, mmap: bool = True) -> None:
        self._settings = settings
        self._mmap = mmap
        self._idle: deque[Connection] = deque(first)
        self._closed = False

    def take(self) -> Connection:
        """Return a connection that nobody else uses; `give_back` it."""
        try:
            return self._idle.pop()  # the one used last: its page cache is warm
        except IndexError:
            if self._closed:
                raise ClosedError("the store was closed", backend=NAME) from None
            try:
                return open_connection(self._settings, mmap=self._mmap)
            except sqlite3.Error as error:
                raise translate(error, self._settings) from error

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call."""
        self._idle.append(connection)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close the connections; those in use are closed when they are given back."""
        self._closed = True
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread was faster
                return

    def after_fork(self) -> None:
        """Forget the parent's connections, unclosed: closing them would break the parent's locks.

        https://www.sqlite.org/howtocorrupt.html, section 2.6
        """
        _inherited.extend(self._idle)
        self._idle = deque()


class OneConnection:
    """The only connection to a database in memory; calls take turns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = threading.Lock()

    def take(self) -> Connection:
        """Wait for the connection."""
        self._turn.acquire()
        return self._connection

    def give_back(self, connection: Connection) -> None:
        """Let the next one have it."""
        self._turn.release()

    def close(self) -> None:
        """Close it, and with it the database."""
        with self._turn:
            self._connection.close()

    def after_fork(self) -> None:
        """The child has a copy of the memory; only the lock may be held by a thread that is not there."""
        self._turn = threading.Lock()


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

_OF_A_DOCUMENT = ("malformed JSON", "user-defined function raised exception")  # the function is `merge_metadata`


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
        return BackendUnavailableError(
            f"another process held {where} locked for {settings.timeout:g} s; nothing was written. "
            "End its transaction, or wait longer with ?timeout=",
            backend=NAME,
        )
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


def _denied(where: str, name: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{where} cannot be written ({name}); the file and its directory must be readable and writable for this user",
        backend=NAME,
    )


def _lasting(message: str) -> BackendUnusableError:
    return BackendUnusableError(message, backend=NAME)
