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
    Plan,
    Query,
    Restore,
    Write,
)
from datastore.ids import EVERYTHING
from datastore.queries.tree import Path
from datastore_firestore.connection import Connection, Settings
from datastore_firestore.counting import Counter
from datastore_firestore.failures import NAME
from datastore_firestore.finding import Finder
from datastore_firestore.hints import Hints
from datastore_firestore.indexes import Indexes
from datastore_firestore.opening import refuse_foreign
from datastore_firestore.reading import Reader
from datastore_firestore.writing import MOST_WRITES, Writer


class FirestoreBackend(Backend):
    """Documents in one collection of a Firestore database."""

    name = NAME
    capabilities = Capabilities(
        read_batch=500,
        write_batch=MOST_WRITES,
        scan_page=10_000,
        persistent=True,
        shared=True,
        customer_databases=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Find the credentials, and look whose collection it is.

        Raises:
            ConfigurationError: If there are no credentials, no such database, or another program's documents.
            PermissionDeniedError: If the credentials are refused.
            BackendUnavailableError: If Firestore does not answer.

        Requests: 1.
        """
        self._settings = settings
        self._connection = Connection(settings)
        self._indexes = Indexes(settings)
        try:
            refuse_foreign(self._connection, settings)
        except BaseException:
            self._connection.close()
            raise
        self._assemble()

    def _assemble(self) -> None:
        hints = Hints()
        self._reader = Reader(self._connection, hints, self._settings)
        self._writer = Writer(self._connection, hints, self._settings, self._reader)
        self._counter = Counter(self._connection, hints, self._settings, self._reader)
        self._finder = Finder(self._settings, self._reader, self._indexes)

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

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `datastore.backend.Finds`."""
        return self._finder.plan(range, query)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `datastore.backend.Finds`."""
        return self._finder.find(range, plan, fields, limit, after)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `datastore.backend.DeclaresIndexes`."""
        return self._indexes.ensure(self._reader, fields, encoded_namespace)

    def purge(self, at: str) -> int:
        """See `datastore.backend.ReclaimsExpired`; a TTL policy does the same without being asked."""
        removed = 0
        while found := self._reader.expired(at, MOST_WRITES):
            removed += self._writer.remove_as_seen(found)
        return removed

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `datastore.backend.MovesDocuments`.

        Requests: 1.
        """
        return self._reader.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `datastore.backend.MovesDocuments`.

        Requests: 1, billed as one read per 1,000 documents.
        """
        return self._reader.count_all()

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `datastore.backend.MovesDocuments`.

        Requests: 1 per 500 documents; 1 more where some are there already and were not read here.
        """
        return self._writer.write(restores)

    def before_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`: gRPC runs threads of its own for an open channel."""
        self._connection.before_fork()

    def after_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        self._connection.after_fork()
        self._assemble()
