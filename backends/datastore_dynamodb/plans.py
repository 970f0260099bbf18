"""What to ask of the database so that a write means what it should, given what is known about the record.

No I/O here. A write is planned in the hope that one conditional request settles it; where the condition fails, what
was found is what is known for the next plan. So each plan is right under any number of concurrent writers: it either
applies to exactly the state that it was made for, or to none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore.backend import Delete, Document, Outcome, Put
from datastore.errors import ValueTooLargeError
from datastore.values import merge_metadata
from datastore_dynamodb.codec import (
    VALUE_FORMS,
    Attribute,
    Attributes,
    Encoded,
    decode_metadata,
    encode_metadata,
)
from datastore_dynamodb.items import (
    LIVE,
    NO_PARTS,
    changing,
    creating,
    have_been,
    identifying,
    is_live,
    key_of,
    revision_of,
)
from datastore_dynamodb.schema import TTL

Item = Mapping[str, Attribute]


class Request(NamedTuple):
    """One conditional write: the operation of the client, and its parameters but for the table."""

    operation: str
    """``update_item``, ``put_item`` or ``delete_item``."""
    parameters: dict[str, Any]
    metadata: dict[str, Any] | None = None
    """The record's metadata once this is done, where that is known."""


class Look(NamedTuple):
    """Nothing can be asked before the item has been read."""


LOOK = Look()

_AT_REVISION = "revision = :seen"
_ABSENT = f"attribute_not_exists(pk) OR (expiresAt <= :at AND {NO_PARTS})"


def plan_put(put: Put, value: Encoded, known: Item | None, absent: bool = False) -> Request | Outcome | Look:
    """Return the request for a `Put`, or the outcome where that is settled already.

    Args:
        put: The write.
        value: Its value, encoded.
        known: The item as it was last found; ``None`` where nothing is known, or there was none.
        absent: Whether there was none.
    """
    if known is not None:
        revision = revision_of(known)
        if revision == put.revision:
            return Outcome(True)  # this very write, done before: its answer was lost
        if is_live(known, put.at):
            if put.if_absent or put.if_revision not in (None, revision):
                return Outcome(False, revision)
            metadata = None
            if put.metadata:
                try:
                    metadata = merge_metadata(decode_metadata(known), put.metadata)
                except ValueTooLargeError as error:
                    return Outcome(False, error=error)
            return _update(put, value, _AT_REVISION, {":seen": {"S": revision}}, metadata=metadata)
        if put.if_revision is not None:
            return Outcome(False)
        return _replace(put, value, _AT_REVISION, {":seen": {"S": revision}})
    if put.if_revision is not None:
        if absent:
            return Outcome(False)
        if put.metadata:
            return LOOK
        values = {":seen": {"S": put.if_revision}, ":at": {"S": put.at}}
        return _update(put, value, f"{_AT_REVISION} AND {NO_PARTS} AND {LIVE}", values)
    if put.if_absent or put.metadata:
        return _replace(put, value, _ABSENT, {":at": {"S": put.at}})
    return _update(put, value, f"{NO_PARTS} AND {LIVE}", {":at": {"S": put.at}}, create=True)


def plan_restore(
    put: Put, whole: Document, value: Encoded, known: Item | None, absent: bool = False
) -> Request | Outcome:
    """Return the request that writes a whole document, or the outcome where that is settled already.

    Args:
        put: Its value, and the condition: either ``if_absent`` or ``if_revision``.
        whole: The document.
        value: Its value, encoded.
        known: The item as it was last found; ``None`` where nothing is known, or there was none.
        absent: Whether there was none.
    """
    metadata = whole.metadata or {}
    item = {
        **key_of(put.id),
        **identifying(put),
        **changing(put, value),
        **have_been(whole),
        **encode_metadata(metadata),
    }
    values = {":at": {"S": put.at}}
    if known is not None:
        revision = revision_of(known)
        if is_live(known, put.at):
            if put.if_revision != revision:
                return Outcome(False, revision)
        elif put.if_revision is not None:
            return Outcome(False)
        condition, values = _AT_REVISION, {":seen": {"S": revision}}
    elif put.if_revision is None:
        condition = _ABSENT
    elif absent:
        return Outcome(False)
    else:
        condition = f"{_AT_REVISION} AND {NO_PARTS} AND {LIVE}"
        values[":seen"] = {"S": put.if_revision}
    parameters = {"Item": item, "ConditionExpression": condition, "ExpressionAttributeValues": values}
    return Request("put_item", parameters, metadata)


def plan_delete(delete: Delete, known: Item | None, absent: bool = False) -> Request | Outcome:
    """Return the request for a `Delete`, or the outcome where that is settled already."""
    if known is not None:
        live = is_live(known, delete.at)
        if delete.if_revision is not None and not (live and revision_of(known) == delete.if_revision):
            return Outcome(False, revision_of(known) if live else None)
        return _delete(delete, _AT_REVISION, {":seen": {"S": revision_of(known)}})
    if absent:
        return Outcome(False)
    if delete.if_revision is not None:
        values = {":seen": {"S": delete.if_revision}, ":at": {"S": delete.at}}
        return _delete(delete, f"{_AT_REVISION} AND {LIVE}", values)
    return Request("delete_item", {"Key": key_of(delete.id)})


def _delete(delete: Delete, condition: str, values: Attributes) -> Request:
    return Request(
        "delete_item",
        {"Key": key_of(delete.id), "ConditionExpression": condition, "ExpressionAttributeValues": values},
    )


def _replace(put: Put, value: Encoded, condition: str, values: Attributes) -> Request:
    """Write a new item; what was there goes, whole."""
    metadata = merge_metadata({}, put.metadata or {})
    item = {
        **key_of(put.id),
        **identifying(put),
        **creating(put),
        **changing(put, value),
        **encode_metadata(metadata),
    }
    parameters = {"Item": item, "ConditionExpression": condition, "ExpressionAttributeValues": values}
    return Request("put_item", parameters, metadata)


def _update(
    put: Put,
    value: Encoded,
    condition: str,
    values: Attributes,
    *,
    create: bool = False,
    metadata: dict[str, Any] | None = None,
) -> Request:
    """Change an item, or create it, and keep what only its creation sets."""
    sets = changing(put, value)
    removes = [name for name in (*VALUE_FORMS, "expiresAt", TTL) if name not in sets]
    if metadata is not None:
        sets |= encode_metadata(metadata)
        removes += [name for name in ("metadata", "metadataJson") if name not in sets]
    if create:
        sets |= identifying(put)
    # Names are aliased one by one: `value`, `key` and others are reserved words ("Reserved words in DynamoDB").
    terms = [f"#{name} = :{name}" for name in sets]
    names = {f"#{name}": name for name in (*sets, *removes)}
    values = {**values, **{f":{name}": attribute for name, attribute in sets.items()}}
    if create:
        # In a map, "createdAt" stands for "createdAt as it is, unless there is none".
        for name, attribute in creating(put).items():
            terms.append(f"{name} = if_not_exists({name}, :{name})")
            values[f":{name}"] = attribute
    parameters = {
        "Key": key_of(put.id),
        "UpdateExpression": f"SET {', '.join(terms)} REMOVE {', '.join('#' + name for name in removes)}",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    return Request("update_item", parameters, metadata)
