"""Reading a table that another program has written: it is opened only for reading, and may have any columns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from datastore.administration import LegacyPage
from datastore.errors import ConfigurationError, PermissionDeniedError
from datastore.urls import Url
from datastore.values import UnreadableError, decode
from datastore_sqlite.client import NAME, Settings
from datastore_sqlite.codec import size_of
from datastore_sqlite.damage import reading
from datastore_sqlite.failures import translate
from datastore_sqlite.headers import read_beginning
from datastore_sqlite.schema import TABLE

_PAGE_BYTES = 8_000_000
_JSON_COLUMNS = ("value", "metadata")
_NAMES = ("_id", "id", "userId", "user_id", "namespace", "key")


class LegacyTable:
    """See `datastore.administration.LegacySource`."""

    name = NAME
    place: Hashable = None

    def __init__(self, path: Path, table: str) -> None:
        self._settings = Settings(path)
        quoted = '"' + table.replace('"', '""') + '"'
        try:
            uri = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._columns = [row[1] for row in self._connection.execute(f"PRAGMA table_info({quoted})")]
            if not self._columns:
                raise ConfigurationError(f"{path} has no table {table!r}; name another one with ?table=", backend=NAME)
            id = next((name for name in ("_id", "id") if name in self._columns), None)
            keyed = {"key", "value"} <= set(self._columns)
            if not keyed or (id is None and "namespace" not in self._columns):
                raise ConfigurationError(
                    f"the table {table!r} of {path} does not have the columns of the legacy format (_id, userId, "
                    f"namespace, key, value, ...); it has {', '.join(self._columns)}",
                    backend=NAME,
                )
            self._place = _place(self._connection, quoted, id)
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        self._select = f"SELECT {self._place}, typeof({self._place}), {{}} FROM {quoted}"
        self._count = f"SELECT count(*) FROM {quoted}"

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`."""
        return self._page(self._columns, limit, after)

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`."""
        return self._page([name for name in self._columns if name in _NAMES], limit, after)

    def _page(self, columns: Sequence[str], limit: int, after: str | None) -> LegacyPage:
        where, parameters = "", list[Any]()
        if after is not None:
            kind, place = json.loads(after)
            if kind in ("text", "blob"):
                place = bytes.fromhex(place)
            where = f"WHERE {self._place} > {'CAST(? AS TEXT)' if kind == 'text' else '?'}"
            parameters.append(place)
        select = self._select.format(", ".join('"' + name.replace('"', '""') + '"' for name in columns))
        statement = f"{select} {where} ORDER BY {self._place} LIMIT ?"
        try:
            rows, complete = reading(self._connection, lambda: self._rows(statement, [*parameters, limit], limit))
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error
        documents = []
        for _, _, *row in rows:
            fields = dict(zip(columns, row, strict=True))
            documents.append(fields | {name: _value(fields[name]) for name in _JSON_COLUMNS if name in fields})
        return LegacyPage(documents, None if complete else _after(*rows[-1][:2]))

    def _rows(self, statement: str, parameters: list[Any], limit: int) -> tuple[list[tuple[Any, ...]], bool]:
        """Return rows up to the size of a page, and whether there are no more."""
        rows, size = list[tuple[Any, ...]](), 0
        cursor = self._connection.execute(statement, parameters)
        for row in cursor:
            rows.append(row)
            size += sum(map(size_of, row))
            if size > _PAGE_BYTES:
                cursor.close()
                return rows, False
        return rows, len(rows) < limit

    def count(self) -> int:
        """See `datastore.administration.LegacySource`."""
        try:
            return int(self._connection.execute(self._count).fetchone()[0])
        except sqlite3.Error as error:
            raise translate(error, self._settings) from error

    def close(self) -> None:
        """See `datastore.administration.LegacySource`."""
        self._connection.close()


def open_legacy(url: Url) -> LegacyTable:
    """Open a table in the legacy format: ``sqlite:///old.db?table=agent_data_store``.

    Columns that hold an object or an array hold it as JSON text. Text that is not JSON is taken as it is.

    Raises:
        ConfigurationError: If there is no such file or table, or the table lacks columns.
        PermissionDeniedError: If the file cannot be read.
    """
    table = url.parameter("table", str, TABLE)
    url.check_all_taken()
    path = Path(url.path.removeprefix("/"))
    if url.host or not url.path.removeprefix("/"):
        raise ConfigurationError("the sqlite URL has no file; write sqlite:///old.db", backend=NAME)
    try:
        head, _ = read_beginning(path, 16)
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} is not readable for this user", backend=NAME) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", backend=NAME) from error
    if head != b"SQLite format 3\0":
        raise ConfigurationError(f"{path} is not a SQLite database", backend=NAME)
    return LegacyTable(path, table)


def _place(connection: sqlite3.Connection, quoted: str, id: str | None) -> str:
    """Return the column that orders the rows."""
    try:
        connection.execute(f"SELECT rowid FROM {quoted} LIMIT 0")
        return "rowid"
    except sqlite3.OperationalError:  # the table is WITHOUT ROWID
        if id is None:
            raise
        return id


def _after(place: Any, kind: str) -> str:
    """Return where to continue after a row: its bytes, if they are not text or not UTF-8."""
    if isinstance(place, str):
        place = place.encode()
    return json.dumps([kind, place.hex() if isinstance(place, bytes) else place])


def _value(stored: Any) -> Any:
    if not isinstance(stored, str):
        return stored
    try:
        return decode(" " + stored)  # read exactly, including integers beyond 64 bits
    except UnreadableError as error:  # JSON in which a number is too long, or is not a number
        return error
    except (ValueError, RecursionError):
        return stored
