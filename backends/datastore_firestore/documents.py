"""The fields of a stored document, and how they become a `Document`, or how a `Put` becomes a write.

The fields have the names of the record's fields. There are also:

- ``_id``, the record's id again: documents are listed from the last to the first by its index, because Firestore does
  not do that by name;
- ``valueJson`` and ``metadataJson`` instead of ``value`` and ``metadata`` where those are not native;
- ``content`` instead of ``value`` where that is bytes (`datastore.contents`);
- ``valueArrays`` and ``metadataArrays``, the paths at which they hold arrays (``""`` for JSON text), so that a query
  can ask for what its filters do not see;
- in a document that expires, ``expires`` (true), by which a count finds the documents that it must check, and
  ``expiryMicros``, which is ``expiresAt`` as a number that a delete can read while it removes the document;
- ``recentWrites`` and ``recentCounts``, by which a write or a count that is sent again recognises itself
  (`datastore.adapters.remembering`);
- in a document that was written under a lease, ``fences`` (`datastore.fences`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.cloud.firestore_v1.types import write as messages

from datastore.adapters.knowledge import Known, damaged_one
from datastore.adapters.vectors import numbers_of
from datastore.backend import Access, Document, Fields, Put, Restore, Touch
from datastore.contents import content_of, value_of_stored
from datastore.documents import UNDECODABLE, damaged, foreign
from datastore.errors import InvalidValueError
from datastore.values import UnreadableError, decode, encode
from datastore_firestore.client import Message
from datastore_firestore.codec import (
    METADATA_LIMITS,
    VALUE_LIMITS,
    Limits,
    arrays_in,
    decode_native,
    fill,
    get_bytes,
    get_integer,
    get_text,
    get_time,
    micros,
    set_time,
)

_Write: Any = messages.Write.pb()

MARKER = "_format"
"""The document that is no record: it holds the collection's format. Ids have two colons and never begin so."""
ID = "_id"
WRITES, COUNTS, FENCES = "recentWrites", "recentCounts", "fences"
KEY = (ID, "createdAt", "revision", "expiresAt", "lastAccessedAt", "accessCount", WRITES, COUNTS, FENCES)
"""Always read: the next write and the counting of accesses need them. Firestore bills a document, not its fields."""
_WITH_VALUE = (*KEY, "value", "valueJson", "content")
MASKS: Sequence[Sequence[str] | None] = (KEY, _WITH_VALUE, None, _WITH_VALUE)
"""The fields to ask for, by `Fields`."""
MOST_DIMENSIONS = 2_048
"""The most dimensions of a vector for an index (Firestore, Search with vector embeddings)."""

KEY_AND_METADATA = (*KEY, "metadata", "metadataJson")

_CHANGED = (
    "value",
    "valueJson",
    "valueArrays",
    "content",
    "revision",
    WRITES,
    "updatedAt",
    "updatedByAgent",
)
_EXPIRY = ("expiresAt", "expiryMicros", "expires")
"""With `_CHANGED`, what a write replaces in a live document. Those that the write does not give are removed."""


def to_document(id: str, stored: Message, fields: Fields, *, earlier: bool = False) -> Document:
    """Return the store's document for a stored document.

    Args:
        id: Its id, by its name.
        stored: With what `MASKS` asks for.
        fields: How much of it is wanted.
        earlier: Whether it is of the earlier format, which has no field for the id.

    Raises:
        datastore.errors.DamagedRecordError: If another program wrote it.
        datastore.documents.UNDECODABLE: If it does not have the form in which the store writes documents.
    """
    found = stored.fields
    if "revision" not in found:
        raise foreign(id)
    if not earlier and found[ID].string_value != id:
        raise damaged(id, f"its field {ID} does not hold its name")
    expires_at = get_time(found["expiresAt"]) if "expiresAt" in found else None
    key = Document(id, get_time(found["createdAt"]), get_text(found["revision"]), expires_at)
    if fields is Fields.KEY:
        return key
    if "content" in found:
        value = value_of_stored(get_bytes(found["content"]), fields)
    else:
        value = _value(found, "value", "valueJson")
    if fields is not Fields.ALL:
        return key._replace(value=value)
    accessed = "lastAccessedAt" in found
    return Document(
        *key[:4],
        value,
        _value(found, "metadata", "metadataJson"),
        get_text(found["createdByAgent"]),
        get_time(found["updatedAt"]),
        get_integer(found["accessCount"]),
        get_text(found["lastAccessedByAgent"]) if accessed else None,
        get_time(found["lastAccessedAt"]) if accessed else None,
        get_text(found["updatedByAgent"]) if "updatedByAgent" in found else None,
    )


