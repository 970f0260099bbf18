"""How a change reads in DynamoDB's language: one request, on the condition that the item is as the change expects it.

No I/O here. A write of a record that was not read is an ``UpdateItem`` whose condition says what the write demands. A
write of a record that is expected not to exist is a ``PutItem``. Counting is an addition. A refused request is told
what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from datastore.adapters.changes import Change
from datastore.adapters.knowledge import Known, Unseen
from datastore.backend import Access, Delete, Put, Restore, Touch
from datastore.values import decode, merge_metadata
from datastore_dynamodb.codec import PARTS, VALUE_FORMS, Attributes, Encoded, encode_metadata
from datastore_dynamodb.items import (
    EXPIRED,
    FENCES,
    HAVE_BEEN,
    LIVE,
    NO_PARTS,
    OURS_OR_NONE,
    changing,
    creating,
    expiring,
    identifying,
    key_of,
)
from datastore_dynamodb.marks import COUNTS, WRITES, first, operands, remembering, unknown
from datastore_dynamodb.schema import TTL
from datastore_dynamodb.vectors import vector_attributes

_AT_REVISION = "revision = :seen"
_SAME_PARTS = "valueParts = :parts"
_NO_FENCES = f"attribute_not_exists({FENCES})"
_REPLACEABLE = f"{EXPIRED} AND attribute_exists(revision) AND {NO_PARTS} AND {_NO_FENCES}"
_ABSENT = f"attribute_not_exists(pk) OR ({_REPLACEABLE})"
_ABSENT_OR_EXPIRES_LATER = "(attribute_not_exists(pk) OR expiresAt > :at)"
_NOT_CREATED_SINCE, _NOT_WRITTEN_SINCE = "NOT createdAt > :at", "NOT updatedAt > :at"
"""Of a write of a record that nobody has read. A request may arrive long after its call has sent another one, and after
others have removed the record and created it again. If it is refused because clocks differ, the record that it found is
changed by the next request, at its revision. The condition holds for a record without the time, and for none."""
_NOT_FENCED_OFF = f"({_NO_FENCES} OR ({FENCES} BETWEEN :first AND :{FENCES} AND NOT contains({FENCES}, :between)))"
"""Of a write under a lease of a record that nobody has read: it remembers nothing, or this lease alone, with this
number or a lower one (`datastore.fences`). What it remembers of several leases is read first."""
_EXPIRY = ("expiresAt", TTL)
_UNKNOWN = unknown(WRITES)
_COUNT = f"ADD accessCount :number SET {remembering(COUNTS)}"
# Adding to something that is not a number, in a record that somebody has edited, would make the whole batch fail.
_SAME_RECORD = f"createdAt = :created AND attribute_type(accessCount, :numeric) AND {unknown(COUNTS)}"
_LAST_ACCESS = ", lastAccessedByAgent = :agent, lastAccessedAt = :at"
_NO_LATER_ACCESS = " AND (attribute_not_exists(lastAccessedAt) OR lastAccessedAt <= :at)"


class Request(NamedTuple):
    """One conditional write: the client's operation, and its parameters without the table."""

    operation: str
    """``update_item``, ``put_item`` or ``delete_item``."""
    parameters: dict[str, Any]


def request_of(change: Change, value: Encoded | None) -> Request:
    """Return the request that makes a change.

    Args:
        change: The change.
        value: The value that it writes, encoded; ``None`` if it writes none.
    """
    write = change.write
    if isinstance(write, Access):
        return _counting(write, change)
    values: Attributes = {}
    condition = _condition(change, value, values)
    if isinstance(write, Touch):
        return _touching(write, change, condition, values)
    if isinstance(write, Delete):
        parameters: dict[str, Any] = {"Key": key_of(write.id)}
        if condition:
            parameters["ConditionExpression"] = condition
        if values:
            parameters["ExpressionAttributeValues"] = values
        return Request("delete_item", parameters)
    assert value is not None  # noqa: S101  # all other writes have a value
    if change.live or isinstance(change.over, Unseen):
        return _update(write, change, value, condition, values)
    return _put(write, change, value, condition, values)


def _condition(change: Change, value: Encoded | None, values: Attributes) -> str:
    """Return the condition of a write, and add the values that it uses to ``values``."""
    over = change.over
    if isinstance(over, Known):
        return _as_seen(change, over, value, values) + _fences_as_seen(change, over, values)
    if isinstance(over, Unseen) and change.fence is not None:
        lowest = change.fence._replace(number=0)
        values |= {":first": {"S": lowest.entry}, f":{FENCES}": {"S": change.fence.entry}, ":between": {"S": " "}}
        return f"{_blind(change, values)} AND {_NOT_FENCED_OFF}"
    return _blind(change, values)


