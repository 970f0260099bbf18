"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    Document,
    DocumentPage,
    Fields,
    IdRange,
    Outcome,
    Write,
)
from datastore_firestore.connection import Connection, Settings
from datastore_firestore.counting import Counter
from datastore_firestore.failures import NAME
from datastore_firestore.hints import Hints
from datastore_firestore.reading import Reader
from datastore_firestore.writing import MOST_WRITES, Writer


class FirestoreBackend(Backend):
    """Documents in one collection of a Firestore database."""

    name = NAME
    capabilities = Capabilities(read_batch=500, write_batch=MOST_WRITES, scan_page=10_000, persistent=True, shared=True)

    def __init__(self, settings: Settings) -> None:
        """Find the credentials; no request is made.

        Raises:
            ConfigurationError: If there are no credentials.
        """
        self._settings = settings
        self._connection = Connection(settings)
        self._assemble()

    def _assemble(self) -> None:
        hints = Hints()
        self._reader = Reader(self._connection, hints, self._settings)
        self._writer = Writer(self._connection, hints, self._settings, self._reader)
        self._counter = Counter(self._connection, hints, self._settings, self._reader)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        return self._reader.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._writer.write(writes)

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        return self._reader.scan(range, fields, limit, after)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self._counter.record_access(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._connection.close()

    def count(self, range: IdRange, at: str) -> int:
        """See `datastore.backend.CountsRange`."""
        return self._reader.count(range, at)

    def purge(self, at: str) -> int:
        """See `datastore.backend.ReclaimsExpired`; a TTL policy does the same without being asked."""
        removed = 0
        while found := self._reader.expired(at, MOST_WRITES):
            removed += self._writer.remove_as_seen(found)
        return removed

    def after_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        self._connection.after_fork()
        self._assemble()
