"""From rows to documents and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, TypeAlias, cast

from datastore.backend import BareDocuments, Document, EntryDocuments, Fields, Put, Restore
from datastore.contents import content_of, value_of_stored
from datastore.ids import home_of
from datastore.values import decode, decode_all, encode, merge_metadata

Row: TypeAlias = tuple[Any, ...]

VALUE = 4
"""The index of the value in a row that has one."""
PAGE_BYTES = 8_000_000
"""A page ends soon after this many characters of values, so that large values do not fill the memory."""

AT_FIRST = 8
"""So many rows are read without a look at their size: values of the store take no more than a page together."""


def are_all(rows: list[Row], cursor: sqlite3.Cursor, limit: int) -> bool:
    """Add the rows that are left to those `AT_FIRST`, up to the size of a page; return whether there are no more."""
    room = PAGE_BYTES - sum(map(size_of, [row[VALUE] for row in rows]))
    if room < 0 or len(rows) == limit:
        return False
    for row in cursor:
        rows.append(row)
        value = row[VALUE]
        room -= len(value) if type(value) is str else size_of(value)
        if room < 0 or len(rows) == limit:
            return False
    return True


def size_of(stored: object) -> int:
    """Return about how many bytes of memory a column takes."""
    return len(stored) if isinstance(stored, (str, bytes)) else 0


def _bare(row: Row) -> Document:
    """Return a document with nothing but an id and an expiry."""
    id, expires_at = row
    return Document(id, "", "", expires_at)


def _all_bare(rows: Sequence[Row]) -> BareDocuments:
    if not rows:
        return BareDocuments(())
    ids, expiries = zip(*rows, strict=True)
    return BareDocuments(ids, None if expiries.count(None) == len(expiries) else expiries)


def _with_value(row: Row) -> Document:
    id, created_at, revision, expires_at, value = row
    return Document(id, created_at, revision, expires_at, _value_of(id, value))


def _with_content(row: Row) -> Document:
    id, created_at, revision, expires_at, stored = row
    return Document(id, created_at, revision, expires_at, _value_of(id, stored, Fields.CONTENT))


def _entry(row: Row) -> Document:
    id, created_at, creator, expires_at, value, metadata = row
    metadata = {} if metadata == "{}" else decode(metadata)
    return Document(id, created_at, "", expires_at, _value_of(id, value), metadata, creator)


def _value_of(id: str, stored: str | bytes, fields: Fields = Fields.VALUE) -> Any:
    """Return a value from its JSON text, or from its content (`datastore.contents`)."""
    if type(stored) is bytes and home_of(id) is not None:  # other bytes are another program's
        return value_of_stored(stored, fields)
    return decode(cast(str, stored))


def _whole(row: Row) -> Document:
    id, created_at, revision, expires_at, value, metadata, creator, updated_at, count, reader, read_at, writer = row
    value = _value_of(id, value) if type(value) is bytes else decode(value)
    metadata = {} if metadata == "{}" else decode(metadata)
    # By position: by name they take twice as long.
    columns = id, created_at, revision, expires_at, value, metadata, creator, updated_at, count, reader, read_at, writer
    return new_document(columns)


def _all_with_value(rows: Sequence[Row]) -> list[Document]:
    if not rows:
        return []
    *columns, values = zip(*rows, strict=True)
    return list(map(new_document, zip(*columns, decode_all(values), *_AFTER_VALUE)))  # noqa: B905 - what is repeated has no end


def _all_with_content(rows: Sequence[Row]) -> list[Document]:
    return list(map(_with_content, rows))


def _all_whole(rows: Sequence[Row]) -> list[Document]:
    if not rows:
        return []
    id, created_at, revision, expires_at, values, metadata, *others = zip(*rows, strict=True)
    decoded = [{} if text == "{}" else decode(text) for text in metadata]
    columns = id, created_at, revision, expires_at, decode_all(values), decoded, *others
    return list(map(new_document, zip(*columns, strict=True)))


def _all_entries(rows: Sequence[Row]) -> Sequence[Document]:
    if not rows:
        return []
    id, created_at, creator, expires_at, values, metadata = zip(*rows, strict=True)
    none = metadata.count("{}") == len(metadata)  # as nearly always
    decoded = None if none else [{} if text == "{}" else decode(text) for text in metadata]
    return EntryDocuments((id, created_at, creator, expires_at, decode_all(values)), decoded)


DOCUMENT: Sequence[Callable[[Row], Document]] = (_bare, _with_value, _whole, _with_content, _entry, _with_value)
"""The functions that make a document from a row, by `Fields`."""
DOCUMENTS: Sequence[Callable[[Sequence[Row]], Sequence[Document]]] = (
    _all_bare,
    _all_with_value,
    _all_whole,
    _all_with_content,
    _all_entries,
    _all_with_value,
)
"""The functions that make the documents of several rows, in less time than one by one."""
new_document: Callable[[Row], Document] = partial(tuple.__new__, Document)
"""Makes a document of all of its fields, in less time than its class does."""
_AFTER_VALUE = list(map(repeat, Document("", "", "", None)[VALUE + 1 :]))
"""The fields of a document that was read with its value alone. Hot paths write them out, which takes least time."""


def row_of(put: Put) -> Row:
    """Return the parameters of `statements.SET` and the statements like it."""
    metadata = "{}" if not put.metadata else encode(merge_metadata({}, put.metadata), "metadata")
    return (
        put.id,
        put.user_id,
        put.namespace,
        put.key,
        put.agent,
        put.at,
        put.revision,
        put.expires_at,
        metadata,
        put.json,
    )


def content_row_of(put: Put) -> Row:
    """Return the parameters of `statements.SET_CONTENT` and `ADD_CONTENT`."""
    return (*row_of(put), content_of(put))


def restored_row(restore: Restore) -> Row:
    """Return the parameters of `statements.RESTORE` and its kin, without the id."""
    old = restore.document
    metadata = encode(old.metadata, "metadata") if old.metadata else "{}"
    content = content_of(restore)
    json = restore.json if content is None else encode({"sha256": old.value["sha256"]})
    return (
        *(restore.user_id, restore.namespace, restore.key, old.created_by_agent, old.created_at, old.updated_at),
        *(old.revision, old.expires_at, metadata, json, old.access_count),
        *(old.last_accessed_by_agent, old.last_accessed_at, old.updated_by_agent, content),
    )
