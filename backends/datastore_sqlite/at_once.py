"""Reading one small document on the thread of an event loop, which must not wait."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import cast

from datastore.backend import Document, Fields, WouldWaitError
from datastore.errors import DataStoreError
from datastore.turns import Turns
from datastore_sqlite import statements as sql
from datastore_sqlite.client import Connection, open_connection
from datastore_sqlite.codec import DOCUMENT, Row
from datastore_sqlite.opened import Opened
from datastore_sqlite.pools import inherited

_READ = sql.READ_ONE[Fields.VALUE]
_PAUSE = 1.0
"""Seconds after a failure in which nothing is tried: each attempt opens the file again."""


class AtOnce:
    """Reads with a connection of its own, which waits for no lock and reads no large value.

    The limit is `SQLITE_LIMIT_LENGTH` (https://www.sqlite.org/limits.html): of a longer value SQLite reads no page but
    the first one. So at most a few pages of the index and those of ``most`` bytes are read, from the file if the
    operating system does not have them in memory.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        settings = opened.settings
        self._settings = replace(settings, timeout=0.0)
        # A file that is only read may change below it (`pools.ReadingPool`); a database in memory has one connection.
        self._may = settings.path is not None and not settings.read_only and not settings.earlier_format
        self._turns = Turns("reading at once")
        self._begin()

    def _begin(self) -> None:
        self._turns.reset()
        self._connection: Connection | None = None
        self._most = 0
        self._pause_until = 0.0

    def read(self, id: str, most: int) -> Document | None:
        """See `Backend.read_at_once`."""
        now = monotonic()
        if not self._may or now < self._pause_until or (turn := self._turns.take_at_once()) is None:
            raise WouldWaitError
        with turn:
            try:
                row = self._row(id, most, now)
            except sqlite3.DataError as error:  # it is too large
                raise WouldWaitError from error
            except BaseException as error:
                self._pause_until = now + _PAUSE
                self._end()
                if isinstance(error, (sqlite3.Error, DataStoreError)):
                    raise WouldWaitError from error
                raise
        return None if row is None else DOCUMENT[Fields.VALUE]((id, *row))

    def _row(self, id: str, most: int, now: float) -> Row | None:
        connection = self._connection
        if connection is None:
            connection = self._connection = open_connection(self._settings)
            self._most = 0
            self._opened.look_with(connection, now)  # the path may lead to another file by now
        elif now > self._opened.look_at:
            self._opened.look_with(connection, now)
        if most != self._most:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
            self._most = most
        return cast("Row | None", connection.execute(_READ, (id,)).fetchone())

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._may = False
        self.before_fork()

    def before_fork(self) -> None:
        """Close the connection, when the read under way has ended."""
        with self._turns.take():
            self._end()

    def after_fork(self) -> None:
        """Forget the connection, without closing it: it belongs to the parent."""
        if self._connection is not None:
            inherited.append(self._connection)
        self._begin()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
