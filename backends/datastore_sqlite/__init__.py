"""The SQLite backend, ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``sqlite://:memory:``.

There is one table, with one row for each document, in a file that any number of threads and processes of one machine
can share. Values and metadata are JSON text, which the ``sqlite3`` shell can show. Each call of the store is one
statement, and listings are range reads of the primary key.
"""

from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.legacy import open_legacy
from datastore_sqlite.urls import connect, migrate

__all__ = ["SqliteBackend", "connect", "migrate", "open_legacy"]
