"""The adapter: the methods of the contract, each of which calls the module that does the work."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
from datastore.adapters.opening import ClosedOnFailure
from datastore.adapters.remembering import REMEMBERED
from datastore.adapters.writing import Writer
from datastore.administration import Diagnostic
from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    Document,
    DocumentPage,
    Fields,
    Forgotten,
    IdRange,
    Outcome,
    Plan,
    Query,
    Restore,
    Write,
)
from datastore.ids import EVERYTHING
from datastore.queries.tree import Path
from datastore_firestore import vectors
from datastore_firestore.admin import examine
from datastore_firestore.client import Connection, Settings
from datastore_firestore.failures import NAME
from datastore_firestore.finding import Finder
from datastore_firestore.indexes import Indexes
from datastore_firestore.opening import settle_format
from datastore_firestore.reading import Reader
from datastore_firestore.removing import Remover
from datastore_firestore.writing import MOST_WRITES, Documents

_REMEMBERED = 20_000
"""Two pages of a listing: each of their documents may be written next, or have an access counted."""


class FirestoreBackend(Backend):
    """Documents in one collection of a Firestore database."""

    name = NAME
    capabilities = Capabilities(
        read_batch=500,
        write_batch=MOST_WRITES,
        scan_page=10_000,
        persistent=True,
        shared=True,
        remembered_writes=REMEMBERED,
        # A write costs three times as much as a read. So a count for 100 reads takes 3 % of their price.
        flush_interval=60.0,
        max_pending=10_000,
        reads_worth_a_write=100,
        content=True,
        nearest_at_once=vectors.MOST,
        tenant_databases=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Find the credentials, and check that the collection is the store's own and in which format it is.

        Raises:
            ConfigurationError: If there are no credentials, no such database, another program's documents, or records
                in the earlier format.
            BackendUnusableError: If a newer version has written the collection.
            PermissionDeniedError: If the credentials are refused.
            BackendUnavailableError: If Firestore does not answer.

        Requests: 1; 2 more for a collection that holds nothing yet.
        """
        self._settings = settings
        self._connection = Connection(settings)
        self._indexes = Indexes(settings)
        with ClosedOnFailure(self._connection):
            settle_format(self._connection, settings)
        self._assemble()

    def _assemble(self) -> None:
        memory = Memory(_REMEMBERED, absences=True, newer=operator.gt)
        self._reader = Reader(self._connection, memory, self._settings)
        primitives = Documents(self._connection, self._reader, self._settings)
        self._writer = Writer(primitives, memory)
        self._counter = Counter(primitives, memory, MOST_WRITES)
        self._remover = Remover(self._connection, memory, self._settings, self._reader)
        self._finder = Finder(self._settings, self._reader, self._indexes)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        return self._reader.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._writer.write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        return self._reader.scan(range, fields, limit, after, reverse=reverse)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self._counter.record(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._connection.close()

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        return self._reader.count(range, at)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return self._finder.plan(range, query)

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """See `Backend.find`. Never asked for in reverse: no plan is ``reversible``."""
        return self._finder.find(range, plan, fields, limit, after)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`."""
        return self._indexes.ensure(self._reader, fields, encoded_namespace)

    def nearest(self, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
        """See `Backend.nearest`.

        Requests: 1.
        """
        return vectors.nearest(self._settings, self._reader, range, vector, number, metric)

    def ensure_vectors(self, range: IdRange, dimensions: int) -> str:
        """See `Backend.ensure_vectors`.

        Requests: 1; more while the index is built.
        """
        return vectors.ensure_vectors(self._settings, self._reader, range, dimensions)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`. A TTL policy does the same by itself.

        Requests: 2 per 500 documents, and 1. For a range 1 per 10,000 documents that expire at some time, and 1 per 500
        that are to be removed.
        """
        return self._remover.purge(at, range)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`.

        Requests: 1 per 10,000 documents to find them, and 1 per 500 to remove them.
        """
        return self._remover.forget(range, at)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1.
        """
        return self._reader.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int | None:
        """See `Backend.document_count`. What is not the store's is not among them.

        Requests: 1, billed as one read per 1,000 documents.
        """
        return self._reader.count_all()

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 500 documents; 1 more if some of them exist already and were not read by this process.
        """
        return self._writer.write(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`.

        Requests: 1, and 3 of the administration API, which the emulator does not have.
        """
        return examine(self._connection, self._settings, now)

    def drop(self) -> None:
        """See `Backend.drop`. A collection without documents does not exist in Firestore.

        Requests: 1 per 10,000 documents, and 1 per 500.
        """
        self._remover.drop()
        self.close()

    def remove_everything(self) -> bool:
        """Remove every document of the collection, and return whether there was one; see `drop`."""
        return self._remover.drop()

    def before_fork(self) -> None:
        """See `Backend.before_fork`. gRPC runs its own threads for an open channel, so it is closed."""
        self._connection.before_fork()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._connection.after_fork()
        self._assemble()
