"""Writing: each method is one transaction, or one for each part of a large batch."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from math import inf
from time import monotonic
from typing import TypeVar

from datastore.adapters.batching import batches, batches_by_size
from datastore.backend import DONE, Access, Delete, Forgotten, IdRange, Outcome, Put, Restore, Touch, Write
from datastore.contents import without_content
from datastore.deadlines import left, until
from datastore.documents import UNDECODABLE, damaged
from datastore.errors import DamagedRecordError, DataStoreError, LeaseLostError, ValueTooLargeError
from datastore.fences import is_refused, lease_lost
from datastore.ids import EVERYTHING
from datastore.turns import BargingTurns
from datastore.values import decode, encode, merge_metadata
from datastore_sqlite import statements as sql
from datastore_sqlite.client import Connection, Settings
from datastore_sqlite.codec import Row, content_row_of, restored_row, row_of
from datastore_sqlite.damage import is_damage, reading, shown, stored_id
from datastore_sqlite.failures import translate
from datastore_sqlite.opened import Opened
from datastore_sqlite.pools import no_turn

T = TypeVar("T")

_WRITING = "writing to the file"
_PART_BYTES = 4_000_000
"""A batch is cut where its values exceed this many characters: a transaction then takes some tens of milliseconds."""


class Writer:
    """Writes documents.

    Writers of one process take turns. A write of one record may go before a few others, and no part of a batch does.
    SQLite's own waiting, which sleeps and looks again, is left for other processes. A large batch is written in parts,
    and other writers have their turn between them.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._connections = opened.connections
        self._settings = opened.settings
        self._file = opened.file
        self._turns = BargingTurns(_WRITING)
        self._written_by: Connection | None = None  # the writer that has the turn

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        if len(writes) == 1:
            return self._write(lambda connection: [_apply(connection, writes[0])], short=True)
        outcomes: list[Outcome] = []
        for part in batches_by_size(writes, _json_size, _PART_BYTES):
            try:
                outcomes += self._write(partial(_in_transaction, partial(_apply_all, writes=part)))
            except DataStoreError as error:
                if not outcomes:
                    raise
                return outcomes + [Outcome(False, error=error)] * (len(writes) - len(outcomes))
        return outcomes

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

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        most = sql.ACCESS_BATCHES[-1]
        for some in batches(accesses, most):
            self._write(partial(_count, accesses=some))

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

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`."""
        if range is EVERYTHING:  # even what has an id that is not text
            return self._write(lambda connection: connection.execute(sql.PURGE, (at,)).rowcount)
        return self._write(lambda connection: connection.execute(sql.PURGE_RANGE, (at, *range)).rowcount)

    def make_index(self, statement: str) -> None:
        """Create an index. If it cannot hold a row, the error names that row."""
        self._write(partial(_in_transaction, partial(_make_index, statement=statement)))

    def before_fork(self) -> None:
        """See `Backend.before_fork`."""
        self._written_by = None

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._turns.reset()
        self._written_by = None

    def _write(self, work: Callable[[Connection], T], *, short: bool = False) -> T:
        now = monotonic()
        if now > self._opened.look_at:
            self._opened.look(now)
        gate, place = self._connections.gate if short else None, None
        # Not kept in a variable: a frame that refers to itself is garbage that only the garbage collector finds.
        try:
            turn = self._turns.take(self._settings.timeout, sys._getframe(), short=short)
        except TimeoutError as error:
            raise no_turn(error) from error
        try:
            place = gate.enter(ahead=True) if gate else None
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
            if gate and place:
                gate.leave(place)


def _json_size(write: Write) -> int:
    return len(write.json) + len(write.content or b"") if isinstance(write, Put) else 0


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


def _make_index(connection: Connection, statement: str) -> None:
    """Make an index; a row that it cannot hold is named."""
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
    puts = [write for write in writes if isinstance(write, Put) and _is_plain(write)]
    if len(puts) < len(writes):
        return [_apply(connection, write) for write in writes]
    for statements, rows in (
        ((sql.SET, sql.ADD), [row_of(put) for put in puts if put.content is None]),
        ((sql.SET_CONTENT, sql.ADD_CONTENT), [content_row_of(put) for put in puts if put.content is not None]),
    ):
        if rows and connection.executemany(statements[0], rows).rowcount < len(rows):
            connection.executemany(statements[1], rows)  # some rows are expired: this replaces those and no others
    return [DONE] * len(puts)


def _is_plain(put: Put) -> bool:
    return not (put.metadata or put.if_absent or put.if_revision or put.keep_expiry or put.fence)


def _apply(connection: Connection, write: Write) -> Outcome:
    if isinstance(write, Delete):
        return _delete(connection, write)
    if isinstance(write, Touch):
        return _touch(connection, write)
    if write.content is not None:
        if _is_plain(write):
            return _apply_all(connection, [write])[0]
        write = without_content(write)
    try:
        if write.if_revision is not None:
            done = _set_if_revision(connection, write)
        elif write.if_absent:
            done = _upsert(connection, write, sql.ADD, row_of(write))
        else:
            done = _set(connection, write)
    except (ValueTooLargeError, DamagedRecordError, LeaseLostError) as error:
        return Outcome(False, error=error)
    return DONE if done else _outdated(connection, write)


def _upsert(connection: Connection, put: Put, statement: str, row: Row, merged: tuple[str, str] | None = None) -> bool:
    """Execute one of the statements that insert a row or change it, and return whether it did.

    Raises:
        LeaseLostError: If the write is under a lease that somebody else has by now.
    """
    if put.fence is None:
        return connection.execute(statement, row if merged is None else (*row, *merged)).rowcount == 1
    row = (*row, *(merged or (None, None)), put.fence.entry)
    if connection.execute(sql.fenced(statement), row).rowcount:
        return True
    if _is_refused(connection, put):
        raise lease_lost()
    return False


def _set(connection: Connection, put: Put) -> bool:
    row = row_of(put)
    if put.metadata:
        return _set_merging(connection, put, row)
    set_live = sql.SET_KEEPING_EXPIRY if put.keep_expiry else sql.SET
    while True:
        # The first statement changes only a live row, and the second only an expired one. Between the two, another
        # process may turn one into the other; then this starts over.
        if _upsert(connection, put, set_live, row) or _upsert(connection, put, sql.ADD, row):
            return True


def _set_merging(connection: Connection, put: Put, row: Row) -> bool:
    """Store a value, and metadata merged with the stored ones, unless another process changes those in between."""
    set_live = sql.SET_METADATA_KEEPING_EXPIRY if put.keep_expiry else sql.SET_METADATA
    while True:
        merged = _merged(connection, put)
        if _upsert(connection, put, sql.ADD if merged is None else set_live, row, merged):
            return True


def _set_if_revision(connection: Connection, put: Put) -> bool:
    changes: Row = (put.at, put.agent, put.revision, put.json, put.keep_expiry, put.expires_at)
    condition = (put.id, put.if_revision, put.at)
    if not put.metadata:
        return _changed(connection, put, sql.SET_IF_REVISION, changes, condition)
    merged = _merged(connection, put)  # changes only with the revision, which the write checks
    if merged is None:
        return False
    return _changed(connection, put, sql.SET_IF_REVISION_METADATA, (*changes, merged[0]), condition)


def _changed(connection: Connection, write: Put | Touch, statement: str, changes: Row, condition: Row) -> bool:
    """Execute one of the statements that change a row, and return whether it did."""
    if write.fence is None:
        return connection.execute(statement, (*changes, *condition)).rowcount == 1
    return connection.execute(sql.fenced(statement), (*changes, write.fence.entry, *condition)).rowcount == 1


def _touch(connection: Connection, touch: Touch) -> Outcome:
    done = _changed(connection, touch, sql.TOUCH, (touch.expires_at,), (touch.id, touch.at))
    if not done and touch.fence is not None and _is_refused(connection, touch):
        return Outcome(False, error=lease_lost())
    return Outcome(done)


def _is_refused(connection: Connection, write: Write) -> bool:
    """Return whether the record remembers a higher number of the lease that a write is under."""
    row = reading(connection, lambda: connection.execute(sql.FENCES, (write.id,)).fetchone())
    return row is not None and is_refused(row[0], write.fence)


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
    unreadable = stored_id(delete.id)
    if delete.fence is not None and unreadable is None:
        return _delete_fenced(connection, delete, delete.fence.entry)
    if delete.if_revision is None:
        if unreadable is None:
            row = connection.execute(sql.DELETE, (delete.id, delete.at)).fetchone()
        else:
            row = connection.execute(sql.DELETE_BYTES, (unreadable, delete.at)).fetchone()
        return Outcome(row is not None and bool(row[0]))
    removed = connection.execute(sql.DELETE_IF_REVISION, (delete.id, delete.if_revision, delete.at)).rowcount
    return DONE if removed else _outdated(connection, delete)


def _delete_fenced(connection: Connection, delete: Delete, entry: str) -> Outcome:
    if delete.if_revision is None:
        statement, condition = sql.DELETE_FENCED, tuple[str, ...]((delete.id, delete.at))
    else:
        statement, condition = sql.DELETE_FENCED_IF_REVISION, (delete.id, delete.if_revision, delete.at)
    if connection.execute(statement, (delete.at, delete.at, entry, *condition)).rowcount:
        return DONE
    return _outdated(connection, delete)


def _restore_all(connection: Connection, restores: Sequence[Restore]) -> list[Outcome]:
    if all(restore.if_revision is None for restore in restores):
        rows = [(restore.document.id, *restored_row(restore), restore.at) for restore in restores]
        connection.execute("SAVEPOINT restoring")
        done = connection.executemany(sql.RESTORE, rows).rowcount
        if done == len(rows):
            connection.execute("RELEASE restoring")
            return [DONE] * done
        connection.execute("ROLLBACK TO restoring")  # only one by one it shows which are there already
        connection.execute("RELEASE restoring")
    return [_restore(connection, restore) for restore in restores]


def _restore(connection: Connection, restore: Restore) -> Outcome:
    old = restore.document
    row = restored_row(restore)
    if restore.if_revision is None:
        stored = connection.execute(sql.RESTORE, (old.id, *row, restore.at)).rowcount
    else:
        condition = (old.id, restore.if_revision, restore.at)
        stored = connection.execute(sql.RESTORE_OVER, (*row, *condition)).rowcount
    return DONE if stored else _outdated(connection, restore)


def _outdated(connection: Connection, write: Write | Restore) -> Outcome:
    """Return the outcome of a write whose precondition failed."""
    if not isinstance(write, Restore) and write.fence is not None and _is_refused(connection, write):
        return Outcome(False, error=lease_lost())
    row = reading(connection, lambda: connection.execute(sql.REVISION, (write.id, write.at)).fetchone())
    if row is None or type(row[0]) is str:
        return Outcome(False, None if row is None else row[0])
    return Outcome(False, error=damaged(write.id, "its revision is not text"))
