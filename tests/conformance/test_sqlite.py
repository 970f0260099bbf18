"""The kit on SQLite, in a file and in memory."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from unittest.mock import patch

from datastore import DataStore
from datastore.conformance import ConformanceSuite, Harness
from datastore_sqlite.client import Connection
from tests.full import EXAMPLES_OF_A_VARIANT


class SqliteHarness(Harness):
    name = "sqlite"

    def url(self) -> str:
        return f"sqlite:///{self.tmp_path}/store.db"

    @contextmanager
    def outage(self, store: DataStore) -> Iterator[None]:
        """The file system gives no locks: every statement, of every connection, ends as SQLite ends it then."""

        def fail(*arguments: object) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_LOCK
            error.sqlite_errorname = "SQLITE_IOERR_LOCK"
            raise error

        with patch.multiple(Connection, execute=fail, executemany=fail, create=True):
            yield


class SqliteMemoryHarness(SqliteHarness):
    name = "sqlite-memory"
    examples = EXAMPLES_OF_A_VARIANT
    differs: ClassVar = {
        "test_what_is_read_at_once_is_what_is_read": "in memory there is one connection, and each read waits its turn",
    }

    def url(self) -> str:
        return "sqlite://:memory:"


class TestSqlite(ConformanceSuite):
    harness = SqliteHarness


class TestSqliteInMemory(ConformanceSuite):
    harness = SqliteMemoryHarness