def _fences_as_seen(change: Change, over: Known, values: Attributes) -> str:
    """Return the rest of the condition, if a change sets what a record remembers of leases.

    A touch sets it without a new revision. A whole item that takes the place of an expired one sets it as well.
    """
    if over.damaged or isinstance(change.write, Delete) or (change.fence is None and change.live):
        return ""
    if not over.fences:
        return f" AND {_NO_FENCES}"
    values[":remembered"] = {"S": over.fences}
    return f" AND {FENCES} = :remembered"


def _blind(change: Change, values: Attributes) -> str:
    """Return the condition of a write of a record that nobody has read, or that is taken not to exist."""
    write, over = change.write, change.over
    if not isinstance(over, Unseen):
        values[":at"] = {"S": write.at}
        return _ABSENT
    revision = None if isinstance(write, Access | Touch) else write.if_revision
    values[":at"] = {"S": write.at}
    if isinstance(write, Delete):
        if revision is None:
            return f"{OURS_OR_NONE} AND {_NOT_CREATED_SINCE}" if write.only_own else _NOT_CREATED_SINCE
        terms = LIVE
    else:
        terms = f"{NO_PARTS} AND {LIVE}"
    if revision is not None:
        values[":seen"] = {"S": revision}
        return f"{_AT_REVISION} AND {terms}"
    if isinstance(write, Touch):
        return f"attribute_exists(revision) AND {terms} AND {_NOT_WRITTEN_SINCE}"
    if isinstance(write, Put) and write.keep_expiry and write.expires_at is not None:
        # No update can leave a live record without an expiry, and give one to a new record. So the former is refused.
        terms = f"{NO_PARTS} AND {_ABSENT_OR_EXPIRES_LATER}"
    return f"{OURS_OR_NONE} AND {terms} AND {_NOT_CREATED_SINCE}"


def _as_seen(change: Change, over: Known, value: Encoded | None, values: Attributes) -> str:
    """Return the condition that a record is as it was seen: at its revision, and as live as it was.

    A touch moves the expiry without a new revision, so a record may have expired, or even live again, since it was
    seen. Where parts of a value are to expire with their record, the expiry must be the very one that was seen. A write
    that is sent again after somebody has removed the record makes it at the same revision, with other parts.
    """
    write = change.write
    if over.token.revision is None:
        return "attribute_exists(pk) AND attribute_not_exists(revision)"
    values[":seen"] = over.token.revision
    if over.damaged:
        return _AT_REVISION
    as_seen = _AT_REVISION
    if over.token.split is not None:
        values[":parts"] = over.token.split.attribute
        as_seen = f"{_AT_REVISION} AND {_SAME_PARTS}"
    if isinstance(write, Touch) or (_keeps_expiry(change) and value is not None and value.form == PARTS):
        if over.expires_at is None:
            return f"{as_seen} AND attribute_not_exists(expiresAt)"
        values[":was"] = {"S": over.expires_at}
        return f"{as_seen} AND expiresAt = :was"
    values[":at"] = {"S": write.at}
    return f"{as_seen} AND {LIVE if over.live(write.at) else EXPIRED}"


def _keeps_expiry(change: Change) -> bool:
    """Return whether a live record that a change writes keeps its expiry."""
    write = change.write
    return isinstance(write, Put) and write.keep_expiry and (change.live or isinstance(change.over, Unseen))


def _touching(touch: Touch, change: Change, condition: str, values: Attributes) -> Request:
    """Move an expiry."""
    sets = expiring(touch.expires_at)
    gone = () if sets else _EXPIRY
    if touch.fence is not None:
        sets[FENCES] = {"S": change.fences}
    values |= {f":{name}": attribute for name, attribute in sets.items()}
    update = " ".join(
        [
            *([f"SET {', '.join(f'{name} = :{name}' for name in sets)}"] if sets else []),
            *([f"REMOVE {', '.join(gone)}"] if gone else []),
        ]
    )
    parameters: dict[str, Any] = {
        "Key": key_of(touch.id),
        "UpdateExpression": update,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
    }
    return Request("update_item", parameters)


def _written(write: Put | Restore, value: Encoded) -> Attributes:
    """Return the attributes that every write of a document sets."""
    return changing(write, value) | vector_attributes(write)


