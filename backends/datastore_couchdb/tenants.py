"""A database for each tenant: ``agent_data_store-<tenant>``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from datastore.backend import Backend
from datastore.tenants import Databases
from datastore_couchdb.backend import CouchBackend
from datastore_couchdb.client import MissingDatabaseError, Session, Settings

_LONGEST_NAME = 238  # https://docs.couchdb.org/en/stable/api/database/common.html#put--db


class CouchDatabases(Databases):
    """Databases of one server. Only an administrator of the server may create, list and drop them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(CouchBackend, settings.database, _LONGEST_NAME, CouchBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return CouchBackend(replace(self._settings, database=name))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`.

        It first asks whether the database exists, because PouchDB Server does not say so when it drops one that does
        not.

        Requests: 2.
        """
        with closing(self._session(name)) as session:
            try:
                session.information()
            except MissingDatabaseError:
                return False
            session.drop()
            return True

    def names(self, beginning: str) -> list[str]:
        """See `Databases.names`.

        Requests: 1.
        """
        with closing(self._session(self._settings.database)) as session:
            return session.databases(beginning)

    def _session(self, name: str) -> Session:
        return Session(replace(self._settings, database=name))