def token_of(time: Message) -> tuple[int, int]:
    """Return an update time as a token: a precondition on it holds as long as nothing in the document has changed."""
    return time.seconds, time.nanos


def known_of(id: str, stored: Message, with_metadata: bool) -> Known:
    """Return what the toolkit must know of a stored document, without its value.

    Args:
        id: The document's id, according to its name.
        stored: The document, with at least `KEY`.
        with_metadata: Whether the metadata was read too.
    """
    token, found = token_of(stored.update_time), stored.fields
    if "revision" not in found:  # looking a field up would add it
        return damaged_one(token, foreign=True)
    if found[ID].string_value != id:
        return damaged_one(token)
    try:
        return Known(
            token,
            get_text(found["revision"]),
            get_time(found["createdAt"]),
            get_time(found["expiresAt"]) if "expiresAt" in found else None,
            _metadata(found) if with_metadata else None,
            found[WRITES].string_value if WRITES in found else "",
            found[COUNTS].string_value if COUNTS in found else "",
            access_count=get_integer(found["accessCount"]),
            last_accessed_at=get_time(found["lastAccessedAt"]) if "lastAccessedAt" in found else None,
            fences=found[FENCES].string_value if FENCES in found else "",
        )
    except (InvalidValueError, *UNDECODABLE):
        return damaged_one(token)


def _metadata(found: Any) -> str:
    """Return the metadata of a document as JSON text."""
    if "metadataJson" in found:
        return get_text(found["metadataJson"])
    return encode(decode_native(found["metadata"])) if "metadata" in found else "{}"


def create(name: str, put: Put, after: Known) -> Message:
    """Return the write of a whole new document; the caller adds the precondition."""
    write = _Write()
    write.update.name = name
    fields = write.update.fields
    _set_texts(fields, put, after)
    fields["accessCount"].integer_value = 0
    set_time(fields["createdAt"], put.at)
    _set_changed(fields, put, after.writes, len(name))
    _set_expiry(fields, put.expires_at)
    _set_metadata(fields, after.metadata or "{}", len(name))
    _set_fences(fields, after)
    return write


def restore(name: str, item: Restore, after: Known) -> Message:
    """Return the write of a whole document with its own times and counts; the caller adds the precondition."""
    whole = item.document
    write = _Write()
    write.update.name = name
    fields = write.update.fields
    _set_texts(fields, item, after)
    fields["revision"].string_value = whole.revision
    fields[WRITES].string_value = after.writes
    fields["accessCount"].integer_value = whole.access_count
    set_time(fields["createdAt"], whole.created_at)
    set_time(fields["updatedAt"], whole.updated_at)
    if whole.last_accessed_at is not None:
        set_time(fields["lastAccessedAt"], whole.last_accessed_at)
        fields["lastAccessedByAgent"].string_value = whole.last_accessed_by_agent or ""
    if whole.updated_by_agent is not None:
        fields["updatedByAgent"].string_value = whole.updated_by_agent
    _set_expiry(fields, whole.expires_at)
    _set_value(fields, item, len(name))
    _set_metadata(fields, after.metadata or "{}", len(name))
    _set_fences(fields, after)
    return write


def update(name: str, put: Put, after: Known, metadata: str | None) -> Message:
    """Return the write that changes a live document; the caller adds the precondition.

    Args:
        name: The document's name.
        put: What to write.
        after: What is known of the document after the write.
        metadata: The whole of its metadata; ``None`` to leave it as it is.
    """
    write = _Write()
    write.update.name = name
    write.update_mask.field_paths.extend(_CHANGED)
    _set_changed(write.update.fields, put, after.writes, len(name))
    if put.vector is not None and len(put.vector) <= 4 * MOST_DIMENSIONS:
        write.update_mask.field_paths.append(vector_field(put.vector))
    if not put.keep_expiry:
        write.update_mask.field_paths.extend(_EXPIRY)
        _set_expiry(write.update.fields, put.expires_at)
    if metadata is not None:
        write.update_mask.field_paths.extend(("metadata", "metadataJson", "metadataArrays"))
        _set_metadata(write.update.fields, metadata, len(name))
    if put.fence is not None:
        write.update_mask.field_paths.append(FENCES)
        _set_fences(write.update.fields, after)
    return write


def touch(name: str, item: Touch, after: Known) -> Message:
    """Return the write that moves the expiry of a live document; the caller adds the precondition."""
    write = _Write()
    write.update.name = name
    write.update_mask.field_paths.extend(_EXPIRY)
    _set_expiry(write.update.fields, item.expires_at)
    if item.fence is not None:
        write.update_mask.field_paths.append(FENCES)
        _set_fences(write.update.fields, after)
    return write