def _put(write: Put | Restore, change: Change, value: Encoded, condition: str, values: Attributes) -> Request:
    """Write a whole item in place of what is there."""
    item = {**key_of(write.id), **identifying(write)}
    if isinstance(write, Put):
        item |= creating(write)
    item |= _written(write, value)
    item |= expiring(_expiry(write))
    item |= encode_metadata(_metadata(write, change) or {})
    item |= first(WRITES, change.marks)
    if change.fences:
        item[FENCES] = {"S": change.fences}
    return Request("put_item", {"Item": item, "ConditionExpression": condition, "ExpressionAttributeValues": values})


def _update(write: Put | Restore, change: Change, value: Encoded, condition: str, values: Attributes) -> Request:
    """Change an item that does not have the write's mark, or create one if it is not known whether there is one."""
    sets = _written(write, value)
    new: Attributes = {}
    gone: tuple[str, ...] = ()
    expiry = expiring(_expiry(write))
    if isinstance(write, Restore):
        sets |= identifying(write)
        gone = HAVE_BEEN
    elif isinstance(change.over, Unseen) and write.if_revision is None:
        sets |= identifying(write)
        new = creating(write)
        if write.keep_expiry:
            new |= expiry
    if not _keeps_expiry(change):
        sets |= expiry
        gone = (*gone, *_EXPIRY)
    if change.fence is not None:
        sets[FENCES] = {"S": change.fences}
    metadata = _metadata(write, change)
    if metadata is not None:
        sets |= encode_metadata(metadata)
        gone = (*gone, "metadata", "metadataJson")
    expression, names = _expression(tuple(sets), gone, tuple(new), len(change.marks))
    values |= operands(change.marks)
    for some in (sets, new):
        values |= {f":{name}": attribute for name, attribute in some.items()}
    parameters = {
        "Key": key_of(write.id),
        "UpdateExpression": expression,
        "ConditionExpression": f"{condition} AND {_UNKNOWN}",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    return Request("update_item", parameters)


@cache
def _expression(
    sets: tuple[str, ...], gone: tuple[str, ...], new: tuple[str, ...], marks: int
) -> tuple[str, dict[str, str]]:
    """Return an ``UpdateExpression`` and its names. There are only a few dozen different ones, so they are cached.

    Args:
        sets: The attributes that are set.
        gone: The attributes that are removed unless they are set, besides those that every write removes.
        new: The attributes that are set only if they are missing.
        marks: How many marks are new.
    """
    removes = [name for name in (*VALUE_FORMS, *gone) if name not in sets]
    # Every name has an alias: `value`, `key` and others are reserved words ("Reserved words in DynamoDB").
    terms = [f"#{name} = :{name}" for name in sets]
    terms += [f"{name} = if_not_exists({name}, :{name})" for name in new]
    terms.append(remembering(WRITES, marks))
    removed = ", ".join(f"#{name}" for name in removes)
    return f"SET {', '.join(terms)} REMOVE {removed}", {f"#{name}": name for name in (*sets, *removes)}


def _expiry(write: Put | Restore) -> str | None:
    """Return when a new record expires after a write."""
    return write.expires_at if isinstance(write, Put) else write.document.expires_at


def _metadata(write: Put | Restore, change: Change) -> dict[str, Any] | None:
    """Return the metadata that a change writes, or ``None`` if it stays as it is."""
    if isinstance(write, Restore):
        return write.document.metadata or {}
    if isinstance(change.over, Known) and change.live:
        text = change.metadata
        found: dict[str, Any] | None = None if text is None else decode(text)
        return found
    return merge_metadata({}, write.metadata) if write.metadata else None


def _counting(access: Access, change: Change) -> Request:
    """Return an update that adds accesses once, and only to the same record that was read."""
    update, condition = _COUNT, _SAME_RECORD
    values: Attributes = {":number": {"N": str(access.number)}, ":created": {"S": access.created_at}}
    values |= {":numeric": {"S": "N"}, **operands(change.marks)}
    if not is_late(change):
        update += _LAST_ACCESS
        condition += _NO_LATER_ACCESS
        values |= {":agent": {"S": access.agent}, ":at": {"S": access.at}}
    parameters = {
        "Key": key_of(access.id),
        "UpdateExpression": update,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
    }
    return Request("update_item", parameters)


def is_late(change: Change) -> bool:
    """Return whether the record names a later access than the one that is counted. The later one then stays."""
    write, over = change.write, change.over
    return isinstance(write, Access) and isinstance(over, Known) and write.at < (over.last_accessed_at or "")


def identity_of(changes: Sequence[Change]) -> str:
    """Return a text that is the same for the same counts, and different for others."""
    return repr([(change.write, change.marks, is_late(change)) for change in changes])
