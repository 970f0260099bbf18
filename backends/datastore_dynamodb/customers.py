"""A table for each customer: ``agent_data_store-<customer>``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from datastore.backend import Backend
from datastore.customers import Databases
from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.client import Connection
from datastore_dynamodb.schema import Settings
from datastore_dynamodb.table import drop_table

_LONGEST_NAME = (
    255  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
)


class DynamoTables(Databases):
    """Tables of one account in one region."""

    most_open = 16  # each is a client of its own, with its connections

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(DynamoBackend, settings.table, _LONGEST_NAME, DynamoBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return DynamoBackend(replace(self._settings, table=name))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`.

        Requests: 1, and those of waiting until the table is gone.
        """
        with closing(Connection(replace(self._settings, table=name))) as connection:
            return drop_table(connection)

    def names(self, beginning: str) -> Iterator[str]:
        """See `Databases.names`.

        Requests: 1 per 100 tables of the account and region.
        """
        with closing(Connection(self._settings)) as connection:
            last: dict[str, str] = {}
            while True:
                answer = connection.call("list_tables", **last)
                yield from (name for name in answer["TableNames"] if name.startswith(beginning))
                if "LastEvaluatedTableName" not in answer:
                    return
                last = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}
