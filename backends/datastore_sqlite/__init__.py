"""The SQLite backend, ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``sqlite://:memory:``.

One table, one row a document, in a file that any number of threads and processes of one machine can share. Values and
metadata are JSON text, readable with the ``sqlite3`` shell. Each call of the store is one statement; listings are
range reads of the primary key.
"""

from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.legacy import open_legacy
from datastore_sqlite.urls import connect, migrate

__all__ = ["SqliteBackend", "connect", "migrate", "open_legacy"]
