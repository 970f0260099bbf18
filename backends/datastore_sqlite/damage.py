"""What other programs can leave in the file, and how to read past it: text that is not UTF-8, JSON that is not valid.

SQLite types values and not columns, checks neither UTF-8 nor JSON when it is written, and ends a statement at the first
row that it, or Python, cannot read. So a statement is carried out as it is, at full speed; where it fails for such a
row, it is carried out again so that nothing in a row can make it fail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from datastore.backend import Document
from datastore.documents import UNDECODABLE, damaged, split
from datastore.errors import DamagedRecordError

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]

WELL_FORMED = " AND ".join(f"typeof({name}) = 'text' AND json_valid({name})" for name in ("value", "metadata"))
"""The condition that SQLite's JSON functions can take a row."""


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether a statement failed for what is in a row, and not for the database."""
    if not isinstance(error, sqlite3.OperationalError):
        return False
    # The first is Python's own error, without a code; the others come from SQLite's JSON functions.
    return str(error).startswith(("Could not decode to UTF-8", "malformed JSON", "JSON cannot hold BLOB"))


def reading(connection: sqlite3.Connection, read: Callable[[], T], closely: Callable[[], T] | None = None) -> T:
    """Return what ``read`` reads; if a row makes it fail, what ``closely`` reads (``read`` again, if not given).

    The second time text that is no UTF-8 comes as bytes, which no column of the store holds.
    """
    try:
        return read()
    except sqlite3.OperationalError as error:
        if not is_damage(error):
            raise
    # Not inside `except`: the error quotes what is stored, and would be chained to the next one.
    with _any_text(connection):
        return (closely or read)()


@contextmanager
def _any_text(connection: sqlite3.Connection) -> Iterator[None]:
    connection.text_factory = _text
    try:
        yield
    finally:
        connection.text_factory = str


def _text(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def documents_of(
    rows: Sequence[Row], document: Callable[[Row], Document]
) -> tuple[list[Document], Sequence[DamagedRecordError]]:
    """Return the documents of rows that begin with the id, and the errors for those that hold none."""
    try:
        documents = list(map(document, rows))
        if all(type(row[0]) is str for row in rows):
            return documents, ()
    except (DamagedRecordError, *UNDECODABLE):  # the closer look says which and why
        pass
    return split(rows, lambda row: shown(row[0]), lambda row: _of_row(row, document))


def _of_row(row: Row, document: Callable[[Row], Document]) -> Document:
    if type(row[0]) is not str:
        raise damaged(shown(row[0]), "its _id is no text")
    return document(row)


def shown(id: object) -> str:
    """Return what an error calls a document by an id that may be anything; `stored_id` turns it back."""
    return id.decode(errors="surrogateescape") if isinstance(id, bytes) else str(id)


def size_of(stored: object) -> int:
    """Return about how much memory a column takes."""
    return len(stored) if isinstance(stored, str | bytes) else 0


def stored_id(id: str) -> bytes | None:
    """Return the bytes of an id that is stored as text and is no UTF-8; ``None`` for any other."""
    try:
        id.encode()
    except UnicodeEncodeError:
        return id.encode(errors="surrogateescape")
    return None
