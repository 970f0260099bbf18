"""A table for each tenant: ``agent_data_store-<tenant>``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from datastore.backend import Backend
from datastore.tenants import Databases
from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.client import Connection
from datastore_dynamodb.schema import Settings
from datastore_dynamodb.table import drop_table

LONGEST_NAME = 255  # "Supported data types and naming rules in Amazon DynamoDB"


class DynamoTables(Databases):
    """Tables of one region. An account may have 2,500 of them unless AWS raises the quota."""

    most_open = 16  # each has its own connections

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(DynamoBackend, settings.table, LONGEST_NAME, DynamoBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return DynamoBackend(replace(self._settings, table=name))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`.

        Requests: 2, and more until the table is gone.
        """
        with closing(Connection(replace(self._settings, table=name))) as connection:
            return drop_table(connection)

    def names(self, beginning: str) -> Iterator[str]:
        """See `Databases.names`.

        Requests: 1 per 100 tables of the region.
        """
        behind: dict[str, str] = {}
        with closing(Connection(self._settings)) as connection:
            while True:
                answer = connection.call("list_tables", **behind)
                yield from (name for name in answer["TableNames"] if name.startswith(beginning))
                if not answer.get("LastEvaluatedTableName"):
                    return
                behind = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}
