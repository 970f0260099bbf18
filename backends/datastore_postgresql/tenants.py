"""A schema for each tenant: ``agent_data_store-<tenant>``, each with a table of its own."""

from __future__ import annotations

from datastore.backend import Backend
from datastore.tenants import Databases
from datastore_postgresql.backend import PostgresBackend
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.schema import TABLE, statement_to_drop

_LONGEST_NAME = 63  # bytes of an identifier: https://www.postgresql.org/docs/current/limits.html


class PostgresSchemas(Databases):
    """Schemas of one database. Beside the store of a schema the names begin with that schema's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        base = TABLE if settings.schema == "public" else settings.schema
        super().__init__(PostgresBackend, base, _LONGEST_NAME, PostgresBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        settings = self._settings._replace(schema=name)
        return PostgresBackend(settings, Session(settings))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`.

        Requests: 2.
        """
        there = self.exists(name)
        if there:
            self._ask(statement_to_drop(name))
        return there

    def names(self, beginning: str) -> list[str]:
        """See `Databases.names`: of the schemas that hold a table of a store.

        Requests: 1.
        """
        return [
            name
            for (name,) in self._ask(
                """SELECT n.nspname FROM pg_namespace AS n JOIN pg_class AS c ON c.relnamespace = n.oid
                WHERE c.relname = %s AND left(n.nspname, length(%s)) = %s""",
                (TABLE, beginning, beginning),
            )
        ]

    def _ask(self, statement: str, parameters: tuple[str, ...] | None = None) -> list[tuple[str]]:
        session = Session(self._settings)
        try:
            return session.ask(statement, parameters)  # type: ignore[return-value]  # names alone are asked for
        finally:
            session.close()
