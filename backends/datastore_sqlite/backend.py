"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import cast

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
from datastore_sqlite import indexes
from datastore_sqlite.admin import examine
from datastore_sqlite.client import NAME, Settings
from datastore_sqlite.finding import SqlitePlan, make_plan, read_page
from datastore_sqlite.opened import LOOK_SECONDS, Opened
from datastore_sqlite.reading import Reader
from datastore_sqlite.shapes import Shapes
from datastore_sqlite.writing import Writer


class SqliteBackend(Backend):
    """Documents in one SQLite file."""

    name = NAME
    capabilities = Capabilities(persistent=True, shared=True, at_once=True, parsed_values=True, tenant_databases=True)

    def __init__(self, settings: Settings) -> None:
        """Open the file, and create it if it does not exist.

        Raises:
            ConfigurationError: If the path cannot hold a store, or the file is something else.
            PermissionDeniedError: If the operating system refuses access.
            BackendUnavailableError: If the file is locked.
            BackendUnusableError: If the file is damaged.
        """
        self.capabilities = promises(settings)
        self._opened = Opened(settings)
        self._reader = Reader(self._opened)
        self._writer = Writer(self._opened)
        self._shapes = Shapes()
        self._known_indexes: tuple[int | None, list[indexes.Index]] = None, []
        self._look_at_indexes = 0.0

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
        self._writer.record_access(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._opened.connections.close()

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        return self._reader.namespaces(range, at)

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`."""
        return self._reader.namespace_stats(range, at)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        return self._reader.count(range, at)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._writer.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        return self._writer.forget(range, at)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return make_plan(range, query, self._indexes, self._shapes)

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """See `Backend.find`."""
        with self._opened.lent() as connection:
            return read_page(connection, range, cast(SqlitePlan, plan), fields, limit, after, reverse=reverse)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`."""
        index = indexes.declare(fields, encoded_namespace)
        if index.name not in (known.name for known in self._indexes()):
            self._writer.make_index(index.statement)
            self._look_at_indexes = 0.0
        return index.name

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`."""
        return self._writer.purge(at, range)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`."""
        return self.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `Backend.document_count`."""
        return self._reader.count_all()

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`."""
        return self._writer.restore(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`."""
        with self._opened.lent() as connection:
            return examine(connection, self._opened.settings)

    def drop(self) -> None:
        """See `Backend.drop`."""
        self.close()
        if (path := self._opened.settings.path) is not None:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def before_fork(self) -> None:
        """See `Backend.before_fork`."""
        self._writer.before_fork()
        self._opened.connections.before_fork()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._writer.after_fork()
        self._opened.connections.after_fork()

    def _indexes(self) -> list[indexes.Index]:
        """Return the declared indexes.

        Other processes may create and remove some, which changes the version of the schema. For a moment it is trusted:
        without a new index a query takes longer, and without one that is gone it is read as if there were none.
        """
        version, known = self._known_indexes
        now = monotonic()
        if now > self._look_at_indexes:
            if version is None or self._opened.fetch(indexes.VERSION, ()) != [(version,)]:
                rows = self._opened.fetch(indexes.LIST, ())
                known = indexes.known((name, sql) for _, name, sql in rows if name is not None)
                self._known_indexes = rows[0][0], known
            self._look_at_indexes = now + LOOK_SECONDS
        return known


def promises(settings: Settings) -> Capabilities:
    """Return the capabilities of a store."""
    in_file = settings.path is not None
    return replace(SqliteBackend.capabilities, persistent=in_file, shared=in_file)
