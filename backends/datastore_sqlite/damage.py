"""What other programs can leave in a file, and how to read past it: text that is not UTF-8, and invalid JSON.

SQLite types values and not columns. It checks neither UTF-8 nor JSON on a write, and ends a statement at the first row
that it, or Python, cannot read. So a statement is carried out at full speed. If it fails for such a row, it is carried
out again in a form that no contents of a row can make fail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from datastore.backend import Document
from datastore.documents import MANY, UNDECODABLE, damaged, split
from datastore.errors import DamagedRecordError

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]

WELL_FORMED = " AND ".join(f"typeof({name}) = 'text' AND json_valid({name})" for name in ("value", "metadata"))
"""The condition that SQLite's JSON functions can read a row."""


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether a statement failed because of what is in a row, and not because of the database."""
    if not isinstance(error, sqlite3.OperationalError):
        return False
    # The first one is Python's own error and has no code. The others come from SQLite's JSON functions.
    return str(error).startswith(("Could not decode to UTF-8", "malformed JSON", "JSON cannot hold BLOB"))


def reading(
    connection: sqlite3.Connection,
    read: Callable[..., T],
    closely: Callable[..., T] | None = None,
    arguments: Sequence[Any] = (),
) -> T:
    """Return what ``read`` reads. If a row makes it fail, return what ``closely``, or ``read`` again, reads.

    The second time, text that is not UTF-8 is returned as bytes, which no column of the store holds.
    """
    try:
        return read(*arguments)
    except sqlite3.OperationalError as error:
        if not is_damage(error):
            raise
    # Not inside `except`: the error quotes stored text, and would be chained to the next error.
    with _any_text(connection):
        return (closely or read)(*arguments)


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
    rows: Sequence[Row],
    document: Callable[[Row], Document],
    together: Callable[[Sequence[Row]], Sequence[Document]] | None = None,
) -> tuple[Sequence[Document], Sequence[DamagedRecordError]]:
    """Return the documents of rows that begin with the id, and the errors for rows that hold no document.

    Args:
        rows: The rows.
        document: Makes a document from one of them.
        together: Makes all documents in less time, or raises one of `UNDECODABLE`.
    """
    try:
        documents = together(rows) if together and len(rows) >= MANY else list(map(document, rows))
        for row in rows:
            if type(row[0]) is not str:
                break
        else:
            return documents, ()
    except (DamagedRecordError, *UNDECODABLE):  # the closer look finds out which rows, and why
        pass
    return split(rows, lambda row: shown(row[0]), lambda row: _of_row(row, document))


def _of_row(row: Row, document: Callable[[Row], Document]) -> Document:
    if type(row[0]) is not str:
        raise damaged(shown(row[0]), "its _id is not text")
    return document(row)


def shown(id: object) -> str:
    """Return the name that errors use for an id, which may be anything; `stored_id` turns it back."""
    return id.decode(errors="surrogateescape") if isinstance(id, bytes) else str(id)


def stored_id(id: str) -> bytes | None:
    """Return the bytes of an id that is stored as text but is not UTF-8; ``None`` for any other id."""
    try:
        id.encode()
    except UnicodeEncodeError:
        return id.encode(errors="surrogateescape")
    return None
