"""What an administrator should know of a table."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

from datastore.administration import Diagnostic, clocks
from datastore.errors import DataStoreError
from datastore_dynamodb.client import Connection
from datastore_dynamodb.schema import TTL
from datastore_dynamodb.table import described
from datastore_dynamodb.vectors import examine_vectors

_TTL_REMEDY = f"turn it on for the attribute {TTL} (aws dynamodb update-time-to-live)"


def examine(connection: Connection, now: float) -> list[Diagnostic]:
    """See `Backend.examine`.

    Requests: 3.
    """
    answer = connection.call("describe_table", TableName=connection.settings.table)
    table = described(answer, "Table")
    billing = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    throughput = table.get("ProvisionedThroughput", {})
    units = f"{throughput.get('ReadCapacityUnits')} read and {throughput.get('WriteCapacityUnits')} write units"
    status = str(table["TableStatus"])
    return [
        Diagnostic(status in ("ACTIVE", "UPDATING"), f"the table {connection.settings.table} is {status.lower()}"),
        Diagnostic(True, "it is paid per request" if billing == "PAY_PER_REQUEST" else f"it has {units}"),
        examine_vectors(connection, table),
        _clock(answer, now),
        _expiry(connection),
        _recovery(connection),
    ]


def item_count(connection: Connection, beside: int = 0) -> int | None:
    """Return about how many items there are, or ``None`` if DynamoDB has not counted them yet.

    Args:
        connection: The connection.
        beside: How many of them are not meant.

    Requests: 1.
    """
    table = described(connection.call("describe_table", TableName=connection.settings.table), "Table")
    return max(0, int(table.get("ItemCount", 0)) - beside) or None


def _clock(answer: Any, now: float) -> Diagnostic:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        return Diagnostic(True, "the server does not report its time")
    return clocks(now, parsedate_to_datetime(date).timestamp(), "DynamoDB's", "synchronise this one (NTP)")


def _expiry(connection: Connection) -> Diagnostic:
    try:
        answer = connection.call("describe_time_to_live", TableName=connection.settings.table)
    except DataStoreError as error:
        return Diagnostic(True, f"cannot tell whether time to live is on: {error.message}")
    found = answer.get("TimeToLiveDescription", {})
    if found.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        return Diagnostic(False, "time to live is off: expired records stay hidden, and are never removed", _TTL_REMEDY)
    if found.get("AttributeName") != TTL:
        return Diagnostic(False, f"time to live uses the attribute {found.get('AttributeName')}", _TTL_REMEDY)
    return Diagnostic(True, "expired records are removed by time to live")


def _recovery(connection: Connection) -> Diagnostic:
    try:
        answer = connection.call("describe_continuous_backups", TableName=connection.settings.table)
    except DataStoreError as error:
        return Diagnostic(True, f"cannot tell whether point-in-time recovery is on: {error.message}")
    found = answer.get("ContinuousBackupsDescription", {}).get("PointInTimeRecoveryDescription", {})
    status = found.get("PointInTimeRecoveryStatus", "DISABLED")
    return Diagnostic(True, f"point-in-time recovery is {'on' if status == 'ENABLED' else 'off'}")
