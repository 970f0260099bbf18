"""Items: the keys and attributes of a record, and how they become documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore.adapters.knowledge import Known, damaged_one
from datastore.backend import Document, Fields, Put, Restore
from datastore.documents import UNDECODABLE, foreign
from datastore.errors import InvalidValueError
from datastore.times import parse_time
from datastore.values import encode
from datastore_dynamodb.answers import lost
from datastore_dynamodb.codec import PARTS, VALUE_FORMS, Attribute, Attributes, Encoded, decode_metadata
from datastore_dynamodb.marks import COUNTS, WRITES, marks_of
from datastore_dynamodb.schema import PARTITION, SORT, TTL

REVISION, FENCES = "revision", "fences"
_PARTS_DIGITS = 2  # of the number of parts: the largest value has 3
_LAST_SORT_KEY = "\U0010ffff" * 256  # of 1,024 bytes, the most that a sort key may take
_KEY = (PARTITION, SORT, "createdAt", "revision", "expiresAt")


def _projection(*names: str) -> Mapping[str, Any]:
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in names),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }


_WITH_VALUE = _projection(*_KEY, *VALUE_FORMS)
PROJECTION: tuple[Mapping[str, Any], ...] = (_projection(*_KEY), _WITH_VALUE, {}, _WITH_VALUE)
"""The parameters of a read, by `Fields`. Leaving attributes out saves no units, but makes the answer smaller."""

_TO_CHANGE = (*_KEY, PARTS, "accessCount", "lastAccessedAt", FENCES, *WRITES, *COUNTS)
LOADED: tuple[Mapping[str, Any], ...] = (
    _projection(*_TO_CHANGE),
    _projection(*_TO_CHANGE, "metadata", "metadataJson"),
)
"""The parameters of a read before a write, without and with the metadata."""

HAVE_BEEN = ("lastAccessedByAgent", "lastAccessedAt", "updatedByAgent")
"""The attributes that may be missing from what `have_been` returns."""
NO_PARTS = "attribute_not_exists(valueParts)"
LIVE = "(attribute_not_exists(expiresAt) OR expiresAt > :at)"
EXPIRED = "expiresAt <= :at"

OURS_OR_NONE = "(attribute_not_exists(pk) OR attribute_exists(revision))"
"""An item that another program has written has no revision."""


class Split(NamedTuple):
    """The parts that a value is split across."""

    name: str
    """What tells them from other parts of values that the same record has had, or is about to have."""
    number: int
    attribute: Attribute
    """How the record's item names them."""


class Token(NamedTuple):
    """What the condition of a change compares, and which parts become garbage once the change is made."""

    revision: Attribute | None
    """As it is stored, even if it is not text; ``None`` if there is none."""
    split: Split | None
    """The parts of the value; ``None`` if it has none."""


def token_of(item: Mapping[str, Attribute]) -> Token:
    """Return the token of an item."""
    return Token(item.get(REVISION), split_of(item))


def known_of(item: Mapping[str, Attribute], *, metadata: bool) -> Known:
    """Return what the toolkit must know of a record before changing it, from its item as read with `LOADED`."""
    token = token_of(item)
    try:
        return Known(
            token,
            revision_of(item),
            item["createdAt"]["S"],
            text(item, "expiresAt"),
            encode(decode_metadata(item), "metadata") if metadata else None,
            marks_of(item, WRITES),
            marks_of(item, COUNTS),
            access_count=int(item["accessCount"]["N"]),
            last_accessed_at=text(item, "lastAccessedAt"),
            fences=fences_of(item),
        )
    except (InvalidValueError, *UNDECODABLE):
        return damaged_one(token, foreign=REVISION not in item)


def known_after_reading(item: Mapping[str, Attribute], document: Document) -> Known:
    """Return what to remember of a record that was read as a whole."""
    metadata = encode(document.metadata, "metadata") if document.metadata else "{}"
    return Known(
        token_of(item),
        document.revision,
        document.created_at,
        document.expires_at,
        metadata,
        fences=fences_of(item),
    )


def key_of(id: str) -> Attributes:
    """Return the primary key of a record's item."""
    user, _, rest = id.partition(":")
    return {PARTITION: {"S": user}, SORT: {"S": rest}}


def id_of(item: Mapping[str, Attribute]) -> str:
    """Return a record's id from its item or from the item's key.

    Raises:
        BackendUnavailableError: If it has no key, which every item from DynamoDB has.
    """
    try:
        return f"{item[PARTITION]['S']}:{item[SORT]['S']}"
    except (LookupError, TypeError):
        lost("an item has no key")


def own_key(item: Mapping[str, Attribute]) -> Attributes:
    """Return the primary key of an item that was read.

    Raises:
        BackendUnavailableError: As `id_of`.
    """
    id_of(item)
    return {PARTITION: item[PARTITION], SORT: item[SORT]}


def text(item: Mapping[str, Attribute], name: str) -> str | None:
    """Return the text in an attribute; ``None`` if it is missing."""
    attribute = item.get(name)
    return None if attribute is None else attribute["S"]


def fences_of(item: Mapping[str, Attribute]) -> str:
    """Return what an item remembers of leases (`datastore.fences`)."""
    fences: str = item.get(FENCES, {}).get("S", "")
    return fences


