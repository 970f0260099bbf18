"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from datastore.adapters.composed import ComposedBackend
from datastore.adapters.knowledge import Memory
from datastore.adapters.remembering import REMEMBERED
from datastore.administration import Diagnostic
from datastore.backend import Capabilities, Document, DocumentPage, Fields, IdRange, NamespaceStats, Plan, Query
from datastore.places import Place
from datastore.queries.shaping import Sort
from datastore.queries.tree import Path
from datastore_postgresql.admin import examine
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.failures import NAME
from datastore_postgresql.finding import Finder, PostgresPlan
from datastore_postgresql.indexes import known
from datastore_postgresql.reading import SCAN_PAGE, Reader
from datastore_postgresql.removing import Remover
from datastore_postgresql.schema import settle, statement_to_drop, table_of
from datastore_postgresql.vectors import MOST, Vectors
from datastore_postgresql.writing import Records

_BATCH = 1_000


class PostgresBackend(ComposedBackend):
    """Records in one table of a PostgreSQL database.

    Requests: 1 for each method of `ComposedBackend`, but: 2 to write a record that is there and not known here; 1 per
        1,000 accesses to count; 2 per 10,000 records to remove; 0 for an empty range.
    """

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
        nearest_at_once=MOST,
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
        vectors = Vectors(session, table, settings.schema)
        reader = Reader(session, table, memory)
        records, remover = Records(session, table, vectors), Remover(session, table, memory, reader)
        super().__init__(session, records, memory, reader, remover)
        self._vectors, self._reader = vectors, reader
        self._finder = Finder(session, table, settings.schema, reader, known(comments))

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`.

        Requests: 1.
        """
        return self._reader.namespace_stats(range, at)

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

    def find_few(self, range: IdRange, query: Query, fields: Fields, limit: int) -> Sequence[Document] | None:
        """See `Backend.find_few`.

        Requests: 1; 0 for an empty range, or if queries like this one are not known to find few.
        """
        return self._finder.few(range, query, fields, limit)

    def find_first(
        self,
        range: IdRange,
        query: Query,
        sort: Sort,
        fields: Fields,
        number: int,
        at: str,
        after: Place | None = None,
    ) -> DocumentPage | None:
        """See `Backend.find_first`.

        Requests: 1; 0 for an empty range, or if PostgreSQL does not decide the filter or the order.
        """
        return self._finder.first(range, query, sort, fields, number, at, after)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`.

        Requests: 4; 1 if it is there, 0 if this store knows it; more while somebody else builds it.
        """
        return self._finder.ensure_index(fields, encoded_namespace)

    def nearest(self, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
        """See `Backend.nearest`.

        Requests: 1; 2 if the index finds too few; 1 more the first time.
        """
        return self._vectors.nearest(range, vector, number, metric)

    def ensure_vectors(self, range: IdRange, dimensions: int) -> str:
        """See `Backend.ensure_vectors`.

        Requests: 2 if it is there; 4 more to make it, and 2 more for the first of a database.
        """
        return self._vectors.ensure(dimensions)

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
