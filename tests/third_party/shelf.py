"""A whole adapter, for a database that is a dictionary: what a third party writes, and the kit's own test subject.

`Shelf` stands for the database and its client; `ShelfBackend` is the adapter, about a hundred lines. It has the five
methods of the contract and no optional ability, so that the store does without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from datastore import Backend, BackendUnavailableError, Capabilities, DataStore, ValueTooLargeError
from datastore.adapters.remembering import REMEMBERED, mark_of, remember, remembers
from datastore.backend import Access, Delete, Document, DocumentPage, Fields, IdRange, Outcome, Put, Write
from datastore.conformance import Harness
from datastore.values import decode, encode, merge_metadata

Row: TypeAlias = dict[str, Any]
"""One document, by the names that an administrator knows; value and metadata are JSON text."""


class ShelfDown(Exception):  # noqa: N818
    """What the client raises when the database does not answer."""


class Shelf:
    """The database. It outlives the adapters that work with it, as a server does."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._lock = threading.Lock()
        self._down = False

    @contextmanager
    def transaction(self) -> Iterator[dict[str, Row]]:
        """Hand out the rows; nobody else reads or writes meanwhile."""
        if self._down:
            raise ShelfDown("no route to the shelf")
        with self._lock:
            yield self._rows

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Be away for a while."""
        self._down = True
        try:
            yield
        finally:
            self._down = False


class ShelfBackend(Backend):
    """The adapter."""

    name = "shelf"
    capabilities = Capabilities(
        read_batch=100, write_batch=25, persistent=True, shared=False, remembered_writes=REMEMBERED
    )

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`. Every document is filled in whole: more than was asked for is allowed."""
        with self._transaction() as rows:
            found = [rows[self._place(id)] for id in ids if self._place(id) in rows]
        return {row["_id"]: self._document(row) for row in found}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`. One transaction, so that each write is atomic with its precondition."""
        with self._transaction() as rows:
            return [self._put(rows, one) if isinstance(one, Put) else self._delete(rows, one) for one in writes]

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        with self._transaction() as rows:
            ids = sorted(id for row in rows.values() if range.start <= (id := row["_id"]) < range.end)
            behind = [id for id in ids if after is None or id > after]
            found = [rows[self._place(id)] for id in behind[:limit]]
        return DocumentPage([self._document(row) for row in found], found[-1]["_id"] if len(behind) > limit else None)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`. Inside one transaction: nothing is read here and written back later."""
        with self._transaction() as rows:
            for access in accesses:
                row = rows.get(self._place(access.id))
                if row is not None and row["createdAt"] == access.created_at:
                    self._count(row, access)

    def close(self) -> None:
        """See `Backend.close`. A real client would be closed here."""

    @contextmanager
    def _transaction(self) -> Iterator[dict[str, Row]]:
        """Translate the client's errors; its own one stays chained."""
        try:
            with self._shelf.transaction() as rows:
                yield rows
        except ShelfDown as error:
            raise BackendUnavailableError(f"the shelf does not answer ({error})", backend=self.name) from error

    def _place(self, id: str) -> str:
        """Return under which name a document is stored."""
        return id

    def _put(self, rows: dict[str, Row], put: Put) -> Outcome:
        old = self._live(rows, put.id, put.at)
        if old and self._knows(old, put):
            return Outcome(True)  # it was sent before, and its answer lost
        revision = old["revision"] if old else None
        if (put.if_absent and old) or (put.if_revision is not None and put.if_revision != revision):
            return Outcome(False, revision)
        try:
            metadata = self._merge(decode(old["metadata"]) if old else {}, put.metadata or {})
        except ValueTooLargeError as error:
            return Outcome(False, error=error)
        row = dict(old) if old else self._new_row(put)
        row |= {
            "value": self._stored(put),
            "metadata": encode(metadata),
            "updatedAt": put.at,
            "revision": put.revision,
            "expiresAt": put.expires_at,
            "recentWrites": remember(row.get("recentWrites"), mark_of(put.revision)),
        }
        rows[self._place(put.id)] = row
        return Outcome(True)

    def _knows(self, row: Row, put: Put) -> bool:
        """Return whether a document has seen this very write, perhaps before others."""
        return remembers(row.get("recentWrites"), mark_of(put.revision))

    def _delete(self, rows: dict[str, Row], delete: Delete) -> Outcome:
        old = self._live(rows, delete.id, delete.at)
        revision = old["revision"] if old else None
        if delete.if_revision is not None and delete.if_revision != revision:
            return Outcome(False, revision)
        rows.pop(self._place(delete.id), None)  # an expired one goes, too, and does not count
        return Outcome(old is not None)

    def _live(self, rows: dict[str, Row], id: str, at: str) -> Row | None:
        """Return the live document under an id: an expired one is as good as gone."""
        row = rows.get(self._place(id))
        return row if row and (row["expiresAt"] is None or row["expiresAt"] > at) else None

    def _new_row(self, put: Put) -> Row:
        return {
            "_id": put.id,
            "userId": put.user_id,
            "namespace": put.namespace,
            "key": put.key,
            "createdAt": put.at,
            "createdByAgent": put.agent,
            "accessCount": 0,
            "lastAccessedByAgent": None,
            "lastAccessedAt": None,
        }

    def _merge(self, current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        return merge_metadata(current, changes)

    def _stored(self, put: Put) -> Any:
        return put.json

    def _value(self, row: Row) -> Any:
        return decode(row["value"])

    def _count(self, row: Row, access: Access) -> None:
        row["accessCount"] += access.number
        if access.at >= (row["lastAccessedAt"] or ""):
            row["lastAccessedAt"], row["lastAccessedByAgent"] = access.at, access.agent

    def _document(self, row: Row) -> Document:
        return Document(
            id=row["_id"],
            created_at=row["createdAt"],
            revision=row["revision"],
            expires_at=row["expiresAt"],
            value=self._value(row),
            metadata=decode(row["metadata"]),
            created_by_agent=row["createdByAgent"],
            updated_at=row["updatedAt"],
            access_count=row["accessCount"],
            last_accessed_by_agent=row["lastAccessedByAgent"],
            last_accessed_at=row["lastAccessedAt"],
        )


class ShelfHarness(Harness):
    """Opens the adapter without an entry point, and takes its database away."""

    name = "shelf"
    backend: type[ShelfBackend] = ShelfBackend

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.shelf = Shelf()

    def open(self, **options: Any) -> DataStore:
        """See `Harness.open`."""
        return DataStore(self.backend(self.shelf), **options)

    def outage(self, store: DataStore) -> AbstractContextManager[None]:
        """See `Harness.outage`."""
        return self.shelf.outage()
