"""Moving in LangGraph's items from the file of its `SqliteStore`, also the asynchronous one.

See ``docs/bridges/langgraph.md``::

    imported = import_items("store.db", data_store)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from os import PathLike

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    BatchError,
    ConflictError,
    EmbedderError,
    InvalidNameError,
    InvalidValueError,
    Item,
    KeyExistsError,
    Record,
    ValueTooLargeError,
)
from datastore.bridges.given import awaited
from datastore.bridges.importing import Connection, Imported, OnProgress, check_table, number_of_rows, opened
from datastore.bridges.langgraph_item_rows import ItemRow, pages
from datastore.bridges.langgraph_records import TTL

_A_SECOND = timedelta(seconds=1)  # what times in the file may be rounded to
_REFUSALS = (ConflictError, EmbedderError, InvalidNameError, InvalidValueError, ValueTooLargeError)
"""What is the matter with one item, and not with the database."""


def import_items(
    file: str | PathLike[str],
    data_store: AgentDataStore | AsyncAgentDataStore,
    *,
    on_progress: OnProgress | None = None,
) -> Imported:
    """Bring in the items of all namespaces of a file, with their vectors and the time that they have left.

    It can be interrupted and repeated. An item that is there already is compared: if the file has changed it since,
    it is replaced; if it was changed here since, it is kept. Up to 100 items are in memory.

    The times of items become those of the import. An item has one vector here: of those that have several, one for each
    field, none is kept, and they are told; put them again with a `DataStoreStore` that embeds.

    Args:
        file: The file. It is opened for reading, and one state of it is read.
        data_store: What a `DataStoreStore` is made from; or its awaited twin.
        on_progress: Is called with how many items are done, and how many there are.

    Returns:
        What was done. Each item that could not be read, or not be kept, is named in it.

    Raises:
        ConfigurationError: If there is no such file, or it is not of LangGraph's stores.

    Requests: for 100 items, 2 for each of their namespaces, and those of `AgentDataStore.add_many` for what is new, of
        `Memory.add_many` for what has a vector, and of `AgentDataStore.set` for each item that is replaced.
    """
    with opened(file) as source:
        check_table(source, "store", {"prefix", "key", "value", "updated_at"}, "LangGraph's SqliteStore")
        return _Import(awaited(data_store).sync, on_progress).run(source)


class _Import:
    def __init__(self, store: AgentDataStore, on_progress: OnProgress | None) -> None:
        self._store = store
        self._on_progress = on_progress or (lambda done, total: None)
        self._done = Imported("items")

    def run(self, source: Connection) -> Imported:
        total = number_of_rows(source, "store")
        for page in pages(source, self._store, self._done):
            self._page(page)
            self._on_progress(self._done.read, total)
        return self._done

    def _page(self, rows: Sequence[ItemRow]) -> None:
        here = self._here(rows)
        new: list[ItemRow] = []
        changed: list[ItemRow] = []
        for row in rows:
            record = here.get(row.place)
            if record is None:
                new.append(row)
            elif row.is_like(record):
                self._done.unchanged += 1
                self._done.verified += 1
                self._keep_on(row, record)
            elif row.updated_at > record.updated_at:
                changed += self._one(row, self._replacing(record))
            else:
                self._done.kept += 1
        self._done.replaced += len(changed)
        written = changed + self._add([row for row in new if row.vector is None], self._add_plain)
        by_namespace: dict[str, list[ItemRow]] = {}
        for row in new:
            if row.vector is not None:
                by_namespace.setdefault(row.namespace, []).append(row)
        for some in by_namespace.values():
            written += self._add(some, self._add_with_vectors)
        again = self._here(written)
        for row in written:
            if row.is_like(again.get(row.place)):
                self._done.written += 1
                self._done.verified += 1
            else:
                self._done.note("differs", row.where, "it read back differently")

    def _here(self, rows: Iterable[ItemRow]) -> dict[tuple[str, str], Record]:
        keys: dict[str, list[str]] = {}
        for row in rows:
            keys.setdefault(row.namespace, []).append(row.key)
        return {
            (namespace, key): record
            for namespace, some in keys.items()
            for key, record in self._store.use_namespace(namespace).get_records(some).items()
        }

    def _add(self, rows: list[ItemRow], adding: Callable[[Sequence[ItemRow]], object]) -> list[ItemRow]:
        """Add new items together, or one by one if something is wrong with one; return those that are there."""
        if not rows:
            return []
        with suppress(BatchError, *_REFUSALS):
            adding(rows)
            return rows
        return [one for row in rows for one in self._one(row, lambda row: adding([row]))]

    def _one(self, row: ItemRow, writing: Callable[[ItemRow], object]) -> list[ItemRow]:
        """Write one item, and return it; nothing if it is refused."""
        try:
            writing(row)
        except (BatchError, *_REFUSALS) as error:
            reason = next(iter(error.failed.values()), error) if isinstance(error, BatchError) else error
            if isinstance(reason, KeyExistsError):
                return [row]  # it was added with the others, or by somebody else: it is compared
            if not isinstance(reason, _REFUSALS):
                raise
            self._done.note("refused", row.where, reason.message)
            return []
        return [row]

    def _add_plain(self, rows: Sequence[ItemRow]) -> None:
        self._store.add_many([row.item for row in rows])

    def _add_with_vectors(self, rows: Sequence[ItemRow]) -> None:
        items = [Item(row.key, row.value, {TTL: row.minutes}, row.ttl) for row in rows]
        self._store.use_namespace(rows[0].namespace).memory.add_many(items, vectors=[row.vector for row in rows])

    def _replacing(self, record: Record) -> Callable[[ItemRow], object]:
        store, revision = self._store.use_namespace(record.namespace), record.revision
        return lambda row: store.set(
            row.key, row.value, {TTL: row.minutes}, ttl=row.ttl, if_revision=revision, vector=row.vector
        )

    def _keep_on(self, row: ItemRow, record: Record) -> None:
        """An item that was used in the file lives longer there, without being another one."""
        if record.expires_at is not None and (row.expires_at is None or row.expires_at > record.expires_at + _A_SECOND):
            self._store.use_namespace(row.namespace).touch(row.key, ttl=row.ttl)
