"""Documents of the store and documents of CouchDB, and what is remembered of them between calls."""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import suppress
from typing import Any, NamedTuple

from datastore.adapters.remembering import mark_of, remember, remembers
from datastore.backend import Document, Put, Restore
from datastore.documents import UNDECODABLE, check
from datastore.errors import DamagedRecordError, InvalidValueError
from datastore.values import UnreadableError, decode, encode, merge_metadata
from datastore_couchdb.keeping import Kept, as_javascript, kept


class Stored(NamedTuple):
    """All of a stored document but its value: what the next write of it must carry on."""

    rev: str
    """CouchDB's own revision, which a write of the document must name."""
    revision: str
    created_at: str
    created_by_agent: str
    metadata: str
    """As JSON text, so that nobody can change it."""
    expires_at: str | None
    access_count: int
    last_accessed_by_agent: str | None
    last_accessed_at: str | None
    writes: str = ""
    """The marks of its last writes (`datastore.adapters.remembering`)."""
    counts: str = ""
    """The marks of the last times that accesses of it were counted."""
    damaged: bool = False
    """Nobody can read it; of all else here only ``rev`` is known."""
    foreign: bool = False
    """Another program has written it."""

    def live(self, at: str) -> bool:
        """Return whether the document is not expired at a time."""
        return self.expires_at is None or self.expires_at > at

    def knows(self, revision: str) -> bool:
        """Return whether a write, by its revision, is among the last ones of the document."""
        return revision == self.revision or remembers(self.writes, mark_of(revision))

    def after(self, revision: str) -> str:
        """Return the marks that the document has after one more write.

        Its own revision may be missing among them: who changes a document by hand, or wrote it earlier, leaves no mark.
        """
        own = mark_of(self.revision)
        before = self.writes if remembers(self.writes, own) else remember(self.writes, own)
        return remember(before, mark_of(revision))


class Memory:
    """What is known of documents seen here, bounded; correctness never depends on it, only the number of requests.

    Each step is a single operation of a dict, which needs no lock that an interrupt could leave taken.
    """

    def __init__(self, documents: int = 10_000, metadata: int = 1_000) -> None:
        self._most = documents
        self._longest_metadata = metadata
        self.clear()

    def get(self, id: str) -> Stored | None:
        """Return what is known of a document."""
        stored = self._stored.get(id)
        if stored is not None:
            with suppress(KeyError):  # forgotten by another thread just now
                self._stored.move_to_end(id)
        return stored

    def put(self, id: str, stored: Stored) -> None:
        """Remember a document, and forget the one not used for longest if there are too many."""
        if len(stored.metadata) > self._longest_metadata:
            self.forget(id)
            return
        self._stored[id] = stored
        with suppress(KeyError):
            self._stored.move_to_end(id)
            if len(self._stored) > self._most:
                self._stored.popitem(last=False)

    def forget(self, id: str) -> None:
        """Know nothing of a document any more."""
        self._stored.pop(id, None)

    def clear(self) -> None:
        """Know nothing at all."""
        self._stored: OrderedDict[str, Stored] = OrderedDict()


def stored_of(document: dict[str, Any]) -> Stored:
    """Return all of a CouchDB document but its value."""
    try:
        whole = check(_whole(document, None))
        metadata = encode(whole.metadata)
    except (DamagedRecordError, InvalidValueError, *UNDECODABLE):
        foreign = is_foreign(document)
        return Stored(document["_rev"], "", "", "", "{}", None, 0, None, None, damaged=True, foreign=foreign)
    return Stored(
        document["_rev"],
        whole.revision,
        whole.created_at,
        whole.created_by_agent,
        metadata,
        whole.expires_at,
        whole.access_count,
        whole.last_accessed_by_agent,
        whole.last_accessed_at,
        _marks(document.get("recentWrites")),
        _marks(document.get("recentCounts")),
    )


def is_foreign(document: dict[str, Any]) -> bool:
    """Return whether another program has written a document: the store gives each a revision."""
    return type(document.get("revision")) is not str


def _marks(stored: object) -> str:
    return stored if type(stored) is str else ""


def document_of(document: dict[str, Any]) -> Document:
    """Return the store's document of a CouchDB document.

    Raises:
        datastore.documents.UNDECODABLE: If it is none.
    """
    return _whole(document, _native(document, "value"))


def _whole(document: dict[str, Any], value: Any) -> Document:
    return Document(
        document["_id"],
        document["createdAt"],
        document["revision"],
        document.get("expiresAt"),
        value,
        _native(document, "metadata"),
        document["createdByAgent"],
        document["updatedAt"],
        document["accessCount"],
        document.get("lastAccessedByAgent"),
        document.get("lastAccessedAt"),
    )


