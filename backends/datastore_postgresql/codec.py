"""From rows to documents of the store, and back: each field is a column, under the name in the documentation.

A value is ``jsonb`` where that holds it exactly, and otherwise its JSON text in the column beside it. ``jsonb`` keeps
numbers as decimals and text without NUL (https://www.postgresql.org/docs/current/datatype-json.html), so what it cannot
hold is: integers beyond 64 bits (which would come back as floats), floats from 1e16 on (which would come back as
integers), -0.0, and NUL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from datastore.adapters import knowledge as toolkit
from datastore.adapters.knowledge import Known
from datastore.backend import Document, Fields
from datastore.contents import value_of_stored
from datastore.documents import UNDECODABLE, check, foreign
from datastore.errors import DamagedRecordError, InvalidValueError
from datastore.ids import home_of
from datastore.values import decode, decode_all
from datastore_postgresql.client import Row

UNKNOWN = "-"
"""The token of a row that has none: no write makes it."""
_NUMBER = r"-?(?:[0-9][0-9.]*e(?!-)|0\.0(?![0-9]))"
_FIRST, _LATER = re.compile(f"{_NUMBER}| "), re.compile(rf"[:,\[]{_NUMBER}")
"""Find a number that is not held, and in a text sometimes what only looks like one. A big integer's text begins with a
space."""
_EXPONENT, _ZERO = re.compile(r"e[+0-9]"), re.compile(r"0\.0(?![0-9])")
ESCAPE = "\x01"
"""Begins a name with a NUL, which no column of text can hold."""
ESCAPED = "\x02"
"""Comes after every text that begins like this, and before most others."""
VALUE = """coalesce("valueText", "value"::text)"""
_METADATA = """coalesce("metadataText", "metadata"::text)"""
SIZE = """coalesce("bytes", octet_length("value"::text), octet_length("valueText"), 0)"""
KEY = '"_id", "expiresAt"'
FOR_VALUE = f'"_id", "createdAt", "revision", "expiresAt", {VALUE}, "content"'
PROVENANCE = (
    f'{_METADATA}, "createdByAgent", "updatedAt", "accessCount", "lastAccessedByAgent", "lastAccessedAt", '
    '"updatedByAgent"'
)
COLUMNS = {
    Fields.KEY: KEY,
    Fields.VALUE: FOR_VALUE,
    Fields.CONTENT: FOR_VALUE,
    Fields.ALL: f"{FOR_VALUE}, {PROVENANCE}",
}
"""What is read of a row."""
RAW = {
    fields: ", ".join(dict.fromkeys(re.findall(r'"\w+"', f"{columns}, {SIZE}"))) for fields, columns in COLUMNS.items()
}
"""The columns that these are made of, and the size."""
UNLESS_SURE = {
    fields: columns.replace(VALUE, f"CASE WHEN sure THEN NULL ELSE {VALUE} END") for fields, columns in COLUMNS.items()
}
"""The same, without the values of those rows that need no closer look."""
CONDITIONS = "coalesce(\"token\", '-'), coalesce(\"recentWrites\", ''), coalesce(\"fences\", '')"
"""What a write goes by, besides. A read by id asks for these, too."""
STATE = f"""coalesce("token", '-'), "_id", "createdAt", "revision", "expiresAt", {PROVENANCE},
    coalesce("recentWrites", ''), coalesce("recentCounts", ''), coalesce("fences", '')"""
"""What `known_of` takes."""


def is_held(json: str) -> bool:
    """Return whether JSON text comes back exactly from a column of ``jsonb``."""
    if "\\u0000" in json or (json[0] not in "{[" and _FIRST.match(json)):
        return False
    # Looking for these first takes a tenth of the time.
    is_unsure = _EXPONENT.search(json) or ("0.0" in json and _ZERO.search(json))
    return not (is_unsure and _LATER.search(json))


def written(name: str | None) -> str | None:
    """Return a name, or a revision, as a column of text can hold it."""
    if name is None or ("\0" not in name and not name.startswith(ESCAPE)):
        return name
    return ESCAPE + name.encode("unicode_escape").decode()


def all_written(names: Sequence[str]) -> Sequence[str | None]:
    """Return what `written` returns for each of some names, in less time than one by one."""
    text = "".join(names)
    return list(map(written, names)) if "\0" in text or ESCAPE in text else names


def read_name(stored: str | None) -> str | None:
    """Return what `written` has turned into what is stored."""
    if stored is None or not stored.startswith(ESCAPE):
        return stored
    return stored[1:].encode("latin-1").decode("unicode_escape")


def document_of(row: Row, fields: Fields) -> Document:
    """Return the document of a row that has the columns of `COLUMNS`, and perhaps more.

    Raises:
        DamagedRecordError: If another program has written it.
        datastore.documents.UNDECODABLE: If it is not a document of the store.
    """
    if fields is Fields.KEY:
        return Document(row[0], "", "", row[1])
    id, created_at, revision, expires_at, json, content = row[:6]
    if revision is None:
        raise foreign(id)
    if content is not None and home_of(id) is not None:
        value: Any = value_of_stored(content, fields)
    else:
        value = decode(json)
    first = id, created_at, read_name(revision), expires_at, value
    return Document(*first) if fields is not Fields.ALL else Document(*first, *_provenance(row[6:13]))  # type: ignore[arg-type]  # a revision that is there has a name


def documents_of(rows: Sequence[Row], fields: Fields) -> list[Document]:
    """Return what `document_of` returns for each of some rows, and for most values in less time than one by one."""
    if fields is not Fields.VALUE or not all(row[5] is None and (row[2] or ESCAPE)[0] != ESCAPE for row in rows):
        return [document_of(row, fields) for row in rows]
    values = decode_all([row[4] for row in rows])
    return [Document(row[0], row[1], row[2], row[3], value) for row, value in zip(rows, values, strict=True)]


def _provenance(row: Sequence[Any]) -> tuple[Any, ...]:
    metadata, creator, updated_at, count, accessor, accessed_at, writer = row
    plain = {} if metadata == "{}" else decode(metadata)
    return plain, read_name(creator), updated_at, count, read_name(accessor), accessed_at, read_name(writer)


def known_of(row: Row) -> Known:
    """Return what the toolkit must know of a record, for a row of `STATE`."""
    token, id, created_at, revision, expires_at = row[:5]
    writes, counts, fences = row[12:15]
    try:
        document = Document(id, created_at, read_name(revision), expires_at, None, *_provenance(row[5:12]))  # type: ignore[arg-type]  # checked below
        return toolkit.known_of(check(document), token, writes, counts, fences=fences)
    except (DamagedRecordError, InvalidValueError, *UNDECODABLE):
        return toolkit.damaged_one(token, foreign=revision is None)
