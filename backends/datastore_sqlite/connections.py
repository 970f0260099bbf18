"""Connections to one file, shared by threads; and what SQLite's errors mean."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from datastore.errors import (
    BackendUnavailableError,
    ClosedError,
    DataStoreError,
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

    not_merged: ValueTooLargeError | None = None
    """Why the last merge of metadata failed, unless what is stored is damaged: SQLite only says that a function did."""

    def merge(self, current: str, changes: str) -> str:
        """Return stored metadata with changes merged in; the SQL function ``merge_metadata``."""
        try:
            return encode(merge_metadata(decode(current), decode(changes)), "metadata")
        except ValueTooLargeError as error:
            self.not_merged = error
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


def translate(error: sqlite3.Error, settings: Settings) -> DataStoreError:
    """Return the error of the store for one of SQLite's (https://www.sqlite.org/rescode.html)."""
    where = "the database in memory" if settings.path is None else str(settings.path)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, sqlite3.ProgrammingError):
        if "closed" in str(error):
            return ClosedError("the store was closed", backend=NAME)
        raise error  # a mistake in this package, and nothing that the database did
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BackendUnavailableError(
            f"another process held {where} locked for {settings.timeout:g} s; nothing was written. "
            "End its transaction, or wait longer with ?timeout=",
            backend=NAME,
        )
    if code in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        return PermissionDeniedError(
            f"{where} cannot be written ({error}); the file and its directory must be writable for this user",
            backend=NAME,
        )
    if code == sqlite3.SQLITE_FULL:
        return _lasting(f"the disk that holds {where} is full; nothing was written. Free some space")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _lasting(f"{where} is damaged ({error}); restore it from a backup, or rescue it with sqlite3's .recover")
    return BackendUnavailableError(f"{where} cannot be used: {error}", backend=NAME)


def _lasting(message: str) -> BackendUnavailableError:
    error = BackendUnavailableError(message, backend=NAME)
    error.retryable = False  # trying again helps only after somebody has mended it
    return error