def value_of(document: dict[str, Any]) -> Document:
    """Return the store's document of what was downloaded of one for its value."""
    return Document(
        document["_id"],
        document["createdAt"],
        document["revision"],
        document.get("expiresAt"),
        _native(document, "value"),
    )


def put_of(put: Put, old: Stored | None, exact: bool = False) -> tuple[Stored, str]:
    """Return what a write stores: over a live document, or as a new one.

    Args:
        put: The write.
        old: The document to write over; expired or not there, the new one is all new but for CouchDB's revision.
        exact: Whether the server keeps numbers (`datastore_couchdb.keeping`).

    Returns:
        What will be known of the document, with the old ``rev``, and its JSON text.

    Raises:
        ValueTooLargeError: If the merged metadata is too large.
    """
    rev = "" if old is None else old.rev
    if old is None or not old.live(put.at):
        metadata = "{}" if not put.metadata else encode(merge_metadata({}, put.metadata))
        new = Stored(rev, put.revision, put.at, put.agent, metadata, put.expires_at, 0, None, None)
        new = new._replace(writes=mark_of(put.revision))
    else:
        new = old._replace(revision=put.revision, expires_at=put.expires_at, writes=old.after(put.revision))
        if put.metadata:
            new = new._replace(metadata=encode(merge_metadata(decode(old.metadata), put.metadata)))
    metadata = _field("metadata", decode(new.metadata), new.metadata, exact)
    return new, _text(put, new, put.at, metadata, _field("value", put.value, put.json, exact))


def restored(restore: Restore, old: Stored | None, exact: bool = False) -> tuple[Stored, str]:
    """Return what will be known of a restored document, with the ``rev`` of the old one, and its JSON text."""
    whole = restore.document
    metadata = encode(whole.metadata or {}, "metadata")
    new = Stored(
        "" if old is None else old.rev,
        whole.revision,
        whole.created_at,
        whole.created_by_agent,
        metadata,
        whole.expires_at,
        whole.access_count,
        whole.last_accessed_by_agent,
        whole.last_accessed_at,
        old.after(whole.revision) if old is not None and old.live(restore.at) else mark_of(whole.revision),
    )
    native = _field("metadata", whole.metadata or {}, metadata, exact)
    return new, _text(restore, new, whole.updated_at, native, _field("value", whole.value, restore.json, exact))


def _text(named: Put | Restore, new: Stored, updated_at: str, metadata: str, value: str) -> str:
    """Return the JSON text of a document; metadata and value are fields already."""
    fields: dict[str, Any] = {"_id": named.id}
    if new.rev:
        fields["_rev"] = new.rev
    fields |= {"userId": named.user_id, "namespace": named.namespace, "key": named.key}
    fields |= {
        "createdByAgent": new.created_by_agent,
        "lastAccessedByAgent": new.last_accessed_by_agent,
        "accessCount": new.access_count,
        "createdAt": new.created_at,
        "updatedAt": updated_at,
        "lastAccessedAt": new.last_accessed_at,
        "revision": new.revision,
        "recentWrites": new.writes,
    }
    if new.counts:
        fields["recentCounts"] = new.counts
    if new.expires_at is not None:
        fields["expiresAt"] = new.expires_at  # left out otherwise, so that the index of expiry stays small
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return f"{text[:-1]},{metadata},{value}}}"


def accessed(document: dict[str, Any], number: int, agent: str, at: str, mark: str) -> dict[str, Any]:
    """Return a CouchDB document with accesses counted, and with the mark of that."""
    last = document.get("lastAccessedAt") or ""
    counts = remember(document.get("recentCounts"), mark)
    counted = {**document, "accessCount": document["accessCount"] + number, "recentCounts": counts}
    if at >= last:
        counted |= {"lastAccessedByAgent": agent, "lastAccessedAt": at}
    return counted


def _field(name: str, value: Any, text: str, exact: bool) -> str:
    """Return the field or the fields that hold a value; see `datastore_couchdb.keeping`."""
    how = kept(value, exact)
    if how is Kept.NATIVE:
        return f'"{name}":{text}'
    quoted = json.dumps(text, ensure_ascii=False)
    if how is Kept.TEXT:
        return f'"{name}Json":{quoted}'
    native = json.dumps(as_javascript(value), ensure_ascii=False, separators=(",", ":"))
    return f'"{name}":{native},"{name}Exact":{quoted}'


def _native(document: dict[str, Any], name: str) -> Any:
    text = document.get(f"{name}Json", document.get(f"{name}Exact"))
    value = document[name] if text is None else decode(text)
    if isinstance(value, UnreadableError):  # see `datastore_couchdb.parsing`
        raise value
    return value
