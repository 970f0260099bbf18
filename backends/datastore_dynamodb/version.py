"""The format version of a table: an item of its own, in a partition that no user's id can be.

In ids a leading ``_`` is percent-encoded (`datastore.ids`), and the parts of large values lie in partitions that end
with ``:``. So no listing, count or removal of a user meets the item; scans of the whole table leave it out, since it
has neither a creation time nor a revision.
"""

from __future__ import annotations

from datastore.errors import BackendUnusableError
from datastore_dynamodb.client import ConditionFailedError, Connection
from datastore_dynamodb.schema import FORMAT_ATTRIBUTE, FORMAT_KEY, NAME, PARTITION, format_item


def read_version(connection: Connection) -> int | None:
    """Return the format that a table says it has, or ``None`` if it does not say any.

    Requests: 1.

    Raises:
        BackendUnusableError: If what it says is no number.
    """
    answer = connection.call("get_item", TableName=connection.settings.table, Key=FORMAT_KEY, ConsistentRead=True)
    item = answer.get("Item")
    if item is None:
        return None
    try:
        return int(item[FORMAT_ATTRIBUTE]["N"])
    except (LookupError, TypeError, ValueError):
        raise BackendUnusableError(
            f"the item {FORMAT_KEY[PARTITION]['S']!r} of the table {connection.settings.table!r} names no format: its "
            f"attribute {FORMAT_ATTRIBUTE!r} must be a number. The table was left untouched",
            backend=NAME,
        ) from None


def write_version(connection: Connection) -> bool:
    """Write the current format, and return whether there was none; an item that is there stays as it is.

    Requests: 1.
    """
    try:
        connection.call(
            "put_item",
            TableName=connection.settings.table,
            Item=format_item(),
            ConditionExpression=f"attribute_not_exists({PARTITION})",
        )
    except ConditionFailedError:
        return False
    return True


def is_empty(connection: Connection) -> bool:
    """Return whether a table holds nothing at all.

    Requests: 1; more only if DynamoDB ends a page before it has met an item.
    """
    parameters = {
        "TableName": connection.settings.table,
        "ConsistentRead": True,
        "Limit": 1,
        "ProjectionExpression": PARTITION,
    }
    while True:
        answer = connection.call("scan", **parameters)
        if answer["Items"]:
            return False
        if not answer.get("LastEvaluatedKey"):
            return True
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