def revision_of(item: Mapping[str, Attribute]) -> str:
    """Return the revision of an item."""
    revision: str = item[REVISION]["S"]
    return revision


def split_of(item: Mapping[str, Attribute]) -> Split | None:
    """Return the parts that the value in an item is split across; ``None`` if it is not, or if what says so is damaged.

    Earlier versions stored only the number of parts, whose name was the revision.
    """
    attribute = item.get(PARTS)
    if attribute is None:
        return None
    if "N" in attribute:
        name, number = item.get(REVISION, {}).get("S", ""), attribute["N"]
    else:
        name, _, number = attribute.get("S", "").rpartition(":")
    if not (number.isdecimal() and len(number) <= _PARTS_DIGITS and int(number)):
        return None
    return Split(name, int(number), attribute)


def parts_of(item: Mapping[str, Attribute]) -> int:
    """Return how many other items the value is split across: usually 0, and 0 if what says so is damaged."""
    split = split_of(item)
    return 0 if split is None else split.number


def is_live(item: Mapping[str, Attribute], at: str) -> bool:
    """Return whether an item is not expired."""
    expires_at = text(item, "expiresAt")
    return expires_at is None or expires_at > at


def to_document(item: Mapping[str, Attribute], fields: Fields, value: Any = None) -> Document:
    """Return the document in an item, with the given value if the item does not hold it itself.

    Raises:
        datastore.errors.DamagedRecordError: If another program wrote the item.
    """
    id = id_of(item)
    if REVISION not in item:
        raise foreign(id)
    created_at = item["createdAt"]["S"]
    if fields is not Fields.ALL:
        return Document(id, created_at, revision_of(item), text(item, "expiresAt"), value)
    return Document(
        id=id,
        created_at=created_at,
        revision=revision_of(item),
        expires_at=text(item, "expiresAt"),
        value=value,
        metadata=decode_metadata(item),
        created_by_agent=item["createdByAgent"]["S"],
        updated_at=item["updatedAt"]["S"],
        access_count=int(item["accessCount"]["N"]),
        last_accessed_by_agent=text(item, "lastAccessedByAgent"),
        last_accessed_at=text(item, "lastAccessedAt"),
        updated_by_agent=text(item, "updatedByAgent"),
    )


def identifying(write: Put | Restore) -> Attributes:
    """Return the attributes that say in plain words which record an item is, as its key does."""
    return {
        "_id": {"S": write.id},
        "userId": {"S": write.user_id},
        "namespace": {"S": write.namespace},
        "key": {"S": write.key},
    }


def changing(write: Put | Restore, value: Encoded) -> Attributes:
    """Return the attributes that every write sets, new record or not, besides those of its expiry."""
    attributes: Attributes = {
        "updatedAt": {"S": write.at},
        REVISION: {"S": revision_after(write)},
        value.form: value.attribute,
    }
    if isinstance(write, Restore):
        return attributes | have_been(write.document)
    attributes["updatedByAgent"] = {"S": write.agent}
    return attributes


def expiring(expires_at: str | None) -> Attributes:
    """Return the attributes that say when a record expires; none if it never does."""
    return {} if expires_at is None else {"expiresAt": {"S": expires_at}, TTL: {"N": str(epoch(expires_at))}}


def revision_after(write: Put | Restore) -> str:
    """Return the revision that a record has after a write."""
    return write.revision if isinstance(write, Put) else write.document.revision


def creating(put: Put) -> Attributes:
    """Return the attributes that only the first write of a record sets."""
    return {
        "createdAt": {"S": put.at},
        "createdByAgent": {"S": put.agent},
        "accessCount": {"N": "0"},
    }


def have_been(document: Document) -> Attributes:
    """Return the attributes of a document's history, which an agent's write never sets."""
    attributes: Attributes = {
        "createdAt": {"S": document.created_at},
        "createdByAgent": {"S": document.created_by_agent},
        "updatedAt": {"S": document.updated_at},
        "accessCount": {"N": str(document.access_count)},
    }
    if document.last_accessed_by_agent is not None:
        attributes["lastAccessedByAgent"] = {"S": document.last_accessed_by_agent}
    if document.last_accessed_at is not None:
        attributes["lastAccessedAt"] = {"S": document.last_accessed_at}
    if document.updated_by_agent is not None:
        attributes["updatedByAgent"] = {"S": document.updated_by_agent}
    return attributes


def after_partition(name: str) -> Attributes:
    """Return the last key that a partition can have, for a scan that goes on with the next one.

    DynamoDB does not ask whether there is an item with the key.
    """
    return {PARTITION: {"S": name}, SORT: {"S": _LAST_SORT_KEY}}


def scan_key_of(after: str) -> Attributes:
    """Return the key of any item, including parts of values, from the id that `id_of` gave."""
    user, _, rest = after.partition(":")
    if rest.startswith(":"):  # a part is in the partition "<user>:"
        return {PARTITION: {"S": user + ":"}, SORT: {"S": rest[1:]}}
    return {PARTITION: {"S": user}, SORT: {"S": rest}}


def epoch(time: str, margin: int = 0) -> int:
    """Return a time in seconds since the epoch, rounded up, as DynamoDB's time to live needs it."""
    return math.ceil(parse_time(time).timestamp()) + margin
