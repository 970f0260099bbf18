"""The rows of LangGraph's `SqliteStore`, as they are kept here. See `datastore.bridges.langgraph_items`."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from datastore import AgentDataStore, InvalidNameError, Item, Record, limits
from datastore.bridges.importing import Connection, Imported, UnreadableError, columns, from_json, same_json
from datastore.bridges.langgraph_names import Names
from datastore.bridges.langgraph_records import TTL

PAGE = 100
"""How many rows are read, compared and written together."""


@dataclass(frozen=True)
class ItemRow:
    """A row of the file, as it is kept here."""

    where: str
    namespace: str
    key: str
    value: dict[str, Any]
    updated_at: datetime
    expires_at: datetime | None
    minutes: float | None
    """For how long it lives after it was used."""
    vector: Sequence[float] | None

    @property
    def place(self) -> tuple[str, str]:
        return self.namespace, self.key

    @property
    def ttl(self) -> timedelta | None:
        return None if self.expires_at is None else max(self.expires_at - datetime.now(UTC), timedelta(microseconds=1))

    @property
    def item(self) -> Item:
        return Item(self.key, self.value, {TTL: self.minutes}, self.ttl, namespace=self.namespace)

    def is_like(self, record: Record | None) -> bool:
        return record is not None and same_json(record.value, self.value)


def pages(source: Connection, store: AgentDataStore, done: Imported) -> Iterator[list[ItemRow]]:
    """Yield the items of a file that can be kept here, and note the others."""
    there = columns(source, "store")  # a file that an earlier version made lacks some
    expiry = ("expires_at", "ttl_minutes") if {"expires_at", "ttl_minutes"} <= there else ("NULL", "NULL")
    vectors = _VECTORS if columns(source, "store_vectors") else "0, NULL"
    names = Names(store.namespace)
    cursor = source.execute(
        f"SELECT prefix, key, value, updated_at, {', '.join(expiry)}, {vectors} FROM store ORDER BY prefix, key"  # noqa: S608
    )
    while found := cursor.fetchmany(PAGE):
        done.read += len(found)
        yield [row for one in found if (row := _row(one, names, store, done)) is not None]


def _row(found: tuple[Any, ...], names: Names, store: AgentDataStore, done: Imported) -> ItemRow | None:
    """Return a row as it is kept here; ``None`` if it is not."""
    prefix, key, value, updated_at, expires_at, minutes, number, embedding = found
    where = f"namespace {prefix!r}, key {key!r}"
    try:
        expiry = None if expires_at is None else _moment(expires_at)
        if expiry is not None and expiry <= datetime.now(UTC):
            done.expired += 1
            return None
        namespace = names.encoded(prefix.split("."))
        store.use_namespace(namespace)  # refuses a name that is too long; no request
        if not 0 < len(key.encode()) <= limits.MAX_KEY_BYTES:
            raise UnreadableError(f"its key is empty, or takes more than {limits.MAX_KEY_BYTES} bytes")
        data, vector = from_json(value), _vector(embedding) if number == 1 else None
        if not isinstance(data, dict):
            raise UnreadableError("its value is not a JSON object")
        row = ItemRow(where, namespace, key, data, _moment(updated_at), expiry, minutes, vector)
    except (UnreadableError, InvalidNameError, UnicodeEncodeError) as error:
        done.note("refused", where, str(error))
        return None
    if number > 1:
        done.note("no vector", where, f"it has {number} vectors, and an item has one here")
    return row


_VECTORS = ", ".join(
    f"(SELECT {what} FROM store_vectors v WHERE v.prefix = store.prefix AND v.key = store.key)"  # noqa: S608 - constants
    for what in ("count(*)", "max(embedding)")
)


def _moment(text: str) -> datetime:
    """Return a moment of the file: text in UTC, with the zone or without it."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise UnreadableError("it has a time that is none") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _vector(data: bytes) -> list[float]:
    """Return a vector of the file: float32, as sqlite-vec has them."""
    vector = array("f")
    try:
        vector.frombytes(data)
    except (TypeError, ValueError) as error:
        raise UnreadableError("its vector is not one of float32") from error
    return vector.tolist()
