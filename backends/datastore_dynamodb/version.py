"""The format version of a table: an item of its own, in a partition that no user's id can be.

In ids a leading ``_`` is percent-encoded (`datastore.ids`), and the parts of large values lie in partitions that end
with ``:``. So no listing, count or removal of a user meets the item; scans of the whole table leave it out, since it
has neither a creation time nor a revision.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from datastore.errors import BackendUnusableError, InvalidNameError
from datastore.formats import EARLIEST, FORMAT
from datastore.ids import encode_key
from datastore_dynamodb.client import ConditionFailedError, Connection
from datastore_dynamodb.codec import Attributes
from datastore_dynamodb.schema import FORMAT_ATTRIBUTE, FORMAT_KEY, NAME, PARTITION, SORT, format_item

_LOOKED_AT = 100
"""How many items are looked at in a table that does not say its format: perhaps it was made again under a store."""


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


def look_inside(connection: Connection) -> tuple[bool, int | None]:
    """Return whether a table holds nothing at all, and else the format of its records, if the first of them show it.

    Requests: 1; more only if DynamoDB ends a page before it has met a record.
    """
    looked_at, found = 0, set[int | None]()
    parameters = {
        "TableName": connection.settings.table,
        "ConsistentRead": True,
        "Limit": _LOOKED_AT,
        "ProjectionExpression": f"{PARTITION}, {SORT}, #key",
        "ExpressionAttributeNames": {"#key": "key"},
    }
    while True:
        answer = connection.call("scan", **parameters)
        looked_at += len(answer["Items"])
        found |= set(map(_format_of, answer["Items"]))
        if found - {None} or looked_at >= _LOOKED_AT or not answer.get("LastEvaluatedKey"):
            return not looked_at, FORMAT if FORMAT in found and EARLIEST not in found else None
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _format_of(item: Attributes) -> int | None:
    """Return the format of a record, by its sort key and the key that it holds beside; ``None`` if they do not show it.

    They do not if it is no record, such as a part of a value.
    """
    key, (_, colon, encoded) = item.get("key", {}).get("S"), item[SORT].get("S", "").rpartition(":")
    if not key or not colon:
        return None
    earlier = urlsafe_b64encode(key.encode()).decode()
    try:
        current = encode_key(key)
    except InvalidNameError:
        return None
    if current == earlier:
        return None
    return {current: FORMAT, earlier: EARLIEST}.get(encoded)
