"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
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
    NamespaceStats,
    Outcome,
    Plan,
    Query,
    Restore,
    Write,
)
from datastore.ids import EVERYTHING
from datastore.queries.tree import Path
from datastore_postgresql.admin import examine
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.failures import NAME
from datastore_postgresql.finding import Finder, PostgresPlan
from datastore_postgresql.indexes import known
from datastore_postgresql.reading import SCAN_PAGE, Reader
from datastore_postgresql.removing import Remover
from datastore_postgresql.schema import settle, statement_to_drop, table_of
from datastore_postgresql.writing import Records

_BATCH = 1_000


class PostgresBackend(Backend):
    """Records in one table of a PostgreSQL database."""

    name = NAME
    capabilities = Capabilities(
        read_batch=_BATCH,
        write_batch=_BATCH,
        scan_page=SCAN_PAGE,
        persistent=True,
        shared=True,
        remembered_writes=REMEMBERED,
        parsed_values=True,
        content=True,
        tenant_databases=True,
    )

    def __init__(self, settings: Settings, session: Session) -> None:
        """Connect, and see that the store has the format of this version.

        Raises:
            ConfigurationError: If there is no store and none may be made, or the server is too old.
            BackendUnusableError: If a newer version has written it.
            PermissionDeniedError: If the server refuses the credentials.
            BackendUnavailableError: If it does not answer.

        Requests: 1; 2 more the first time.
        """
        self._settings = settings
        self._session = session
        try:
            comments = settle(session, settings)
        except BaseException:
            session.close()
            raise
        table, memory = table_of(settings.schema), Memory()
        self._memory = memory
        records = Records(session, table)
        self._writer = Writer(records, memory)
        self._counter = Counter(records, memory, _BATCH)
        self._reader = Reader(session, table, memory)
        self._remover = Remover(session, table, memory, self._reader)
        self._finder = Finder(session, table, settings.schema, self._reader, known(comments))

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`.

        Requests: 1.
        """
        return self._reader.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`.

        Requests: 1 for a record that this process knows or that is new, otherwise 2.
        """
        return self._writer.write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1; 0 for an empty range.
        """
        return self._reader.scan(range, fields, limit, after, reverse=reverse)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`.

        Requests: 1 per 1,000 records.
        """
        self._counter.record(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._session.close()

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`.

        Requests: 1.
        """
        return self._reader.namespaces(range, at)

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`.

        Requests: 1.
        """
        return self._reader.namespace_stats(range, at)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`.

        Requests: 1.
        """
        return self._reader.count(range, at)

    def plan(self, range: IdRange, query: Query) -> PostgresPlan | None:
        """See `Backend.plan`.

        Requests: 0.
        """
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
        """See `Backend.find`.

        Requests: 1; 0 for an empty range.
        """
        return self._finder.find(range, cast("PostgresPlan", plan), fields, limit, after, reverse=reverse)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`.

        Requests: 4; 1 if it is there, 0 if this store knows it; more while somebody else builds it.
        """
        return self._finder.ensure_index(fields, encoded_namespace)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`.

        Requests: 2 per 10,000 records.
        """
        return self._remover.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`.

        Requests: 2 per 10,000 records.
        """
        return self._remover.forget(range, at)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`.

        Requests: 2 per 10,000 expired records.
        """
        return self._remover.purge(at, range)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1.
        """
        return self.scan(EVERYTHING, fields, limit, after)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 1,000 records; 1 more if some of them exist already.
        """
        return self._writer.write(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`.

        Requests: 1.
        """
        return examine(self._session, self._settings.schema, now)

    def drop(self) -> None:
        """See `Backend.drop`.

        Requests: 1.
        """
        self._session.ask(statement_to_drop(self._settings.schema))
        self.close()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._session.after_fork()
        self._memory.clear()
        self._writer.after_fork()
        self._counter.after_fork()
