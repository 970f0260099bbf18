"""From documents of CouchDB to documents of the store, and back."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from datastore.adapters import knowledge as toolkit
from datastore.adapters.changes import Change
from datastore.adapters.knowledge import Known, State
from datastore.backend import Document, Put, Restore
from datastore.documents import UNDECODABLE, check
from datastore.errors import DamagedRecordError, InvalidValueError
from datastore.ids import is_system
from datastore.values import UnreadableError, decode
from datastore_couchdb.keeping import Kept, as_javascript, kept

_VALUE = "value", "valueJson", "valueExact"
_METADATA = "metadata", "metadataJson", "metadataExact"


def known_of(document: dict[str, Any]) -> Known:
    """Return what the toolkit must know of a CouchDB document, which is kept as its ``source``."""
    try:
        return _known(document, _whole(document, None))
    except (DamagedRecordError, InvalidValueError, *UNDECODABLE):
        return toolkit.damaged_one(document["_rev"], foreign=is_foreign(document))


def read_of(document: dict[str, Any], seen: State | None) -> tuple[Document | None, Known]:
    """Return the store's document for a CouchDB document, ``None`` if it is damaged, and what the toolkit must know.

    The two are independent: the value of a document can be read although its provenance is damaged, and the reverse.

    Args:
        document: What was read.
        seen: What is remembered of it. At the same revision of CouchDB's nothing has changed.
    """
    try:
        whole = document_of(document)
    except (DamagedRecordError, *UNDECODABLE):
        return None, known_of(document)
    if isinstance(seen, Known) and seen.token == document["_rev"]:
        return whole, seen
    try:
        return whole, _known(document, whole)
    except (DamagedRecordError, InvalidValueError, *UNDECODABLE):
        return whole, toolkit.damaged_one(document["_rev"], foreign=is_foreign(document))


def is_foreign(document: dict[str, Any]) -> bool:
    """Return whether another program has written a document: the store gives each document a revision."""
    return type(document.get("revision")) is not str


def _known(document: dict[str, Any], whole: Document) -> Known:
    writes, counts, fences = map(_text, map(document.get, ("recentWrites", "recentCounts", "fences")))
    return toolkit.known_of(check(whole), document["_rev"], writes, counts, document, fences=fences)


def _text(stored: object) -> str:
    return stored if type(stored) is str else ""


def document_of(document: dict[str, Any]) -> Document:
    """Return the store's document for a CouchDB document.

    Raises:
        datastore.documents.UNDECODABLE: If it is not a document of the store.
    """
    return _whole(document, _native(document, *_VALUE))


def _whole(document: dict[str, Any], value: Any) -> Document:
    return Document(
        document["_id"],
        document["createdAt"],
        document["revision"],
        document.get("expiresAt"),
        value,
        _native(document, *_METADATA),
        document["createdByAgent"],
        document["updatedAt"],
        document["accessCount"],
        document.get("lastAccessedByAgent"),
        document.get("lastAccessedAt"),
        document.get("updatedByAgent"),
    )


def value_of(document: dict[str, Any]) -> Document:
    """Return the store's document for a CouchDB document of which only the fields for the value were read."""
    return Document(
        document["_id"],
        document["createdAt"],
        document["revision"],
        document.get("expiresAt"),
        _native(document, *_VALUE),
    )


def text_of(change: Change, exact: bool) -> str:
    """Return the JSON text of the document that a write makes.

    Args:
        change: The write of a `Put` or a `Restore`.
        exact: Whether the server keeps numbers (`datastore_couchdb.keeping`).
    """
    named, new = change.write, change.after
    assert isinstance(named, Put | Restore)  # noqa: S101  # the others have functions of their own
    assert isinstance(new, Known)  # noqa: S101  # what is replaced was read, or taken for missing: the result is known
    value = named.value if isinstance(named, Put) else named.document.value
    fields: dict[str, Any] = {"_id": named.id}
    if change.token is not None:
        fields["_rev"] = change.token
    # A system record has no namespace there, like a flag, so that no view counts it and no query finds it.
    namespace = "" if is_system(named.id) else named.namespace
    fields |= {"userId": named.user_id, "namespace": namespace, "key": named.key}
    fields |= {
        "createdByAgent": new.created_by_agent,
        "updatedByAgent": new.updated_by_agent,
        "lastAccessedByAgent": new.last_accessed_by_agent,
        "accessCount": new.access_count,
        "createdAt": new.created_at,
        "updatedAt": new.updated_at,
        "lastAccessedAt": new.last_accessed_at,
        "revision": new.revision,
        "recentWrites": new.writes,
    }
    if new.counts:
        fields["recentCounts"] = new.counts
    if new.fences:
        fields["fences"] = new.fences
    if new.expires_at is not None:
        fields["expiresAt"] = new.expires_at  # otherwise left out, so that the expiry index stays small
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    metadata = new.metadata or "{}"
    native = _field("metadata", decode(metadata), metadata, exact)
    return f"{text[:-1]},{native},{_field('value', value, named.json, exact)}}}"


def counted_text(change: Change) -> str:
    """Return the JSON text of a document with its accesses counted. Everything else stays as it was read.

    Raises:
        UnreadableError: If something in it could not be read.
    """
    over, new = change.over, change.after
    assert isinstance(over, Known)  # noqa: S101  # counting begins with a read
    assert isinstance(new, Known)  # noqa: S101  # and so its result is known
    document = over.source | {"accessCount": new.access_count, "recentCounts": new.counts}
    document |= {"lastAccessedByAgent": new.last_accessed_by_agent, "lastAccessedAt": new.last_accessed_at}
    return json.dumps(document, ensure_ascii=False, default=_refuse)


def touched_text(change: Change) -> str:
    """Return the JSON text of a document with its expiry moved. Everything else stays as it was read.

    Raises:
        UnreadableError: If something in it could not be read.
    """
    over, new = change.over, change.after
    assert isinstance(over, Known)  # noqa: S101  # a touch begins with a read, for the value is written again
    assert isinstance(new, Known)  # noqa: S101  # and so its result is known
    document = over.source | {"expiresAt": new.expires_at}
    if new.expires_at is None:
        del document["expiresAt"]  # so that the expiry index stays small
    if new.fences:
        document["fences"] = new.fences
    return json.dumps(document, ensure_ascii=False, default=_refuse)


def _refuse(value: Any) -> NoReturn:
    """Raise the error that stands for what could not be read; nothing else in a document is no JSON."""
    raise value


def _field(name: str, value: Any, text: str, exact: bool) -> str:
    """Return the JSON text of the fields that hold a value; see `datastore_couchdb.keeping`."""
    how = kept(value, exact)
    if how is Kept.NATIVE:
        return f'"{name}":{text}'
    quoted = json.dumps(text, ensure_ascii=False)
    if how is Kept.TEXT:
        return f'"{name}Json":{quoted}'
    native = json.dumps(as_javascript(value), ensure_ascii=False, separators=(",", ":"))
    return f'"{name}":{native},"{name}Exact":{quoted}'


def _native(document: dict[str, Any], native: str, text: str, exact: str) -> Any:
    """Return the value that fields hold; see `datastore_couchdb.keeping`."""
    if text in document or exact in document:
        stored = document.get(text, document.get(exact))
        value = document[native] if stored is None else decode(stored)
    else:
        value = document[native]
    if type(value) is UnreadableError:  # see `datastore_couchdb.parsing`
        raise value
    return value
