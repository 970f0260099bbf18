"""A store that is open: its connections, and whether its file is still the one that was opened."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from math import inf
from time import monotonic

from datastore_sqlite.client import Connection, File, Settings
from datastore_sqlite.codec import Row
from datastore_sqlite.failures import translate
from datastore_sqlite.pools import Lent, OneConnection, Pool, ReadingPool
from datastore_sqlite.schema import check_version, open_file, open_to_read

LOOK_SECONDS = 0.01
"""For this long, reads trust that the file is still the one that was opened, and has the same indexes. Every write
checks that it is the file."""


class Opened:
    """What reading and writing share.

    Attributes:
        settings: How it was opened.
        connections: Its connections.
        file: Its file; ``None`` for a database in memory.
        look_at: When a read looks again at whether the file is still the one that was opened.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the file, and make it if it is not there; see `SqliteBackend`."""
        self.connections: OneConnection | Pool
        self.file: File | None = None
        self.look_at = inf
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

    def fetch(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        """Return the rows of a statement that only reads."""
        with self.lent() as connection:
            return connection.execute(statement, parameters).fetchall()

    def lent(self) -> Lent:
        """Lend a connection for a statement of the caller: ``with opened.lent() as connection``."""
        now = monotonic()
        if now > self.look_at:
            self.look(now)
        return self.connections.lent(sys._getframe(1))

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
