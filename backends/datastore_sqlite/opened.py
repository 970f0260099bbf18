"""A store that is open: its connections, and whether its file is still the one that was opened."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Concatenate, ParamSpec, TypeVar

from datastore.deadlines import until
from datastore_sqlite.client import Connection, File, Settings
from datastore_sqlite.codec import Row
from datastore_sqlite.failures import translate
from datastore_sqlite.pools import Lent, OneConnection, Pool, ReadingPool, give_up
from datastore_sqlite.schema import check_version, open_file, open_to_read

P = ParamSpec("P")
T = TypeVar("T")

LOOK_SECONDS = 0.01
"""For this long, reads trust that the file is still the one that was opened, and has the same indexes. Every write
checks that it is the file."""
_LONGEST_TRUST = 0.1
"""For so many seconds more they trust it while another read is looking.

A look releases the interpreter's lock many times. Where many threads wait for that lock, it takes longer than
`LOOK_SECONDS`: each read would then look as well, and there would be twice as much to wait for."""


class Opened:
    """What reading and writing share.

    Attributes:
        settings: How it was opened.
        connections: Its connections.
        file: Its file; ``None`` for a database in memory.
        look_at: When a call looks again at whether the file is still the one that was opened.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the file, and make it if it is not there; see `SqliteBackend`."""
        self.connections: OneConnection | Pool
        self.file: File | None = None
        self.look_at = inf
        self._another_looks_until = 0.0
        try:
            if settings.read_only and settings.path is not None:
                settings, first = open_to_read(settings, settings.path)
            else:
                first = open_file(settings)
        except sqlite3.Error as error:
            raise translate(error, settings) from error
        self.settings = settings
        if settings.path is None:
            self.connections = OneConnection(settings, first)
        else:
            self.file = File.at(settings.path)
            self.connections = (ReadingPool if settings.read_only else Pool)(settings, self.file, first)
            self.look_at = 0.0

    def read(self, read: Callable[Concatenate[Connection, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """Return what a function reads with a connection, as ``with lent()`` does in more time: for hot paths."""
        now = monotonic()
        if now > self.look_at:
            self.look_to_read(now)
        connections = self.connections
        connection = connections.take(sys._getframe())
        connection.deadline[0] = until()
        try:
            found = read(connection, *arguments, **named)
        except BaseException as error:
            give_up(connections, connection, error, self.settings)
            raise
        connection.deadline[0] = inf
        connections.give_back(connection)
        return found

    def fetch(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        """Return the rows of a statement that only reads."""
        with self.lent() as connection:
            return connection.execute(statement, parameters).fetchall()

    def lent(self) -> Lent:
        """Lend a connection for a statement of the caller: ``with opened.lent() as connection``."""
        now = monotonic()
        if now > self.look_at:
            self.look_to_read(now)
        return self.connections.lent(sys._getframe(1))

    def look_to_read(self, now: float) -> None:
        """Do what `look` does before a read, unless another read does it now: one begins in `LOOK_SECONDS`."""
        if now < self._another_looks_until and now < self.look_at + _LONGEST_TRUST:
            return
        try:
            self._another_looks_until = now + LOOK_SECONDS
            self.look(now)
        except BaseException:
            self._another_looks_until = 0.0
            raise

    def look(self, now: float) -> None:
        """Check that the file is still the one that was opened, and that this version knows its format."""
        if self.file is None:
            return
        self.file.check()
        with self.connections.lent(sys._getframe()) as connection:
            check_version(connection, self.settings)
        self.look_at = now + LOOK_SECONDS

    def look_with(self, connection: Connection, now: float) -> None:
        """Do the same with a connection that is at hand."""
        if self.file is not None:
            self.file.check()
        check_version(connection, self.settings)
        self.look_at = now + LOOK_SECONDS
