"""Reading a table that another program has written, whatever its key, without making anything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from datastore.administration import LegacyPage
from datastore.urls import Url
from datastore_dynamodb.client import Connection
from datastore_dynamodb.examining import item_count
from datastore_dynamodb.schema import NAME, Settings
from datastore_dynamodb.urls import settings_of


class LegacyTable:
    """See `datastore.administration.LegacySource`."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._decode = TypeDeserializer().deserialize

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`. A page ends at 1 MB.

        Requests: 1.
        """
        parameters: dict[str, Any] = {
            "TableName": self._connection.settings.table,
            "ConsistentRead": self._connection.settings.strong,
            "Limit": limit,
        }
        if after is not None:
            parameters["ExclusiveStartKey"] = json.loads(after)
        answer = self._connection.call("scan", **parameters)
        last = answer.get("LastEvaluatedKey")
        return LegacyPage([self._document(item) for item in answer["Items"]], json.dumps(last) if last else None)

    def count(self) -> int | None:
        """See `datastore.administration.LegacySource`.

        Requests: 1.
        """
        return item_count(self._connection)

    def close(self) -> None:
        """See `datastore.administration.LegacySource`."""
        self._connection.close()

    def _document(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._decode(attribute) for name, attribute in item.items()}


def open_legacy(url: Url) -> LegacyTable:
    """Open a table in the seed's format; the URL is that of `connect`.

    Raises:
        ConfigurationError: If the URL is wrong, or the table is not there.
        PermissionDeniedError, BackendUnavailableError: As `connect`.

    Requests: 1.
    """
    source = LegacyTable(settings_of(url))
    try:
        source.count()
    except BaseException:
        source.close()
        raise
    return source
