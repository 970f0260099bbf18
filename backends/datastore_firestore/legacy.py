"""Reading a collection that another program has written: native values of every type, in the order of their names.

Such a program may pass an id with slashes to the client's ``document()``. If the id has two slashes, this writes into a
collection inside a document: ``ann:a/b/c:cGxhbg==`` is the document ``c:cGxhbg==`` in the collection ``b`` of the
document ``ann:a``, which itself need not exist. So one query reads the documents at every depth below the collection,
and the id of each is its whole name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.cloud.firestore_v1.types import query as messages

from datastore.administration import LegacyPage
from datastore.urls import Url
from datastore_firestore.answers import broken
from datastore_firestore.client import Connection, Message, Settings
from datastore_firestore.codec import decode_native
from datastore_firestore.failures import NAME, RefusedError
from datastore_firestore.urls import settings_of

_PAGE_BYTES = 8_000_000
_NAMES = ("userId", "user_id", "namespace", "key", "id")
_LOWEST = "__id-9223372036854775808__"
"""The id that sorts before all others (``REFERENCE_NAME_MIN_ID`` in the client libraries)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Query: Any = messages.StructuredQuery.pb()


class LegacyCollection:
    """See `datastore.administration.LegacySource`."""

    name = NAME
    place: Hashable = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`.

        Requests: 1.
        """
        return self._page(limit, after, ())

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`. Firestore bills as many reads as for `documents`.

        Requests: 1.
        """
        return self._page(limit, after, _NAMES)

    def _page(self, limit: int, after: str | None, mask: Sequence[str]) -> LegacyPage:
        query = self._query()
        for field in mask:
            query.select.fields.add().field_path = field
        query.limit.value = limit
        if after is not None:
            query.start_at.before = False
            query.start_at.ClearField("values")
            query.start_at.values.add().reference_value = self._settings.prefix + after
        documents, size, id = list[Mapping[str, Any]](), 0, None
        try:
            stream = self._connection.run_query(query)
            for answer in stream:
                if answer.HasField("document"):
                    stored = answer.document
                    id = stored.name[len(self._settings.prefix) :]
                    documents.append({**_fields(stored.fields), "_id": id})
                    size += stored.ByteSize()
                    if size > _PAGE_BYTES:
                        stream.cancel()
                        break
        except grpc.RpcError as error:
            if not documents:
                raise self._connection.failure(error) from error
            return LegacyPage(documents, id)  # what arrived is complete, and the next page continues after it
        if id is None and not stream.complete:
            broken(NAME, "the stream ended early")
        more = len(documents) == limit or size > _PAGE_BYTES or not stream.complete
        return LegacyPage(documents, id if more else None)

    def count(self) -> int | None:
        """See `datastore.administration.LegacySource`.

        Requests: 1.
        """
        try:
            number, _ = self._connection.count(self._query())
        except RefusedError:  # not every server can count documents across collections of any name
            return None
        return number

    def close(self) -> None:
        """See `datastore.administration.LegacySource`."""
        self._connection.close()

    def _query(self) -> Message:
        """Return the query for everything below the collection, in the form of the client libraries' recursive delete.

        It names no collection, so it finds those of every name. Its bounds are the collection and the next possible
        name.
        """
        query = _Query()
        query.from_.add(all_descendants=True)
        query.order_by.add(direction=_Query.Direction.Value("ASCENDING")).field.field_path = "__name__"
        query.start_at.before = query.end_at.before = True
        query.start_at.values.add().reference_value = self._settings.prefix + _LOWEST
        query.end_at.values.add().reference_value = f"{self._settings.prefix[:-1]}\0/{_LOWEST}"
        return query


def open_legacy(url: Url) -> LegacyCollection:
    """Open a collection in the legacy format; the URL is the same as for `connect`.

    Raises:
        ConfigurationError: If the URL is wrong, or there are no credentials.

    Requests: 0.
    """
    return LegacyCollection(settings_of(url))


def _fields(fields: Any) -> dict[str, Any]:
    return {name: _decode(fields[name]) for name in fields}


def _decode(value: Any) -> Any:
    """Return a value of any type. A type that JSON does not have stays what it is in Python."""
    kind = value.WhichOneof("value_type")
    if kind == "map_value":
        return _fields(value.map_value.fields)
    if kind == "array_value":
        return [_decode(item) for item in value.array_value.values]
    if kind == "timestamp_value":
        stamp = value.timestamp_value
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)
    if kind == "geo_point_value":
        return {"latitude": value.geo_point_value.latitude, "longitude": value.geo_point_value.longitude}
    if kind in ("reference_value", "bytes_value"):
        return getattr(value, kind)
    return decode_native(value)