def count(name: str, access: Access, after: Known) -> Message:
    """Return the write that adds accesses with their mark, and sets the last access unless a later one is stored."""
    write = _Write()
    write.update.name = name
    write.update_mask.field_paths.append(COUNTS)
    write.update.fields[COUNTS].string_value = after.counts
    if after.last_accessed_at == access.at:
        write.update_mask.field_paths.extend(("lastAccessedAt", "lastAccessedByAgent"))
        set_time(write.update.fields["lastAccessedAt"], access.at)
        write.update.fields["lastAccessedByAgent"].string_value = access.agent
    _transform(write, "accessCount").increment.integer_value = access.number
    return write


def remove(name: str) -> Message:
    """Return the write that removes a document."""
    return _Write(delete=name)


def probe(name: str) -> Message:
    """Return the write whose result tells `probed` what there was. `remove` must follow it in the same commit.

    Firestore answers a delete without saying what it removed. But a commit applies its writes in order and atomically,
    and a transformation returns the number that it leaves: the greater of the stored and the given number, or the given
    one if none is stored (``DocumentTransform.FieldTransform.maximum``).
    """
    write = _Write()
    write.update.name = name
    write.update_mask.SetInParent()
    _transform(write, "accessCount").maximum.integer_value = -1
    _transform(write, "expiryMicros").maximum.integer_value = 0
    return write


def probed(result: Message, at: str) -> bool:
    """Return whether there was a live document, from the result of the write that `probe` returned."""
    count, expiry = (int(answer.integer_value) for answer in result.transform_results)
    return count >= 0 and (expiry == 0 or expiry > micros(at))


def _value(found: Any, native: str, text: str) -> Any:
    if text in found:
        return decode(get_text(found[text]))
    if native not in found:
        raise UnreadableError(f"no {native}")
    return decode_native(found[native])


def _set_texts(fields: Any, write: Put | Restore, after: Known) -> None:
    fields[ID].string_value = write.id
    fields["userId"].string_value = write.user_id
    fields["namespace"].string_value = write.namespace
    fields["key"].string_value = write.key
    fields["createdByAgent"].string_value = after.created_by_agent


def _set_changed(fields: Any, put: Put, writes: str, name_bytes: int) -> None:
    fields["revision"].string_value = put.revision
    fields[WRITES].string_value = writes
    set_time(fields["updatedAt"], put.at)
    fields["updatedByAgent"].string_value = put.agent
    _set_value(fields, put, name_bytes)
    if put.vector is not None and len(put.vector) <= 4 * MOST_DIMENSIONS:
        fill_vector(fields[vector_field(put.vector)], put.vector)


def vector_field(vector: bytes) -> str:
    """Return the name of the field of vectors of as many dimensions."""
    return f"vector{len(vector) // 4}"


def fill_vector(value: Message, vector: bytes) -> None:
    """Make a value a vector."""
    fields = value.map_value.fields
    fields["__type__"].string_value = "__vector__"
    values = fields["value"].array_value.values
    for number in numbers_of(vector):
        values.add().double_value = number


def _set_expiry(fields: Any, expires_at: str | None) -> None:
    if expires_at is not None:
        set_time(fields["expiresAt"], expires_at)
        fields["expiryMicros"].integer_value = micros(expires_at)
        fields["expires"].boolean_value = True


def _set_fences(fields: Any, after: Known) -> None:
    if after.fences:
        fields[FENCES].string_value = after.fences


def _set_metadata(fields: Any, metadata: str, name_bytes: int) -> None:
    _set_json(fields, "metadata", decode(metadata), metadata, name_bytes, METADATA_LIMITS)


def _set_value(fields: Any, write: Put | Restore, name_bytes: int) -> None:
    content = content_of(write)
    if content is not None:
        fields["content"].bytes_value = content
        return
    value = write.value if isinstance(write, Put) else write.document.value
    _set_json(fields, "value", value, write.json, name_bytes, VALUE_LIMITS)


def _set_json(fields: Any, name: str, value: Any, json: str, name_bytes: int, limits: Limits) -> None:
    if fill(fields[name], value, name_bytes, limits):
        arrays = arrays_in(value)
    else:
        del fields[name]
        fields[f"{name}Json"].string_value = json
        arrays = [""]
    if arrays:
        values = fields[f"{name}Arrays"].array_value.values
        for path in arrays:
            values.add().string_value = path


def _transform(write: Message, field: str) -> Message:
    transform = write.update_transforms.add()
    transform.field_path = field
    return transform
