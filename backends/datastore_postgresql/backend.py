"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from datastore.adapters.composed import ComposedBackend
from datastore.adapters.knowledge import Memory
from datastore.adapters.opening import ClosedOnFailure
from datastore.adapters.remembering import REMEMBERED
from datastore.administration import Diagnostic
from datastore.backend import Capabilities, IdRange, NamespaceStats
from datastore_postgresql.admin import examine
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.failures import NAME
from datastore_postgresql.finding import Finder
from datastore_postgresql.indexes import known
from datastore_postgresql.reading import SCAN_PAGE, Reader
from datastore_postgresql.removing import Remover
from datastore_postgresql.schema import settle, statement_to_drop, table_of
from datastore_postgresql.vectors import MOST, Vectors
from datastore_postgresql.writing import Records

_BATCH = 1_000


class PostgresBackend(Finder, ComposedBackend):
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
        with ClosedOnFailure(session):
            comments = settle(session, settings)
        table, memory = table_of(settings.schema), Memory()
        vectors = Vectors(session, table, settings.schema)
        reader = Reader(session, table, memory)
        records, remover = Records(session, table, vectors), Remover(session, table, memory, reader)
        ComposedBackend.__init__(self, session, records, memory, reader, remover)
        Finder.__init__(self, session, table, settings.schema, reader, known(comments))
        self._vectors = vectors

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`.

        Requests: 1.
        """
        return self._reader.namespace_stats(range, at)

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
        return examine(self._session, self._schema, now)

    def drop(self) -> None:
        """See `Backend.drop`.

        Requests: 1.
        """
        self._session.ask(statement_to_drop(self._schema))
        self.close()
