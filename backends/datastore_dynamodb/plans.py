"""What to ask of the database so that a write means what it should, given what is known about the record.

No I/O here. A write is planned in the hope that one conditional request settles it; where the condition fails, what
was found is what is known for the next plan. So each plan is right under any number of concurrent writers: it either
applies to exactly the state that it was made for, or to none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore.adapters.remembering import mark_of
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
    HAVE_BEEN,
    LIVE,
    NO_PARTS,
    changing,
    creating,
    have_been,
    identifying,
    is_live,
    key_of,
    remembered,
    revision_of,
    text,
)
from datastore_dynamodb.marks import WRITES, knows, operands, remembering, unknown
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


def plan_put(
    put: Put, value: Encoded, known: Item | None, absent: bool = False, hint: Item | None = None
) -> Request | Outcome | Look:
    """Return the request for a `Put`, or the outcome where that is settled already.

    Args:
        put: The write.
        value: Its value, encoded.
        known: The item as the database has just said; ``None`` where nothing is known, or there was none.
        absent: Whether there was none.
        hint: The item as it was seen some time ago. It may shape the request, and settles nothing.
    """
    if known is not None:
        if knows(known, WRITES, mark_of(put.revision)):
            return Outcome(True)  # this very write, done before: its answer was lost
        revision = revision_of(known)
        if is_live(known, put.at):
            if put.if_absent or put.if_revision not in (None, revision):
                return Outcome(False, revision)
            try:
                return _merge(put, value, known)
            except ValueTooLargeError as error:
                return Outcome(False, error=error)
        if put.if_revision is not None:
            return Outcome(False)
        return _replace(put, value, _AT_REVISION, {":seen": {"S": revision}})
    if absent and put.if_revision is not None:
        return Outcome(False)
    if hint is not None and (guess := _as_hinted(put, value, hint)) is not None:
        return guess
    if put.if_revision is not None:
        if put.metadata:
            return LOOK
        values = {":seen": {"S": put.if_revision}, ":at": {"S": put.at}}
        return _update(put, value, f"{_AT_REVISION} AND {NO_PARTS} AND {LIVE}", values)
    if put.if_absent or put.metadata:
        return _replace(put, value, _ABSENT, {":at": {"S": put.at}})
    return _update(put, value, f"{NO_PARTS} AND {LIVE}", {":at": {"S": put.at}}, create=True)


def _as_hinted(put: Put, value: Encoded, hint: Item) -> Request | None:
    """Return the request that does it in one if the record is as it was seen, ``None`` if there is none such."""
    if put.if_absent or not is_live(hint, put.at) or put.if_revision not in (None, revision_of(hint)):
        return None
    try:
        return _merge(put, value, hint)
    except ValueTooLargeError:
        return None


def plan_restore(
    put: Put, whole: Document, value: Encoded, known: Item | None, absent: bool = False
) -> Request | Outcome:
    """Return the request that writes a whole document, or the outcome where that is settled already.

    Its revision is not new, so that a record may know it from long ago: its marks say nothing about a restore.

    Args:
        put: Its value, and the condition: either ``if_absent`` or ``if_revision``.
        whole: The document.
        value: Its value, encoded.
        known: The item as it was last found; ``None`` where nothing is known, or there was none.
        absent: Whether there was none.
    """
    if known is not None:
        revision = revision_of(known)
        values = {":seen": {"S": revision}}
        if is_live(known, put.at):
            if put.if_revision != revision:
                return Outcome(False, revision)
            return _restore(put, whole, value, _AT_REVISION, values)
        if put.if_revision is not None:
            return Outcome(False)
        return _put_whole(put, whole, value, _AT_REVISION, values)
    if put.if_revision is None:
        return _put_whole(put, whole, value, _ABSENT, {":at": {"S": put.at}})
    if absent:
        return Outcome(False)
    values = {":seen": {"S": put.if_revision}, ":at": {"S": put.at}}
    return _restore(put, whole, value, f"{_AT_REVISION} AND {NO_PARTS} AND {LIVE}", values)


def plan_delete(
    delete: Delete, known: Item | None, absent: bool = False, unanswered: bool = False
) -> Request | Outcome:
    """Return the request for a `Delete`, or the outcome where that is settled already.

    Args:
        delete: The write.
        known: The item as the database has just said; ``None`` where nothing is known, or there was none.
        absent: Whether there was none.
        unanswered: Whether it was sent before, and its answer lost.
    """
    if known is not None:
        live = is_live(known, delete.at)
        if delete.if_revision is not None and not (live and revision_of(known) == delete.if_revision):
            if unanswered and _was_made_since(known, delete.at, delete.if_revision):
                return Outcome(True)
            return Outcome(False, revision_of(known) if live else None)
        return _delete(delete, _AT_REVISION, {":seen": {"S": revision_of(known)}})
    if absent:
        return Outcome(unanswered)
    if delete.if_revision is not None:
        values = {":seen": {"S": delete.if_revision}, ":at": {"S": delete.at}}
        return _delete(delete, f"{_AT_REVISION} AND {LIVE}", values)
    return Request("delete_item", {"Key": key_of(delete.id)})


def _was_made_since(known: Item, at: str, revision: str) -> bool:
    """Return whether an item is not the one that had a revision, but was made after that was removed.

    One that was there before the write was sent has refused it; and so has one that knows the revision.
    """
    created_at = text(known, "createdAt")
    return created_at is not None and created_at >= at and not knows(known, WRITES, mark_of(revision))


def _delete(delete: Delete, condition: str, values: Attributes) -> Request:
    return Request(
        "delete_item",
        {"Key": key_of(delete.id), "ConditionExpression": condition, "ExpressionAttributeValues": values},
    )


def _replace(put: Put, value: Encoded, condition: str, values: Attributes) -> Request:
    """Write a new item; what was there goes, whole."""
    metadata = merge_metadata({}, put.metadata or {})
    return _put(put, {**creating(put), **changing(put, value)}, metadata, condition, values)


def _put_whole(put: Put, whole: Document, value: Encoded, condition: str, values: Attributes) -> Request:
    """Write a whole document as a new item; what was there goes, whole."""
    return _put(put, {**changing(put, value), **have_been(whole)}, whole.metadata or {}, condition, values)


def _put(put: Put, attributes: Attributes, metadata: dict[str, Any], condition: str, values: Attributes) -> Request:
    item = {
        **key_of(put.id),
        **identifying(put),
        **attributes,
        **encode_metadata(metadata),
        **remembered(put),
    }
    parameters = {"Item": item, "ConditionExpression": condition, "ExpressionAttributeValues": values}
    return Request("put_item", parameters, metadata)


def _merge(put: Put, value: Encoded, item: Item) -> Request:
    """Change an item that is at the revision at which it was found.

    Raises:
        ValueTooLargeError: If its metadata would become too large.
    """
    metadata = merge_metadata(decode_metadata(item), put.metadata) if put.metadata else None
    return _update(put, value, _AT_REVISION, {":seen": {"S": revision_of(item)}}, metadata=metadata)


def _update(
    put: Put,
    value: Encoded,
    condition: str,
    values: Attributes,
    *,
    create: bool = False,
    metadata: dict[str, Any] | None = None,
) -> Request:
    """Change an item that does not know the write, or create it, and keep what only its creation sets."""
    sets = changing(put, value)
    if create:
        sets |= identifying(put)
    # In a map, "createdAt" stands for "createdAt as it is, unless there is none".
    new = creating(put) if create else {}
    return _change(put, sets, metadata, f"{condition} AND {unknown(WRITES)}", values, new=new)


def _restore(put: Put, whole: Document, value: Encoded, condition: str, values: Attributes) -> Request:
    """Change an item into a whole document, which keeps what the item remembers."""
    sets = {**identifying(put), **changing(put, value), **have_been(whole)}
    return _change(put, sets, whole.metadata or {}, condition, values, removable=HAVE_BEEN)


def _change(
    put: Put,
    sets: Attributes,
    metadata: dict[str, Any] | None,
    condition: str,
    values: Attributes,
    *,
    new: Attributes | None = None,
    removable: tuple[str, ...] = (),
) -> Request:
    removes = [name for name in (*VALUE_FORMS, "expiresAt", TTL, *removable) if name not in sets]
    if metadata is not None:
        sets = {**sets, **encode_metadata(metadata)}
        removes += [name for name in ("metadata", "metadataJson") if name not in sets]
    # Names are aliased one by one: `value`, `key` and others are reserved words ("Reserved words in DynamoDB").
    terms = [f"#{name} = :{name}" for name in sets]
    names = {f"#{name}": name for name in (*sets, *removes)}
    values = {
        **values,
        **{f":{name}": attribute for name, attribute in sets.items()},
        **operands(mark_of(put.revision)),
    }
    for name, attribute in (new or {}).items():
        terms.append(f"{name} = if_not_exists({name}, :{name})")
        values[f":{name}"] = attribute
    terms.append(remembering(WRITES))
    parameters = {
        "Key": key_of(put.id),
        "UpdateExpression": f"SET {', '.join(terms)} REMOVE {', '.join('#' + name for name in removes)}",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    return Request("update_item", parameters, metadata)
