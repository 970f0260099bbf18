"""The adapter: each method of the contract is one statement, or one transaction."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias, TypeVar, cast

from datastore.administration import Finding
from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    Delete,
    Document,
    DocumentPage,
    Fields,
    IdRange,
    Outcome,
    Plan,
    Put,
    Query,
    Restore,
    Write,
)
from datastore.documents import damaged
from datastore.errors import BackendUnavailableError
from datastore.ids import EVERYTHING
from datastore.queries.tree import Path
from datastore.values import decode, encode, merge_metadata
from datastore_sqlite import indexes
from datastore_sqlite import statements as sql
from datastore_sqlite.connections import NAME, Connection, OneConnection, Pool, Settings, translate
from datastore_sqlite.damage import documents_of, is_damage, reading, shown, size_of, stored_id
from datastore_sqlite.examining import examine
from datastore_sqlite.finding import PAGE_BYTES, SqlitePlan, make_plan, read_page
from datastore_sqlite.schema import open_file

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]

_WITH_VALUE = Fields.VALUE
_VALUE = 4  # the index of the value in a row that has one


class SqliteBackend(Backend):
    """Documents in one SQLite file.

    Writers of one process take turns at a lock of their own: waiting there is fair and costs nothing, while SQLite's
    own waiting, which is left for other processes, sleeps and looks again.
    """

    name = NAME

    def __init__(self, settings: Settings) -> None:
        """Open the file, and make it if it is not there.

        Raises:
            ConfigurationError: If the path cannot hold a store, or the file is something else.
            PermissionDeniedError: If the operating system refuses access.
            BackendUnavailableError: If the file is locked or damaged.
        """
        self.capabilities = promises(settings)
        self._settings = settings
        try:
            first = open_file(settings)
        except sqlite3.Error as error:
            raise translate(error, settings) from error
        self._connections: OneConnection | Pool
        self._scanning: OneConnection | Pool
        if settings.path is None:
            self._connections = self._scanning = OneConnection(first)
        else:
            self._connections = Pool(settings, first)
            # Whoever reads a namespace from end to end must not leave all of it mapped in this process's memory.
            self._scanning = Pool(settings, mmap=False)
        self._writing = threading.Lock()

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        connection = self._connections.take()
        try:
            if len(ids) == 1:
                try:
                    row = connection.execute(sql.READ_ONE[fields], ids).fetchone()
                except sqlite3.OperationalError as error:
                    if not is_damage(error):
                        raise
                    return _look(connection, fields, ids)
                if row is None:
                    return {}
                id = ids[0]
                try:
                    if fields is _WITH_VALUE:  # the hot path of `get`
                        created_at, revision, expires_at, value = row
                        return {id: Document(id, created_at, revision, expires_at, decode(value))}
                    return {id: _DOCUMENT[fields]((id, *row))}
                except Exception:  # noqa: BLE001, S110 - the closer look says what it is
                    pass
            return _look(connection, fields, ids)
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        finally:
            self._connections.give_back(connection)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        if len(writes) == 1:
            return self._write(lambda connection: [_apply(connection, writes[0])])
        return self._write(lambda connection: _in_transaction(connection, lambda: _apply_all(connection, writes)))

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        end = range.end if range is not EVERYTHING else b""  # behind all text, also what is no UTF-8
        if after is None or after < range.start:
            statement, parameters = sql.SCAN[fields], tuple[Any, ...]((range.start, end, limit))
        else:
            statement, parameters = sql.SCAN_AFTER[fields], (_bound(after), end, limit)
        connection = self._scanning.take()
        try:
            rows, complete = reading(connection, lambda: _page(connection, statement, parameters, fields, limit))
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        finally:
            self._scanning.give_back(connection)
        documents, broken = documents_of(rows, _DOCUMENT[fields])
        return DocumentPage(documents, None if complete else shown(rows[-1][0]), broken)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        most = sql.ACCESS_BATCHES[-1]
        for start in range(0, len(accesses), most):
            self._write(partial(_count, accesses=accesses[start : start + most]))

    def close(self) -> None:
        """See `Backend.close`."""
        self._scanning.close()
        self._connections.close()

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `datastore.backend.ListsNamespaces`."""
        user = range.start.index(":") + 1
        return [prefix for (prefix,) in self._read(self._connections, sql.NAMESPACES, (*range, user, at))]

    def count(self, range: IdRange, at: str) -> int:
        """See `datastore.backend.CountsRange`."""
        ((count,),) = self._read(self._scanning, sql.COUNT, (*range, at))
        return int(count)

    def clear(self, range: IdRange, at: str) -> int:
        """See `datastore.backend.ClearsRange`."""

        def clear(connection: Connection) -> int:
            (live,) = connection.execute(sql.COUNT, (*range, at)).fetchone()
            connection.execute(sql.CLEAR, range)
            return int(live)

        return self._write(lambda connection: _in_transaction(connection, lambda: clear(connection)))

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `datastore.backend.Finds`."""
        return make_plan(range, query, self._indexes)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `datastore.backend.Finds`."""
        connection = self._scanning.take()
        try:
            return read_page(connection, range, cast(SqlitePlan, plan), fields, limit, after, _DOCUMENT[fields])
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        finally:
            self._scanning.give_back(connection)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `datastore.backend.DeclaresIndexes`."""
        index = indexes.declare(fields, encoded_namespace)
        if index.name not in (known.name for known in self._indexes()):
            self._write(lambda connection: _in_transaction(connection, lambda: _declare(connection, index.statement)))
        return index.name

    def purge(self, at: str) -> int:
        """See `datastore.backend.ReclaimsExpired`."""
        return self._write(lambda connection: connection.execute(sql.PURGE, (at,)).rowcount)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `datastore.backend.MovesDocuments`."""
        return self.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `datastore.backend.MovesDocuments`."""
        ((count,),) = self._read(self._scanning, sql.COUNT_ALL, ())
        return int(count)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `datastore.backend.MovesDocuments`."""
        return self._write(
            lambda connection: _in_transaction(connection, lambda: [_restore(connection, item) for item in restores])
        )

    def examine(self, now: float) -> list[Finding]:
        """See `datastore.administration.Examines`."""
        connection = self._scanning.take()
        try:
            return examine(connection, self._settings)
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        finally:
            self._scanning.give_back(connection)

    def drop(self) -> None:
        """See `datastore.administration.DropsDatabase`."""
        self.close()
        if (path := self._settings.path) is not None:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def after_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        self._writing = threading.Lock()
        self._connections.after_fork()
        self._scanning.after_fork()

    def _indexes(self) -> list[indexes.Index]:
        """Return the declared indexes: asked each time, because other processes may make and remove some."""
        return indexes.known(self._read(self._scanning, indexes.LIST, ()))

    def _read(self, connections: OneConnection | Pool, statement: str, parameters: Sequence[object]) -> list[Row]:
        connection = connections.take()
        try:
            return connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        finally:
            connections.give_back(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        if not self._writing.acquire(timeout=self._settings.timeout or -1):
            raise BackendUnavailableError(
                f"other threads have been writing for {self._settings.timeout:g} s; nothing was written", backend=NAME
            )
        try:
            connection = self._connections.take()
            try:
                return work(connection)
            except sqlite3.Error as error:
                raise translate(error, self._settings) from error
            finally:
                self._connections.give_back(connection)
        finally:
            self._writing.release()


def promises(settings: Settings) -> Capabilities:
    """Return what a store promises."""
    in_file = settings.path is not None
    return Capabilities(persistent=in_file, shared=in_file, customer_databases=True)


def _bare(row: Row) -> Document:
    return Document(*row)


def _with_value(row: Row) -> Document:
    id, created_at, revision, expires_at, value = row
    return Document(id, created_at, revision, expires_at, decode(value))


def _whole(row: Row) -> Document:
    id, created_at, revision, expires_at, value, metadata, *rest = row
    return Document(id, created_at, revision, expires_at, decode(value), decode(metadata), *rest)


_DOCUMENT: Sequence[Callable[[Row], Document]] = (_bare, _with_value, _whole)
"""What makes a document of a row, by `Fields`."""


def _look(connection: Connection, fields: Fields, ids: Sequence[str]) -> dict[str, Document]:
    """Read documents, whatever is in their rows; raise for the first that is damaged."""
    statement = sql.read_many(fields, len(ids))
    rows = reading(connection, lambda: connection.execute(statement, ids).fetchall())
    documents, broken = documents_of(rows, _DOCUMENT[fields])
    if broken:
        raise broken[0]
    return {document.id: document for document in documents}


def _page(
    connection: Connection, statement: str, parameters: Row, fields: Fields, limit: int
) -> tuple[list[Row], bool]:
    """Return rows up to the size of a page, and whether these are all that there are."""
    cursor = connection.execute(statement, parameters)
    if fields is Fields.KEY:
        rows = cursor.fetchall()
        return rows, len(rows) < limit
    rows, size = [], 0
    for row in cursor:
        rows.append(row)
        size += size_of(row[_VALUE])
        if size > PAGE_BYTES:
            cursor.close()
            return rows, False
    return rows, len(rows) < limit


def _in_transaction(connection: Connection, work: Callable[[], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return result


def _declare(connection: Connection, statement: str) -> None:
    """Make an index; a row that it cannot hold is named."""
    try:
        connection.execute(statement).close()
        return
    except sqlite3.OperationalError as error:
        if not is_damage(error):
            raise
    row = reading(connection, lambda: connection.execute(sql.MALFORMED).fetchone())
    raise damaged("unknown" if row is None else shown(row[0]), "nothing in it can be indexed: it is no JSON")


def _count(connection: Connection, accesses: Sequence[Access]) -> None:
    size = next(size for size in sql.ACCESS_BATCHES if size >= len(accesses))
    nothing = [None] * (len(Access._fields) * (size - len(accesses)))  # rows that match no document
    connection.execute(sql.record_access(size), [*chain.from_iterable(accesses), *nothing])


def _apply_all(connection: Connection, writes: Sequence[Write]) -> list[Outcome]:
    rows = [_row(write) for write in writes if isinstance(write, Put) and _is_plain(write)]
    if len(rows) < len(writes):
        return [_apply(connection, write) for write in writes]
    if connection.executemany(sql.SET, rows).rowcount < len(rows):
        connection.executemany(sql.ADD, rows)  # some are expired: this replaces those, and only those
    return [Outcome(True)] * len(rows)


def _is_plain(put: Put) -> bool:
    return not (put.metadata or put.if_absent or put.if_revision)


def _apply(connection: Connection, write: Write) -> Outcome:
    if isinstance(write, Delete):
        return _delete(connection, write)
    try:
        if write.if_revision is not None:
            done = _set_if_revision(connection, write)
        elif write.if_absent:
            done = connection.execute(sql.ADD, _row(write)).rowcount == 1
        else:
            done = _set(connection, write)
    except sqlite3.OperationalError as error:
        if "user-defined function" not in str(error):
            raise
        refused, connection.not_merged = connection.not_merged, None
        return Outcome(False, error=refused or damaged(write.id, "its metadata cannot be merged with"))
    return Outcome(True) if done else _outdated(connection, write)


def _set(connection: Connection, put: Put) -> bool:
    row = _row(put)
    while True:
        if put.metadata:
            stored = connection.execute(sql.SET_METADATA, (*row, encode(put.metadata))).rowcount
        else:
            stored = connection.execute(sql.SET, row).rowcount
        # Neither statement changes a row that the other is for: expired and live. Between the two, another process
        # may turn the one into the other; then this begins anew.
        if stored or connection.execute(sql.ADD, row).rowcount:
            return True


def _set_if_revision(connection: Connection, put: Put) -> bool:
    changes = (put.at, put.revision, put.expires_at, put.json)
    condition = (put.id, put.if_revision, put.at)
    if put.metadata:
        parameters = (*changes, encode(put.metadata), *condition)
        return connection.execute(sql.SET_IF_REVISION_METADATA, parameters).rowcount == 1
    return connection.execute(sql.SET_IF_REVISION, (*changes, *condition)).rowcount == 1


def _delete(connection: Connection, delete: Delete) -> Outcome:
    if delete.if_revision is None:
        unreadable = stored_id(delete.id)
        if unreadable is None:
            row = connection.execute(sql.DELETE, (delete.id, delete.at)).fetchone()
        else:
            row = connection.execute(sql.DELETE_BYTES, (unreadable, delete.at)).fetchone()
        return Outcome(row is not None and bool(row[0]))
    removed = connection.execute(sql.DELETE_IF_REVISION, (delete.id, delete.if_revision, delete.at)).rowcount
    return Outcome(True) if removed else _outdated(connection, delete)


def _restore(connection: Connection, restore: Restore) -> Outcome:
    old = restore.document
    row = (
        *(restore.user_id, restore.namespace, restore.key, old.created_by_agent, old.created_at, old.updated_at),
        *(old.revision, old.expires_at, encode(old.metadata or {}, "metadata"), restore.json, old.access_count),
        *(old.last_accessed_by_agent, old.last_accessed_at),
    )
    if restore.if_revision is None:
        stored = connection.execute(sql.RESTORE, (old.id, *row, restore.at)).rowcount
    else:
        condition = (old.id, restore.if_revision, restore.at)
        stored = connection.execute(sql.RESTORE_OVER, (*row, *condition)).rowcount
    return Outcome(True) if stored else _outdated(connection, restore)


def _outdated(connection: Connection, write: Write | Restore) -> Outcome:
    """Return the outcome of a write whose precondition failed."""
    row = reading(connection, lambda: connection.execute(sql.REVISION, (write.id, write.at)).fetchone())
    if row is None or type(row[0]) is str:
        return Outcome(False, None if row is None else row[0])
    return Outcome(False, error=damaged(write.id, "its revision is no text"))


def _bound(id: str) -> str | bytes:
    """Return what stands for an id in a statement that casts it to text."""
    return stored_id(id) or id


def _row(put: Put) -> Row:
    """Return the parameters of `statements.SET` and its kin."""
    metadata = "{}" if not put.metadata else encode(merge_metadata({}, put.metadata), "metadata")
    return (
        put.id,
        put.user_id,
        put.namespace,
        put.key,
        put.agent,
        put.at,
        put.at,
        put.revision,
        put.expires_at,
        metadata,
        put.json,
    )
