"""A whole adapter for a database that is a dictionary: what a third party writes, and what the kit itself is tested on.

`Shelf` stands for the database and its client. `ShelfBackend` is the adapter, about sixty lines. Its only optional
ability is `Backend.restore`, which the toolkit provides, so the store works without the others.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from datastore import BackendUnavailableError, Capabilities, DataStore
from datastore.adapters.changes import Applied, Change, Late, Result
from datastore.adapters.knowledge import Known, known_of
from datastore.adapters.optimistic import OptimisticBackend
from datastore.adapters.remembering import REMEMBERED
from datastore.backend import Document, DocumentPage, Fields, IdRange
from datastore.conformance import Harness
from datastore.values import decode, encode

Row: TypeAlias = dict[str, Any]
"""One document, by the names that an administrator knows; value and metadata are JSON text."""
NAMES = ("_id", "createdAt", "revision", "expiresAt", "value", "metadata", "createdByAgent", "updatedAt", "accessCount")
NAMES += ("lastAccessedByAgent", "lastAccessedAt", "updatedByAgent")
"""The names, in the order of the fields of `Document`."""


class ShelfDown(Exception):  # noqa: N818 - a client names its errors as it likes
    """What the client raises when the database does not answer."""


class Shelf:
    """The database. It outlives the adapters that work with it, as a server does."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, Row]] = {}
        self._versions = itertools.count(1)
        self._lock = threading.Lock()
        self._down = False

    def get(self, names: Sequence[str]) -> dict[str, tuple[int, Row]]:
        """Return the rows that exist, each with its version."""
        self._answer()
        return {name: self._rows[name] for name in names if name in self._rows}

    def list(self, start: str, end: str) -> list[str]:
        """Return the names in a range, in order."""
        self._answer()
        with self._lock:
            return sorted(name for name in self._rows if start <= name < end)

    def replace(self, name: str, version: int | None, row: Row | None) -> int | None:
        """Replace the row that is at a version, or make one where there is none; without a row it is removed.

        Returns the new version; ``None`` if the row is at another one, and nothing was done.
        """
        self._answer()
        with self._lock:
            if self._rows.get(name, (None,))[0] != version:
                return None
            new = next(self._versions)
            if row is None:
                self._rows.pop(name, None)
            else:
                self._rows[name] = (new, row)
            return new

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Be away for a while."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    def _answer(self) -> None:
        if self._down:
            raise ShelfDown("no route to the shelf")


class ShelfBackend(OptimisticBackend):
    """The adapter."""

    name = "shelf"
    capabilities = Capabilities(
        read_batch=100, write_batch=25, persistent=True, shared=False, remembered_writes=REMEMBERED
    )

    def __init__(self, shelf: Shelf) -> None:
        super().__init__()
        self._shelf = shelf

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`. Every document is loaded whole: more than was asked for is allowed."""
        with self._translated():
            found = self._shelf.get([self._place(id) for id in ids])
        return {id: self._known(*found[self._place(id)]) for id in ids if self._place(id) in found}

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`."""
        with self._translated():
            return [self._swap(change) for change in changes]

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        with self._translated():
            names = self._shelf.list(range.start, range.end)
            if after is not None:
                names = [name for name in names if (name < after if reverse else name > after)]
            if reverse:
                names.reverse()
            found = self._shelf.get(names[:limit])
        documents = [self._document(row) for _, row in found.values()]
        return DocumentPage(documents, names[limit - 1] if len(names) > limit else None)

    def close(self) -> None:
        """See `Backend.close`. A real client would be closed here."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the client's errors; its own one stays chained."""
        try:
            yield
        except ShelfDown as error:
            raise BackendUnavailableError(f"the shelf does not answer ({error})", backend=self.name) from error

    def _place(self, id: str) -> str:
        """Return under which name a document is stored."""
        return id

    def _swap(self, change: Change) -> Result:
        version = self._shelf.replace(self._place(change.id), change.token, self._row(change))
        return Late() if version is None else Applied(version)

    def _row(self, change: Change) -> Row | None:
        """Return what is stored of a document after a change; ``None`` if it is removed."""
        document = change.document
        if document is None:
            return None
        row: Row = dict(zip(NAMES, document, strict=True))
        row |= {"value": encode(document.value), "metadata": encode(document.metadata)}
        return row | {"recentWrites": change.writes, "recentCounts": change.counts, "fences": change.fences}

    def _known(self, version: int, row: Row) -> Known:
        marks = row["recentWrites"], row["recentCounts"]
        return known_of(self._document(row), version, *marks, fences=row["fences"])

    def _document(self, row: Row) -> Document:
        document = Document(*(row[name] for name in NAMES))
        return document._replace(value=self._value(row), metadata=decode(row["metadata"]))

    def _value(self, row: Row) -> Any:
        return decode(row["value"])


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
