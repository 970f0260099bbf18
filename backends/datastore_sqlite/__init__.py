"""The SQLite backend, ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``sqlite://:memory:``.

There is one table, with one row for each document, in a file that any number of threads and processes of one machine
can share. Values and metadata are JSON text, which the ``sqlite3`` shell can show. Each call of the store is one
statement, and listings are range reads of the primary key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.urls import connect, migrate

if TYPE_CHECKING:
    from datastore.urls import Url
    from datastore_sqlite.legacy import LegacyTable

__all__ = ["SqliteBackend", "connect", "migrate", "open_legacy"]


def open_legacy(url: Url) -> LegacyTable:
    """Open a table in the legacy format; see `datastore_sqlite.legacy.open_legacy`."""
    from datastore_sqlite import legacy  # here, because few programs have one

    return legacy.open_legacy(url)
