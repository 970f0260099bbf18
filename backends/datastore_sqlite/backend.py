"""The adapter: each method of the contract is one statement, or one transaction."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from math import inf
from time import monotonic
from typing import Any, TypeAlias, TypeVar, cast

from datastore.adapters.batching import batches, batches_by_size
from datastore.administration import Diagnostic
from datastore.backend import (
    DONE,
    Access,
    Backend,
    Capabilities,
    Delete,
    Document,
    DocumentPage,
    Fields,
    Forgotten,
    IdRange,
    Outcome,
    Plan,
    Put,
    Query,
    Restore,
    Write,
)
from datastore.deadlines import left, until
from datastore.documents import UNDECODABLE, damaged
from datastore.errors import DamagedRecordError, DataStoreError, ValueTooLargeError
from datastore.ids import EVERYTHING
from datastore.queries.tree import Path
from datastore.turns import Turns
from datastore.values import decode, encode, merge_metadata
from datastore_sqlite import indexes
from datastore_sqlite import statements as sql
from datastore_sqlite.admin import examine
from datastore_sqlite.client import NAME, Connection, File, Settings
from datastore_sqlite.damage import documents_of, is_damage, reading, shown, size_of, stored_id
from datastore_sqlite.failures import translate
from datastore_sqlite.finding import PAGE_BYTES, SqlitePlan, make_plan, read_page
from datastore_sqlite.pools import Lent, OneConnection, Pool, ReadingPool, no_turn
from datastore_sqlite.schema import check_version, open_file, open_to_read

T = TypeVar("T")
Item = TypeVar("Item")
Row: TypeAlias = tuple[Any, ...]

_WITH_VALUE = Fields.VALUE
_VALUE = 4  # the index of the value in a row that has a value
_WRITING = "writing to the file"
_PART_BYTES = 4_000_000
"""A batch is cut where its values exceed this many characters: a transaction then takes some tens of milliseconds."""
_LOOK_SECONDS = 0.01
"""For this long, reads trust that the file is still the one that was opened. Every write checks it."""


class SqliteBackend(Backend):
    """Documents in one SQLite file.

    Writers of one process take turns in the order in which they come. SQLite's own waiting, which sleeps and looks
    again, is left for other processes. A large batch is written in parts, and other writers have their turn between
    them.
    """

    name = NAME
    capabilities = Capabilities(persistent=True, shared=True, at_once=True, tenant_databases=True)

    def __init__(self, settings: Settings) -> None:
        """Open the file, and create it if it does not exist.

        Raises:
            ConfigurationError: If the path cannot hold a store, or the file is something else.
            PermissionDeniedError: If the operating system refuses access.
            BackendUnavailableError: If the file is locked.
            BackendUnusableError: If the file is damaged.
        """
        self.capabilities = promises(settings)
        self._settings = settings
        self._turns = Turns(_WRITING)
        self._written_by: Connection | None = None  # the writer that has the turn
        self._connections: OneConnection | Pool
        self._file: File | None = None
        self._look_at = inf  # when a read checks again whether the file is still the one that was opened
        try:
            if settings.read_only and settings.path is not None:
                settings, first = open_to_read(settings, settings.path)
                self._settings = settings
            else:
                first = open_file(settings)
        except sqlite3.Error as error:
            raise translate(error, settings) from error
        if settings.path is None:
            self._connections = OneConnection(settings, first)
        else:
            self._file = File.at(settings.path)
            self._connections = (ReadingPool if settings.read_only else Pool)(settings, self._file, first)
            self._look_at = 0.0

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        now = monotonic()
        if now > self._look_at:
            self._look(now)
        connection = self._connections.take(sys._getframe())
        try:
            if len(ids) == 1:
                row = connection.execute(sql.READ_ONE[fields], ids).fetchone()
            else:
                rows = connection.execute(sql.read_many(fields, len(ids)), ids).fetchall()
        except BaseException as error:
            self._connections.discard(connection)
            if isinstance(error, sqlite3.Error):
                if is_damage(error):
                    return self._read_closely(ids, fields)
                raise translate(error, self._settings) from error
            raise
        self._connections.give_back(connection, now)
        if len(ids) > 1:
            documents, broken = documents_of(rows, _DOCUMENT[fields])
            if broken:
                raise broken[0]
            return {document.id: document for document in documents}
        if row is None:
            return {}
        id = ids[0]
        try:
            if fields is _WITH_VALUE:  # the hot path of `get`
                created_at, revision, expires_at, value = row
                return {id: Document(id, created_at, revision, expires_at, decode(value))}
            return {id: _DOCUMENT[fields]((id, *row))}
        except UNDECODABLE:  # the closer look finds out what it is
            return self._read_closely(ids, fields)

    def _read_closely(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """Read documents, whatever is in their rows. Raise the error for the first damaged one."""
        statement = sql.read_many(fields, len(ids))
        with self._lent() as connection:
            rows = reading(connection, lambda: connection.execute(statement, ids).fetchall())
        documents, broken = documents_of(rows, _DOCUMENT[fields])
        if broken:
            raise broken[0]
        return {document.id: document for document in documents}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        if len(writes) == 1:
            return self._write(lambda connection: [_apply(connection, writes[0])])
        outcomes: list[Outcome] = []
        for part in batches_by_size(writes, _json_size, _PART_BYTES):
            try:
                outcomes += self._write(partial(_in_transaction, partial(_apply_all, writes=part)))
            except DataStoreError as error:
                if not outcomes:
                    raise
                return outcomes + [Outcome(False, error=error)] * (len(writes) - len(outcomes))
        return outcomes

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        end = range.end if range is not EVERYTHING else b""  # after all text, even text that is not UTF-8
        if reverse and (after is None or after >= range.end):
            statement, parameters = sql.SCAN_BACK[fields], tuple[Any, ...]((range.start, end, limit))
        elif reverse:
            statement, parameters = sql.SCAN_BEFORE[fields], (range.start, _bound(cast(str, after)), limit)
        elif after is None or after < range.start:
            statement, parameters = sql.SCAN[fields], (range.start, end, limit)
        else:
            statement, parameters = sql.SCAN_AFTER[fields], (_bound(after), end, limit)
        with self._lent() as connection:
            rows, complete = reading(connection, lambda: _page(connection, statement, parameters, fields, limit))
        documents, broken = documents_of(rows, _DOCUMENT[fields])
        return DocumentPage(documents, None if complete else shown(rows[-1][0]), broken)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        most = sql.ACCESS_BATCHES[-1]
        for some in batches(accesses, most):
            self._write(partial(_count, accesses=some))

    def close(self) -> None:
        """See `Backend.close`."""
        self._connections.close()

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        user = range.start.index(":") + 1
        return [prefix for (prefix,) in self._read(sql.NAMESPACES, (*range, user, at))]

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        ((count,),) = self._read(sql.COUNT, (*range, at))
        return int(count)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""

        def clear(connection: Connection) -> int:
            (live,) = connection.execute(sql.COUNT, (*range, at)).fetchone()
            connection.execute(sql.CLEAR, range)
            return int(live)

        return self._write(partial(_in_transaction, clear))

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""

        def forget(connection: Connection) -> Forgotten:
            (live,) = connection.execute(sql.COUNT, (*range, at)).fetchone()
            return Forgotten(live, connection.execute(sql.CLEAR, range).rowcount - live)

        return self._write(partial(_in_transaction, forget))

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return make_plan(range, query, self._indexes)

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """See `Backend.find`."""
        make, asked = _DOCUMENT[fields], cast(SqlitePlan, plan)
        with self._lent() as connection:
            return read_page(connection, range, asked, fields, limit, after, make, reverse=reverse)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`."""
        index = indexes.declare(fields, encoded_namespace)
        if index.name not in (known.name for known in self._indexes()):
            self._write(partial(_in_transaction, partial(_declare, statement=index.statement)))
        return index.name

    def purge(self, at: str) -> int:
        """See `Backend.purge`."""
        return self._write(lambda connection: connection.execute(sql.PURGE, (at,)).rowcount)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`."""
        return self.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `Backend.document_count`."""
        ((count,),) = self._read(sql.COUNT_ALL, ())
        return int(count)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`."""
        outcomes: list[Outcome] = []
        for part in batches_by_size(restores, _restored_size, _PART_BYTES):
            try:
                outcomes += self._write(partial(_in_transaction, partial(_restore_all, restores=part)))
            except DataStoreError as error:
                if not outcomes:
                    raise
                return outcomes + [Outcome(False, error=error)] * (len(restores) - len(outcomes))
        return outcomes

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`."""
        with self._lent() as connection:
            return examine(connection, self._settings)

    def drop(self) -> None:
        """See `Backend.drop`."""
        self.close()
        if (path := self._settings.path) is not None:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def before_fork(self) -> None:
        """See `Backend.before_fork`."""
        self._written_by = None
        self._connections.before_fork()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._turns.reset()
        self._written_by = None
        self._connections.after_fork()

    def _indexes(self) -> list[indexes.Index]:
        """Return the declared indexes. They are read each time, because other processes may create and remove some."""
        return indexes.known(self._read(indexes.LIST, ()))

    def _read(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        with self._lent() as connection:
            return connection.execute(statement, parameters).fetchall()

    def _lent(self) -> Lent:
        now = monotonic()
        if now > self._look_at:
            self._look(now)
        return self._connections.lent(sys._getframe(1))

    def _write(self, work: Callable[[Connection], T]) -> T:
        now = monotonic()
        if now > self._look_at:
            self._look(now)
        # Not kept in a variable: a frame that refers to itself is garbage that only the garbage collector finds.
        try:
            turn = self._turns.take(self._settings.timeout, sys._getframe())
        except TimeoutError as error:
            raise no_turn(error) from error
        try:
            if self._written_by is not None:  # an interrupt came before it could be given back
                self._connections.discard(self._written_by)
            self._written_by = connection = self._connections.take(sys._getframe())
            try:
                connection.deadline[0] = end = until()
                if connection.waits_less or end < now + self._settings.timeout:
                    _bound_waiting(connection, self._settings)
                result = work(connection)
            except BaseException as error:
                self._connections.discard(connection)
                self._written_by = None
                if isinstance(error, sqlite3.Error):
                    if self._file is not None:
                        self._file.check()
                    raise translate(error, self._settings) from error
                raise
            connection.deadline[0] = inf
            self._written_by = None  # before another writer can have it
            self._connections.give_back(connection, now)
            if self._file is not None:
                self._file.check()  # after the write: what went into a deleted file must not be reported as stored
            return result
        finally:
            turn.leave()

    def _look(self, now: float) -> None:
        """Check that the file is still the one that was opened, and that this version knows its format."""
        if self._file is None:
            return
        self._file.check()
        with self._connections.lent(sys._getframe()) as connection:
            check_version(connection, self._settings)
        self._look_at = now + _LOOK_SECONDS


def promises(settings: Settings) -> Capabilities:
    """Return the capabilities of a store."""
    in_file = settings.path is not None
    return replace(SqliteBackend.capabilities, persistent=in_file, shared=in_file)


def _bare(row: Row) -> Document:
    return Document(*row)


def _with_value(row: Row) -> Document:
    id, created_at, revision, expires_at, value = row
    return Document(id, created_at, revision, expires_at, decode(value))


def _whole(row: Row) -> Document:
    id, created_at, revision, expires_at, value, metadata, *rest = row
    return Document(id, created_at, revision, expires_at, decode(value), decode(metadata), *rest)


_DOCUMENT: Sequence[Callable[[Row], Document]] = (_bare, _with_value, _whole)
"""The functions that make a document from a row, by `Fields`."""


def _page(
    connection: Connection, statement: str, parameters: Row, fields: Fields, limit: int
) -> tuple[list[Row], bool]:
    """Return rows up to the size of a page, and whether there are no more."""
    cursor = connection.execute(statement, parameters)
    if fields is Fields.KEY:
        rows = cursor.fetchall()
        return rows, len(rows) < limit
    rows, size = [], 0
    try:
        for row in cursor:
            rows.append(row)
            size += size_of(row[_VALUE])
            if size > PAGE_BYTES:
                return rows, False
    finally:
        cursor.close()
    return rows, len(rows) < limit


def _json_size(write: Write) -> int:
    return len(write.json) if isinstance(write, Put) else 0


def _restored_size(restore: Restore) -> int:
    return len(restore.json)


def _bound_waiting(connection: Connection, settings: Settings) -> None:
    """Let SQLite wait for other processes until the deadline of the call, but no longer than the settings say."""
    remaining = left()
    connection.waits_less = remaining < settings.timeout
    connection.execute(f"PRAGMA busy_timeout={int(min(remaining, settings.timeout) * 1000)}")


def _in_transaction(work: Callable[[Connection], T], connection: Connection) -> T:
    connection.execute("BEGIN IMMEDIATE")  # `_write` discards the connection if anything happens in between
    result = work(connection)
    connection.execute("COMMIT")
    return result


def _declare(connection: Connection, statement: str) -> None:
    """Create an index. If it cannot hold a row, the error names that row."""
    try:
        connection.execute(statement).close()
        return
    except sqlite3.OperationalError as error:
        if not is_damage(error):
            raise
    row = reading(connection, lambda: connection.execute(sql.MALFORMED).fetchone())
    raise damaged("unknown" if row is None else shown(row[0]), "nothing in it can be indexed: it is not JSON")


def _count(connection: Connection, accesses: Sequence[Access]) -> None:
    size = next(size for size in sql.ACCESS_BATCHES if size >= len(accesses))
    nothing = [None] * (len(Access._fields) * (size - len(accesses)))  # rows that match no document
    connection.execute(sql.record_access(size), [*chain.from_iterable(accesses), *nothing])


def _apply_all(connection: Connection, writes: Sequence[Write]) -> list[Outcome]:
    rows = [_row(write) for write in writes if isinstance(write, Put) and _is_plain(write)]
    if len(rows) < len(writes):
        return [_apply(connection, write) for write in writes]
    if connection.executemany(sql.SET, rows).rowcount < len(rows):
        connection.executemany(sql.ADD, rows)  # some rows are expired: this replaces those and no others
    return [DONE] * len(rows)


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
    except (ValueTooLargeError, DamagedRecordError) as error:
        return Outcome(False, error=error)
    return DONE if done else _outdated(connection, write)


def _set(connection: Connection, put: Put) -> bool:
    row = _row(put)
    if put.metadata:
        return _set_merging(connection, put, row)
    while True:
        # The first statement changes only a live row, and the second only an expired one. Between the two, another
        # process may turn one into the other; then this starts over.
        if connection.execute(sql.SET, row).rowcount or connection.execute(sql.ADD, row).rowcount:
            return True


def _set_merging(connection: Connection, put: Put, row: Row) -> bool:
    """Store a value, and metadata merged with the stored ones, unless another process changes those in between."""
    while True:
        merged = _merged(connection, put)
        if merged is None:
            stored = connection.execute(sql.ADD, row).rowcount
        else:
            stored = connection.execute(sql.SET_METADATA, (*row, *merged)).rowcount
        if stored:
            return True


def _set_if_revision(connection: Connection, put: Put) -> bool:
    changes = (put.at, put.revision, put.expires_at, put.json)
    condition = (put.id, put.if_revision, put.at)
    if not put.metadata:
        return connection.execute(sql.SET_IF_REVISION, (*changes, *condition)).rowcount == 1
    merged = _merged(connection, put)  # changes only with the revision, which the write checks
    if merged is None:
        return False
    return connection.execute(sql.SET_IF_REVISION_METADATA, (*changes, merged[0], *condition)).rowcount == 1


def _merged(connection: Connection, put: Put) -> tuple[str, str] | None:
    """Return the metadata to store and the stored metadata, or ``None`` if there is no live document.

    Merging is done here and not in the statement: if a signal handler raised in a function that SQLite calls, the
    exception would be lost.
    """
    found = reading(connection, lambda: connection.execute(sql.METADATA, (put.id, put.at)).fetchone())
    if found is None:
        return None
    stored: str = found[0]
    try:
        current = dict(decode(stored))
    except UNDECODABLE:
        raise damaged(put.id, "its metadata cannot be merged with new metadata") from None
    return encode(merge_metadata(current, put.metadata or {}), "metadata"), stored


def _delete(connection: Connection, delete: Delete) -> Outcome:
    if delete.if_revision is None:
        unreadable = stored_id(delete.id)
        if unreadable is None:
            row = connection.execute(sql.DELETE, (delete.id, delete.at)).fetchone()
        else:
            row = connection.execute(sql.DELETE_BYTES, (unreadable, delete.at)).fetchone()
        return Outcome(row is not None and bool(row[0]))
    removed = connection.execute(sql.DELETE_IF_REVISION, (delete.id, delete.if_revision, delete.at)).rowcount
    return DONE if removed else _outdated(connection, delete)


def _restore_all(connection: Connection, restores: Sequence[Restore]) -> list[Outcome]:
    return [_restore(connection, restore) for restore in restores]


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
    return DONE if stored else _outdated(connection, restore)


def _outdated(connection: Connection, write: Write | Restore) -> Outcome:
    """Return the outcome of a write whose precondition failed."""
    row = reading(connection, lambda: connection.execute(sql.REVISION, (write.id, write.at)).fetchone())
    if row is None or type(row[0]) is str:
        return Outcome(False, None if row is None else row[0])
    return Outcome(False, error=damaged(write.id, "its revision is not text"))


def _bound(id: str) -> str | bytes:
    """Return the value for an id in a statement that casts it to text."""
    return stored_id(id) or id


def _row(put: Put) -> Row:
    """Return the parameters of `statements.SET` and the statements like it."""
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
