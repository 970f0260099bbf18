"""What a store is opened with, and what its table looks like."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from datastore.errors import BackendUnusableError, ConfigurationError
from datastore.formats import FORMAT

NAME = "dynamodb"

PARTITION, SORT = "pk", "sk"
"""The attributes of the primary key: the user part of a record's id, and the rest of it."""
TTL = "expiresAtEpoch"
"""The attribute that DynamoDB's own expiry looks at: ``expiresAt`` in seconds since the epoch."""
FORMAT_KEY = {PARTITION: {"S": "_format"}, SORT: {"S": "_format"}}
"""The key of the item that says which format the table has (`datastore_dynamodb.version`)."""
FORMAT_ATTRIBUTE = "format"
"""The attribute in which it says so."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a store. None of it is a secret: credentials come from boto3's own chain.

    Attributes:
        table: The table.
        region: Its region; ``None`` for the one that boto3 finds.
        profile: The profile of the shared configuration files; ``None`` for the default.
        endpoint_url: Another server than AWS's own.
        create: Whether a missing table is made.
        strong: Whether reads see every write before them; without, they cost half.
        transactions: Whether batches are written in transactions: a hundredth of the requests, twice the write units.
        capacity: Read and write units of a new table; ``None`` for pay per request.
        recovery: Whether a new table gets point-in-time recovery.
        timeout: Seconds to wait for an answer.
        connect_timeout: Seconds to wait for a connection.
        connections: The most connections at once.
        read_only: Whether nothing is written, not even which format an empty table has.
        earlier_format: Whether the table must be one of the earlier format, which is then only read.
    """

    table: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    create: bool = True
    strong: bool = True
    transactions: bool = True
    capacity: tuple[int, int] | None = None
    recovery: bool = False
    timeout: float = 10.0
    connect_timeout: float = 3.0
    connections: int = 50
    read_only: bool = False
    earlier_format: bool = False


def definition(settings: Settings) -> dict[str, Any]:
    """Return the parameters of ``CreateTable``."""
    parameters: dict[str, Any] = {
        "TableName": settings.table,
        "AttributeDefinitions": [
            {"AttributeName": PARTITION, "AttributeType": "S"},
            {"AttributeName": SORT, "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": PARTITION, "KeyType": "HASH"},
            {"AttributeName": SORT, "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if settings.capacity is not None:
        read, write = settings.capacity
        parameters["BillingMode"] = "PROVISIONED"
        parameters["ProvisionedThroughput"] = {"ReadCapacityUnits": read, "WriteCapacityUnits": write}
    return parameters


def format_item() -> dict[str, Any]:
    """Return the item that says that a table has the current format."""
    return {**FORMAT_KEY, FORMAT_ATTRIBUTE: {"N": str(FORMAT)}}


class MissingTableError(BackendUnusableError, ConfigurationError):
    """The table is not there: never created, or deleted under us."""


def missing(settings: Settings) -> MissingTableError:
    """Return the error for a table that is not there, with all that is needed to make it."""
    ttl = {"TableName": settings.table, "TimeToLiveSpecification": {"AttributeName": TTL, "Enabled": True}}
    remedy = "create it" if not settings.create else "it was deleted while the store was open; reconnect, or create it"
    return MissingTableError(
        f"there is no table {settings.table!r} in {settings.region or 'the default region'}; {remedy}:\n"
        f"aws dynamodb create-table --cli-input-json '{json.dumps(definition(settings))}'\n"
        f"aws dynamodb update-time-to-live --cli-input-json '{json.dumps(ttl)}'\n"
        f"aws dynamodb put-item --table-name {settings.table} --item '{json.dumps(format_item())}'",
        backend=NAME,
    )
