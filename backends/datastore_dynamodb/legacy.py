"""Reading a table that another program has written, whatever its key is, without creating anything in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from typing import Any

from datastore.adapters.opening import ClosedOnFailure
from datastore.administration import LegacyPage
from datastore.urls import Url
from datastore.values import UnreadableError
from datastore_dynamodb.admin import item_count
from datastore_dynamodb.client import Connection
from datastore_dynamodb.schema import NAME, Settings
from datastore_dynamodb.urls import settings_of

_FIELDS = ("_id", "id", "userId", "user_id", "namespace", "key")
_NAMES: Mapping[str, Any] = {
    "ProjectionExpression": ", ".join(f"#{name}" for name in _FIELDS),
    "ExpressionAttributeNames": {f"#{name}": name for name in _FIELDS},
}


class LegacyTable:
    """See `datastore.administration.LegacySource`."""

    name = NAME
    place: Hashable = None

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`. A page ends at 1 MB.

        Requests: 1.
        """
        return self._page(limit, after, {})

    def _page(self, limit: int, after: str | None, projection: Mapping[str, Any]) -> LegacyPage:
        parameters: dict[str, Any] = {
            "TableName": self._connection.settings.table,
            "ConsistentRead": self._connection.settings.strong,
            "Limit": limit,
            **projection,
        }
        if after is not None:
            parameters["ExclusiveStartKey"] = json.loads(after)
        answer = self._connection.call("scan", **parameters)
        last = answer.get("LastEvaluatedKey")
        documents = [{name: _decoded(attribute) for name, attribute in item.items()} for item in answer["Items"]]
        return LegacyPage(documents, json.dumps(last) if last else None)

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`; it costs as many read units as `documents`.

        Requests: 1.
        """
        return self._page(limit, after, _NAMES)

    def count(self) -> int | None:
        """See `datastore.administration.LegacySource`.

        Requests: 1.
        """
        return item_count(self._connection)

    def close(self) -> None:
        """See `datastore.administration.LegacySource`."""
        self._connection.close()


def _decoded(attribute: Mapping[str, Any]) -> Any:
    """Return the value of an attribute of any kind, or an `UnreadableError` if it has none.

    The client's own deserializer is not used: it refuses numbers that take more than 38 digits when written out, such
    as 1e100, which DynamoDB can hold.
    """
    for kind, value in attribute.items():
        try:
            return _DECODERS[kind](value)
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return UnreadableError(f"an attribute of the unreadable type {kind!r:.20}")
    return UnreadableError("an attribute without a type")


def _same(value: Any) -> Any:
    return value


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "S": _same,
    "N": Decimal,  # exact in any decimal context
    "B": bytes,
    "BOOL": _same,
    "NULL": lambda _: None,
    "L": lambda children: [_decoded(child) for child in children],
    "M": lambda children: {name: _decoded(child) for name, child in children.items()},
    "SS": set,
    "NS": lambda numbers: set(map(Decimal, numbers)),
    "BS": lambda values: set(map(bytes, values)),
}


def open_legacy(url: Url) -> LegacyTable:
    """Open a table in the legacy format; the URL is the same as for `connect`.

    Raises:
        ConfigurationError: If the URL is wrong, or the table does not exist.
        PermissionDeniedError, BackendUnavailableError: As `connect`.

    Requests: 1.
    """
    source = LegacyTable(settings_of(url))
    with ClosedOnFailure(source):
        source.count()
    return source
