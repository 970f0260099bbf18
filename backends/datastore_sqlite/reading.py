"""Reading: each method is one statement."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import Any

from datastore.backend import Document, DocumentPage, Fields, IdRange, NamespaceStats
from datastore.deadlines import until
from datastore.documents import UNDECODABLE
from datastore.ids import EVERYTHING
from datastore.stats import Stats
from datastore.values import decode
from datastore_sqlite import statements as sql
from datastore_sqlite.client import Connection
from datastore_sqlite.codec import AT_FIRST, DOCUMENT, DOCUMENTS, Row, are_all
from datastore_sqlite.damage import documents_of, is_damage, reading, shown, stored_id
from datastore_sqlite.failures import translate
from datastore_sqlite.opened import Opened
from datastore_sqlite.pools import give_up
from datastore_sqlite.statements import TIME_LENGTH

_KEY, _WITH_VALUE, _BARE_VALUE = Fields.KEY, Fields.VALUE, Fields.BARE_VALUE
_ROWS = 1_000
_new = tuple.__new__  # a `partial` of it, which is best for many documents, takes longer for one


class Reader:
    """Reads documents by their ids and by ranges of them: these are methods of the adapter.

    It inherits them, for a `get` takes so little time that a call more, to hand it on, shows.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._connections = opened.connections
        self._settings = opened.settings

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        now = monotonic()
        if now > self._opened.look_at:
            self._opened.look_to_read(now)
        is_one = len(ids) == 1
        connections = self._connections
        gate = connections.gate if is_one else None
        place = gate.enter() if gate else None
        try:
            connection = connections.take(sys._getframe())
            try:
                if is_one:
                    row = connection.execute(sql.READ_ONE[fields], ids).fetchone()
                else:
                    rows = connection.execute(sql.read_many(fields, len(ids)), ids).fetchall()
            except BaseException as error:
                connections.discard(connection)
                if isinstance(error, sqlite3.Error):
                    if is_damage(error):
                        return self._read_closely(ids, fields)
                    raise translate(error, self._settings) from error
                raise
            connections.give_back(connection, now)
        finally:
            if gate and place:
                gate.leave(place)
        if not is_one:
            documents, broken = documents_of(rows, DOCUMENT[fields], DOCUMENTS[fields])
            if broken:
                raise broken[0]
            return {document.id: document for document in documents}
        if row is None:
            return {}
        id = ids[0]
        try:
            if fields is _BARE_VALUE:  # the hot path of `get`
                created_at, value = row
                expires_at = None
                if type(created_at) is not str:
                    times = _times_of(created_at)
                    if times is None:
                        return self.read(ids, _WITH_VALUE)
                    expires_at, created_at = times
                fields_of = (id, created_at, "", expires_at, decode(value), None, "", "", 0, None, None, None)
                return {id: _new(Document, fields_of)}
            if fields is _WITH_VALUE:
                created_at, revision, expires_at, value = row
                fields_of = (id, created_at, revision, expires_at, decode(value), None, "", "", 0, None, None, None)
                return {id: _new(Document, fields_of)}
            return {id: DOCUMENT[fields]((id, *row))}
        except UNDECODABLE:  # the closer look finds out what it is
            if fields is _BARE_VALUE:
                return self.read(ids, _WITH_VALUE)
            documents, broken = documents_of([(id, *row)], DOCUMENT[fields])
            if broken:
                raise broken[0] from None
            return {id: documents[0]}

    def _read_closely(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """Read documents, whatever is in their rows. Raise the error for the first damaged one."""
        statement = sql.read_many(fields, len(ids))
        with self._opened.lent() as connection:
            rows = reading(connection, lambda: connection.execute(statement, ids).fetchall())
        documents, broken = documents_of(rows, DOCUMENT[fields], DOCUMENTS[fields])
        if broken:
            raise broken[0]
        return {document.id: document for document in documents}

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        end = range.end if range is not EVERYTHING else b""  # after all text, even text that is not UTF-8
        statement = sql.SCAN[fields]
        parameters: tuple[Any, ...] = (range.start, end, limit)
        if reverse:
            statement = sql.SCAN_BACK[fields]
            if after is not None and after < range.end:
                statement, parameters = sql.SCAN_BEFORE[fields], (range.start, _bound(after), limit)
        elif after is not None and after >= range.start:
            statement, parameters = sql.SCAN_AFTER[fields], (_bound(after), end, limit)
        rows, complete = self._read_page(statement, parameters, fields, limit)
        documents, broken = documents_of(rows, DOCUMENT[fields], DOCUMENTS[fields])
        return DocumentPage(documents, None if complete else shown(rows[-1][0]), broken)

    def _read_page(self, statement: str, parameters: Row, fields: Fields, limit: int) -> tuple[list[Row], bool]:
        """Return what `_page` does, whatever is in the rows.

        It is what `Opened.read` does with `reading` of `_page`, written out: a short listing takes so little time that
        three calls more show.
        """
        opened = self._opened
        now = monotonic()
        if now > opened.look_at:
            opened.look_to_read(now)
        connections = self._connections
        connection = connections.take(sys._getframe())
        connection.deadline[0] = until()
        try:
            found: tuple[list[Row], bool] | None = None
            try:
                found = _page(connection, statement, parameters, fields, limit)
            except sqlite3.OperationalError as error:
                if not is_damage(error):
                    raise
            if found is None:  # not inside `except`: the error quotes stored text, and would be chained to the next one
                found = reading(connection, _page, None, (connection, statement, parameters, fields, limit))
        except BaseException as error:
            give_up(connections, connection, error, self._settings)
            raise
        connection.deadline[0] = inf
        connections.give_back(connection, now)
        return found

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        user = range.start.index(":") + 1
        return [prefix for (prefix,) in self._opened.fetch(sql.NAMESPACES, (*range, user, at))]

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`."""
        stats = Stats()
        with self._opened.lent() as connection:
            rows = reading(connection, lambda: connection.execute(sql.STATS, (*range, at)))
            while some := reading(connection, lambda: rows.fetchmany(_ROWS)):
                for id, size, *agents, updated_at in some:
                    stats.add(id, size, agents, updated_at)
        return stats.by_namespace()

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        ((count,),) = self._opened.fetch(sql.COUNT, (*range, at))
        return int(count)

    def document_count(self) -> int:
        """See `Backend.document_count`."""
        ((count,),) = self._opened.fetch(sql.COUNT_ALL, ())
        return int(count)


def _times_of(both: object) -> tuple[str, str] | None:
    """Return when a document expires and when it was created from the first column of a read of a bare value.

    It is ``None`` if they are not what the store writes: the columns one by one show what they are.
    """
    if type(both) is not bytes or len(both) != 2 * TIME_LENGTH + 1 or both[TIME_LENGTH] != ord(" "):
        return None
    try:
        text = both.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text[:TIME_LENGTH], text[TIME_LENGTH + 1 :]


def _page(
    connection: Connection, statement: str, parameters: Row, fields: Fields, limit: int
) -> tuple[list[Row], bool]:
    """Return rows up to the size of a page, and whether there are no more."""
    cursor = connection.execute(statement, parameters)
    rows = cursor.fetchmany(limit if fields is _KEY else min(limit, AT_FIRST))
    if len(rows) == limit:
        return rows, False
    if len(rows) < AT_FIRST or fields is _KEY or are_all(rows, cursor, limit):
        return rows, True
    cursor.close()
    return rows, False


def _bound(id: str) -> str | bytes:
    """Return the value for an id in a statement that casts it to text."""
    return stored_id(id) or id
