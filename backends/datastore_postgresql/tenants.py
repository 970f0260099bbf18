"""A schema for each tenant: ``agent_data_store-<tenant>``, each with a table of its own.

An identifier has 63 bytes at most. A longer name is cut, and a digest of the whole is put after it; the comment of the
table has the whole name.
"""

from __future__ import annotations

from contextlib import closing

from datastore.adapters.declaring import digest_of
from datastore.backend import Backend
from datastore.tenants import Databases
from datastore_postgresql.backend import PostgresBackend
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.schema import TABLE, statement_to_drop, tenant_in

_LONGEST_IDENTIFIER = 63  # bytes: https://www.postgresql.org/docs/current/limits.html
_LONGEST_NAME = 1_000  # bytes; a user id takes three for each of its own at most
_DIGEST = 16  # hex digits
_CUT = "."
"""Follows what is left of a name that was cut; `datastore.tenants.names` makes no name with it."""


class PostgresSchemas(Databases):
    """Schemas of one database. Beside the store of a schema the names begin with that schema's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        base = TABLE if settings.schema == "public" else settings.schema
        super().__init__(PostgresBackend, base, _LONGEST_NAME, PostgresBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        settings = self._settings._replace(schema=schema_of(name), tenant=name)
        return PostgresBackend(settings, Session(settings))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`.

        Requests: 2.
        """
        there = self.exists(name)
        if there:
            self._ask(statement_to_drop(schema_of(name)))
        return there

    def names(self, beginning: str) -> list[str]:
        """See `Databases.names`: of the schemas that hold a table of a store.

        Requests: 1.
        """
        comments = self._ask(
            """SELECT coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relname = %s AND starts_with(n.nspname::text, %s)""",
            (TABLE, beginning[: _LONGEST_IDENTIFIER - _DIGEST - 1]),
        )
        names = (tenant_in(comment) for (comment,) in comments)
        return [name for name in names if name is not None and name.startswith(beginning)]

    def _ask(self, statement: str, parameters: tuple[str, ...] | None = None) -> list[tuple[str]]:
        with closing(Session(self._settings)) as session:
            return session.ask(statement, parameters)


def schema_of(name: str) -> str:
    """Return the schema of a tenant, given the name that `datastore.tenants` gives it."""
    if len(name) <= _LONGEST_IDENTIFIER:  # in ASCII
        return name
    return f"{name[: _LONGEST_IDENTIFIER - _DIGEST - 1]}{_CUT}{digest_of(name, _DIGEST)}"
