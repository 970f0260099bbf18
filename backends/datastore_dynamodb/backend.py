"""The adapter: the five methods of the contract, and the optional ones that DynamoDB supports."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
from datastore.adapters.opening import ClosedOnFailure
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
from datastore_dynamodb import queries, vectors
from datastore_dynamodb.admin import examine, item_count
from datastore_dynamodb.batches import Threads
from datastore_dynamodb.client import Connection
from datastore_dynamodb.marks import REMEMBERED
from datastore_dynamodb.parts import Parts
from datastore_dynamodb.reading import Reader
from datastore_dynamodb.removing import Remover
from datastore_dynamodb.schema import NAME, Settings
from datastore_dynamodb.table import drop_table, open_table
from datastore_dynamodb.writing import Items


class DynamoBackend(Backend):
    """Documents in one DynamoDB table."""

    name = NAME
    # A page of a query ends at 1 MB, which is about 3,000 of the smallest records.
    capabilities = Capabilities(
        read_batch=1_000,
        write_batch=500,
        scan_page=4_000,
        persistent=True,
        shared=True,
        remembered_writes=REMEMBERED,
        # A count in a transaction takes 2 units for each KB of the record, a read 1 for each 4 KB. So a count for 100
        # reads takes at most 8 % of their units, whatever the size.
        flush_interval=60.0,
        max_pending=10_000,
        reads_worth_a_write=100,
        content=True,
        nearest_at_once=vectors.MOST,
        tenant_databases=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Make sure that the table exists.

        Raises:
            ConfigurationError: If it is missing and may not be created, belongs to something else, or has an earlier
                format.
            PermissionDeniedError: If the credentials are refused.
            BackendUnavailableError: If DynamoDB does not answer.
            BackendUnusableError: If a newer version has written it.
        """
        self._connection = Connection(settings)
        self._threads = Threads()
        self._parts = Parts(self._connection)
        self._memory = Memory()
        self._reader = Reader(self._connection, self._parts, self._threads, self._memory)
        self._writer = Writer(self._items(), self._memory)
        # Counting needs no memory of records, and does not make one out of date: it changes no revision.
        self._counter = Counter(self._items(), Memory(0))
        self._remover = Remover(self._connection, self._reader, self._parts, self._threads)
        with ClosedOnFailure(self._connection):
            self._says_its_format = open_table(self._connection, insist=settings.create)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        return self._reader.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        return self._reader.scan(range, fields, limit, after, reverse=reverse)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return queries.plan(query)

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """See `Backend.find`.

        Requests: 1 per 1 MB of what the range holds, or 1 per as many records as are asked for, but at least 100.
        """
        return self._reader.find(range, plan.native, fields, limit, after, reverse=reverse)

    def nearest(self, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
        """See `Backend.nearest`.

        Requests: 1.
        """
        return vectors.nearest(self._connection, range, vector, number, metric)

    def ensure_vectors(self, range: IdRange, dimensions: int) -> str:
        """See `Backend.ensure_vectors`.

        Requests: 1; more while the index is built.
        """
        return vectors.ensure_vectors(self._connection, dimensions)

    def users(self, limit: int, after: str | None = None) -> list[str]:
        """See `Backend.users`. The order is that of the users' hashes.

        Requests: 1 for each user, and one for each whose values have parts; fewer if users have few records.
        """
        return self._reader.users(limit, after)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1 per 1 MB of the table.
        """
        return self._reader.scan_all(fields, limit, after)

    def document_count(self) -> int | None:
        """See `Backend.document_count`. DynamoDB counts the items, including parts of values, about every six hours.

        Requests: 1.
        """
        return item_count(self._connection, beside=int(self._says_its_format))

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 100 documents.
        """
        return self._write(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`.

        Requests: 3.
        """
        return examine(self._connection, now)

    def drop(self) -> None:
        """See `Backend.drop`.

        Requests: 2, and more until the table is gone.
        """
        drop_table(self._connection)
        self.close()

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self._counter.record(accesses)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        return self._reader.count(range, at)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._remover.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`.

        Requests: 1 per 1 MB of the user's items, 1 per 1 MB of parts of values, and 1 per 25 of both.
        """
        return self._remover.forget(range, at)

    def close(self) -> None:
        """See `Backend.close`."""
        self._threads.close()
        self._connection.close()

    def before_fork(self) -> None:
        """See `Backend.before_fork`. Idle connections do no harm: the child forgets them."""

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._threads.after_fork()
        self._connection.after_fork()
        self._parts.after_fork()
        self._memory.clear()
        self._writer.after_fork()
        self._counter.after_fork()

    def _write(self, writes: Sequence[Write | Restore]) -> list[Outcome]:
        if not self._says_its_format:  # an empty table, into which another process may have put records since
            self._says_its_format = open_table(self._connection, insist=True)
        return self._items().write(self._writer, writes)

    def _items(self) -> Items:
        return Items(self._connection, self._parts, self._threads)
