"""The settings of a store, and the definition of its table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from datastore.errors import BackendUnusableError, ConfigurationError
from datastore.formats import FORMAT

NAME = "dynamodb"

PARTITION, SORT = "pk", "sk"
"""The attributes of the primary key: the user's part of a record's id, and the rest of it."""
TTL = "expiresAtEpoch"
"""The attribute that DynamoDB's time to live uses: ``expiresAt`` in seconds since the epoch."""
FORMAT_KEY = {PARTITION: {"S": "_format"}, SORT: {"S": "_format"}}
"""The key of the item that says which format the table has (`datastore_dynamodb.version`)."""
PARTS_SUFFIX = ":"
"""Ends the name of the partition that holds the parts of a user's values (`datastore_dynamodb.parts`)."""
FORMAT_ATTRIBUTE = "format"
"""The attribute of that item which holds the number."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a store. None of them is secret: credentials come from boto3's own chain.

    Attributes:
        table: The name of the table.
        region: Its region; ``None`` for the one that boto3 finds.
        profile: The profile of the shared configuration files; ``None`` for the default.
        endpoint_url: Another server than AWS's; ``None`` for AWS.
        create: Whether a missing table is created.
        strong: Whether a read sees every earlier write; reads without this cost half.
        transactions: Whether batches are written in transactions, which takes a hundredth of the requests and twice the
        write units.
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
    """The table does not exist: it was never created, or was deleted while the store was open."""


def missing(settings: Settings) -> MissingTableError:
    """Return the error for a missing table, with the commands that create it."""
    ttl = {"TableName": settings.table, "TimeToLiveSpecification": {"AttributeName": TTL, "Enabled": True}}
    remedy = "create it" if not settings.create else "it was deleted while the store was open; reconnect, or create it"
    return MissingTableError(
        f"there is no table {settings.table!r} in {settings.region or 'the default region'}; {remedy}:\n"
        f"aws dynamodb create-table --cli-input-json '{json.dumps(definition(settings))}'\n"
        f"aws dynamodb update-time-to-live --cli-input-json '{json.dumps(ttl)}'\n"
        f"aws dynamodb put-item --table-name {settings.table} --item '{json.dumps(format_item())}'",
        backend=NAME,
    )
