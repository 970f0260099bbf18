"""The adapter: the methods of the contract. Those that read are `Reader`'s; the others are handed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

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
    Restore,
    Write,
)
from datastore.ids import EVERYTHING
from datastore_sqlite.at_once import AtOnce
from datastore_sqlite.client import NAME, Settings
from datastore_sqlite.opened import Opened
from datastore_sqlite.reading import Reader
from datastore_sqlite.writing import Writer

if TYPE_CHECKING:
    from datastore.administration import Diagnostic
    from datastore.queries.tree import Path, Query
    from datastore_sqlite.finder import Finder


class SqliteBackend(Reader, Backend):
    """Documents in one SQLite file."""

    name = NAME
    capabilities = Capabilities(
        persistent=True,
        shared=True,
        at_once=True,
        parsed_values=True,
        content=True,
        entries=True,
        bare_values=True,
        tenant_databases=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Open the file, and create it if it does not exist.

        Raises:
            ConfigurationError: If the path cannot hold a store, or the file is something else.
            PermissionDeniedError: If the operating system refuses access.
            BackendUnavailableError: If the file is locked.
            BackendUnusableError: If the file is damaged.
        """
        self.capabilities = promises(settings)
        super().__init__(Opened(settings))
        self._writer = Writer(self._opened)
        self._at_once = AtOnce(self._opened)
        self._finder: Finder | None = None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._writer.write(writes)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self._writer.record_access(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._at_once.close()
        self._opened.connections.close()

    def read_at_once(self, id: str, most: int) -> Document | None:
        """See `Backend.read_at_once`."""
        return self._at_once.read(id, most)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._writer.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        return self._writer.forget(range, at)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return (self._finder or self._made_finder()).plan(range, query)

    def find_few(self, range: IdRange, query: Query, fields: Fields, limit: int) -> Sequence[Document] | None:
        """See `Backend.find_few`."""
        return None if self._finder is None else self._finder.find_few(range, query, fields, limit)

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
        finder = self._finder or self._made_finder()
        return finder.find(range, cast(Any, plan), fields, limit, after, reverse=reverse)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`."""
        return (self._finder or self._made_finder()).ensure_index(fields, encoded_namespace)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`."""
        return self._writer.purge(at, range)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`."""
        return self.scan(EVERYTHING, fields, limit, after)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`."""
        return self._writer.restore(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`."""
        from datastore_sqlite.admin import examine  # here, because few programs need it

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
        self._at_once.before_fork()
        self._opened.connections.before_fork()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._writer.after_fork()
        self._at_once.after_fork()
        self._opened.connections.after_fork()

    def _made_finder(self) -> Finder:
        """Return what answers queries. It is made with the first one: a program that only gets and sets starts faster.

        If two threads make one at the same time, they merely learn the indexes twice.
        """
        from datastore_sqlite.finder import Finder

        finder = self._finder = Finder(self._opened, self._writer)
        return finder


def promises(settings: Settings) -> Capabilities:
    """Return the capabilities of a store."""
    in_file = settings.path is not None
    return replace(SqliteBackend.capabilities, persistent=in_file, shared=in_file)
