"""The adapters of CouchDB and SQLite with one fault at a time: the simulator must find each on its own database."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import httpx
import orjson

from datastore.backend import DONE, Backend, Outcome, Write
from datastore.deadlines import until
from datastore.errors import DataStoreError
from datastore_couchdb.backend import CouchBackend
from datastore_couchdb.client import Settings as CouchSettings
from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.client import Connection, Settings
from datastore_sqlite.failures import translate
from datastore_sqlite.writing import Writer
from tests.simulation.couch import CouchDatabase
from tests.simulation.sqlite import SqliteDatabase

T = TypeVar("T")


class TakesAnAnswerCutShort(CouchBackend):
    """What has arrived of a listing is taken for all of it."""

    def __init__(self, settings: CouchSettings) -> None:
        super().__init__(settings)
        rows = self._session.rows

        def all_that_came(path: str, parameters: Any, most_bytes: int) -> tuple[list[dict[str, Any]], bool]:
            arrived: list[bytes] = []
            try:
                with self._session.client.stream("GET", self._session._url(path, parameters)) as response:
                    if response.status_code != 200:
                        return rows(path, parameters, most_bytes)
                    arrived.extend(response.iter_bytes())
            except httpx.HTTPError:
                pass
            lines = b"".join(arrived).split(b"\r\n")
            return [orjson.loads(line.rstrip(b",")) for line in lines if line.endswith((b"}", b"},"))], False

        self._session.rows = all_that_came  # type: ignore[method-assign]


class KeepsNoMarkOfADeletion(CouchBackend):
    """A delete whose answer was lost cannot be told from another one's."""

    def __init__(self, settings: CouchSettings) -> None:
        super().__init__(settings)
        self._documents.was_removed_by = lambda *_: True  # type: ignore[method-assign]


class LeavesTransactionsOpen(SqliteBackend):
    """A connection is kept after a write that was interrupted: `BEGIN` is outside its `try`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._writer = _Careless(self._opened)


class _Careless(Writer):
    def _write(self, work: Callable[[Connection], T]) -> T:
        with self._turns.take(self._settings.timeout, sys._getframe()):
            connection = self._connections.take(sys._getframe())
            connection.deadline[0] = until()
            try:
                return work(connection)
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.rollback()
                raise translate(error, self._settings) from error
            finally:
                self._connections.give_back(connection)


class SaysItBeforeItIsDone(SqliteBackend):
    """A write that found the disk full counts as done."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        try:
            return super().write(writes)
        except DataStoreError:
            return [DONE for _ in writes]


class ForgetsToSync(SqliteBackend):
    """What was promised to survive a loss of power is not synced."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(replace(settings, synchronous="normal"))


FAULTY: dict[str, tuple[type[CouchDatabase | SqliteDatabase], type[Backend]]] = {
    "an answer cut short": (CouchDatabase, TakesAnAnswerCutShort),
    "no mark of a deletion": (CouchDatabase, KeepsNoMarkOfADeletion),
    "BEGIN outside its try": (SqliteDatabase, LeavesTransactionsOpen),
    "a full disk for done": (SqliteDatabase, SaysItBeforeItIsDone),
    "nothing is synced": (SqliteDatabase, ForgetsToSync),
}
"""The databases with the adapters that are wrong, by what is wrong with them."""
