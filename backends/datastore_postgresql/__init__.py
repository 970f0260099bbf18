"""The PostgreSQL backend, ``postgresql://user:password@host:5432/database``, for PostgreSQL 13 and newer.

There is one table, whose primary key is the id: every listing is a range of that index. Each call is one statement of
its own transaction, so that a pooler such as PgBouncer may give each of them another connection: nothing is kept in a
session, and nothing is prepared.

https://www.postgresql.org/docs/current/
"""

from datastore_postgresql.backend import PostgresBackend
from datastore_postgresql.urls import connect

__all__ = ["PostgresBackend", "connect"]
