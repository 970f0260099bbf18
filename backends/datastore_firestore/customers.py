"""A collection for each customer: ``agent_data_store-<customer>``. It is there as long as it holds a document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from datastore.backend import Backend, Delete, Fields, IdRange
from datastore.customers import Databases
from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.connection import Connection, Settings
from datastore_firestore.writing import MOST_WRITES

LONGEST_NAME = 1_500  # bytes (Firestore, Quotas and limits)
_EVERYTHING = IdRange(" ", "\U0010ffff" * 2)


class FirestoreCollections(Databases):
    """Collections of one Firestore database. Opening one takes a request."""

    most_open = 16  # each is a channel of its own

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(FirestoreBackend, settings.collection, LONGEST_NAME, FirestoreBackend.capabilities)

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return FirestoreBackend(replace(self._settings, collection=name))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`. Firestore removes a collection by removing its documents.

        Requests: 2 per 500 documents, and 2.
        """
        there = False
        with closing(FirestoreBackend(replace(self._settings, collection=name))) as backend:
            while documents := backend.scan(_EVERYTHING, Fields.KEY, MOST_WRITES).documents:
                there = True
                for outcome in backend.write([Delete(document.id, "") for document in documents]):
                    if outcome.error is not None:
                        raise outcome.error
        return there

    def names(self, beginning: str) -> Iterator[str]:
        """See `Databases.names`.

        Requests: 1 per page of the database.
        """
        with closing(Connection(self._settings)) as connection:
            yield from (name for name in connection.collections() if name.startswith(beginning))
