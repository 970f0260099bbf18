"""A collection for each tenant: ``agent_data_store-<tenant>``. It exists from its first write until it is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from datastore.backend import Backend
from datastore.tenants import Databases
from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.client import Connection, Settings

LONGEST_NAME = 1_500  # bytes (Firestore, Quotas and limits)


class FirestoreCollections(Databases):
    """Collections of one Firestore database. Opening one takes a request."""

    most_open = 16  # each has its own channel

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(FirestoreBackend, settings.collection, LONGEST_NAME, FirestoreBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return FirestoreBackend(replace(self._settings, collection=name))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`. A collection is removed by removing its documents.

        Requests: 1 per 10,000 documents, and 1 per 500; and 1 or 2 to see whose it is.
        """
        # Opened as if for reading, so that it is not there because somebody wanted it gone.
        with closing(FirestoreBackend(replace(self._settings, collection=name, read_only=True))) as backend:
            return backend.remove_everything()

    def names(self, beginning: str) -> Iterator[str]:
        """See `Databases.names`.

        Requests: 1 per page of the database.
        """
        with closing(Connection(self._settings)) as connection:
            yield from (name for name in connection.collections() if name.startswith(beginning))
