"""The backend that hands each call to the database of its tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import unquote

from datastore.backend import (
    Ability,
    Access,
    Backend,
    Document,
    DocumentPage,
    Fields,
    Forgotten,
    IdRange,
    NamespaceStats,
    Outcome,
    Plan,
    Put,
    Query,
    Restore,
    Write,
)
from datastore.errors import DamagedRecordError, DataStoreError, logger
from datastore.ids import EVERYTHING, SYSTEM, encode_name, namespace_range
from datastore.tenants.databases import Databases
from datastore.tenants.opened import OpenDatabases

if TYPE_CHECKING:
    from datastore.queries.shaping import Sort

_AT_ONCE = 16
"""The most tenants whose documents come in one page: each one's may be as large as a page of the adapter."""
_OF_ALL: frozenset[Ability] = frozenset({"database", "tenants", "drop_tenant", "users"})
_OF_NONE: frozenset[Ability] = frozenset({"ensure_index", "read_at_once"})
"""An index would also have to be declared in databases that do not exist yet; and to open a database takes long."""


class TenantBackend(Backend):
    """Hands each call to the database of the user that its ids begin with.

    It supports the same optional methods as the adapter's backend, except `Backend.ensure_index` and
    `Backend.examine`, which are about one database.

    Args:
        databases: How the adapter opens, drops and lists the databases of tenants.
    """

    def __init__(self, databases: Databases) -> None:
        self.name = databases.kind.name
        declared = databases.capabilities
        self.capabilities = replace(declared, abilities=(declared.abilities | _OF_ALL) - _OF_NONE)
        self.opened = OpenDatabases(databases)
        """The open databases; it opens and closes them as needed."""

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found: dict[str, Document] = {}
        for user, of_user in groupby(ids, user_of):
            with self.opened.lent_if_there(user) as backend:
                if backend is not None:
                    found.update(backend.read(list(of_user), fields))
        return found

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`. Each batch of the store is about one user."""
        outcomes: list[Outcome] = []
        for user, grouped in groupby(writes, lambda write: user_of(write.id)):
            of_user = list(grouped)
            if not any(isinstance(write, Put) for write in of_user):
                with self.opened.lent_if_there(user) as there:
                    outcomes += [Outcome(False)] * len(of_user) if there is None else there.write(of_user)
            else:
                with self.opened.lent(user) as backend:
                    outcomes += backend.write(of_user)
        return outcomes

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return DocumentPage((), None) if backend is None else backend.scan(range, fields, limit, after, reverse)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`. It creates no database for a tenant that was dropped meanwhile."""
        there = self.opened.at_hand()
        failed: list[DataStoreError] = []
        counted = False
        for user, of_user in groupby(sorted(accesses), lambda access: user_of(access.id)):
            try:
                if user in there or self.opened.is_there(user):
                    with self.opened.lent(user) as backend:
                        backend.record_access(list(of_user))
                    counted = True
            except DataStoreError as error:
                failed.append(error)
        if failed and not counted:
            raise failed[0]
        for one in failed:  # an error would make the store repeat the whole batch, and count the others twice
            logger().warning("access counts of a tenant were lost: %s", one)

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return [] if backend is None else backend.namespaces(range, at)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return 0 if backend is None else backend.count(range, at)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return 0 if backend is None else backend.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return Forgotten(0, 0) if backend is None else backend.forget(range, at)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return None if backend is None else backend.plan(range, query)

    def find_first(
        self, range: IdRange, query: Query, sort: Sort, fields: Fields, number: int, at: str
    ) -> DocumentPage | None:
        """See `Backend.find_first`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return None if backend is None else backend.find_first(range, query, sort, fields, number, at)

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
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            if backend is None:
                return DocumentPage((), None)
            return backend.find(range, plan, fields, limit, after, reverse)

    def nearest(self, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
        """See `Backend.nearest`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return [] if backend is None else backend.nearest(range, vector, number, metric)

    def ensure_vectors(self, range: IdRange, dimensions: int) -> str:
        """See `Backend.ensure_vectors`; for the namespaces of one user."""
        if range is EVERYTHING:
            return super().ensure_vectors(range, dimensions)
        with self.opened.lent(user_of(range.start)) as backend:
            return backend.ensure_vectors(range, dimensions)

    def users(self, limit: int, after: str | None = None) -> list[str]:
        """See `Backend.users`. It asks the database of each tenant whether it holds something."""
        found = list[str]()
        for user_id in self.tenants():
            encoded = encode_name(user_id, "user_id")
            if len(found) == limit:
                break
            if after is not None and user_id <= user_of(after):
                continue
            with self.opened.lent_if_there(user_id) as backend:
                if backend is not None and backend.scan(namespace_range(encoded, None), Fields.KEY, 1).documents:
                    found.append(encoded)
        return found

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`."""
        with self.opened.lent_if_there(user_of(range.start)) as backend:
            return [] if backend is None else backend.namespace_stats(range, at)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`."""
        if range is not EVERYTHING:
            with self.opened.lent_if_there(user_of(range.start)) as there:
                return 0 if there is None else there.purge(at, range)
        purged = 0
        for user_id in ("", *self.tenants()):  # what is of no user has a database, too
            with self.opened.lent_if_there(user_id) as backend:
                purged += 0 if backend is None else backend.purge(at)
        return purged

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`."""
        first = None if after is None else user_of(after)
        users = [user_id for user_id in self.tenants() if first is None or user_id >= first]
        found, damaged = list[Document](), list[DamagedRecordError]()
        for number, user_id in enumerate(users, start=1):
            with self.opened.lent(user_id) as backend:
                page = backend.all_documents(fields, limit - len(found), after if user_id == first else None)
            found += page.documents
            damaged += page.damaged
            if page.after is not None:
                return DocumentPage(found, page.after, damaged)
            if found and number < len(users) and (len(found) == limit or number >= _AT_ONCE):
                # The next page begins after this id, finds no more of this tenant, and continues with the next one.
                return DocumentPage(found, found[-1].id, damaged)
        return DocumentPage(found, None, damaged)

    def document_count(self) -> int | None:
        """See `Backend.document_count`."""
        total = 0
        for user_id in self.tenants():
            with self.opened.lent(user_id) as backend:
                count = backend.document_count()
            if count is None:
                return None
            total += count
        return total

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`."""
        outcomes: list[Outcome] = []
        for user_id, of_user in groupby(restores, lambda restore: user_of(restore.id)):
            with self.opened.lent(user_id) as backend:
                outcomes += backend.restore(list(of_user))
        return outcomes

    def drop(self) -> None:
        """See `Backend.drop`."""
        for user_id in ("", *self.tenants()):  # what is of no user has a database, too
            self.drop_tenant(user_id)
        self.close()

    def database(self, user_id: str) -> str:
        """See `Backend.database`."""
        return self.opened.name_of(user_id)

    def tenants(self) -> list[str]:
        """See `Backend.tenants`."""
        return self.opened.all()

    def drop_tenant(self, user_id: str) -> bool:
        """See `Backend.drop_tenant`. Calls that use the database meanwhile find it closed."""
        return self.opened.drop(user_id)

    def close(self) -> None:
        """See `Backend.close`."""
        self.opened.close()

    def before_fork(self) -> None:
        """See `Backend.before_fork`."""
        self.opened.before_fork()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self.opened.after_fork()


def user_of(id: str) -> str:
    """Return the user id that an id or the start of a range begins with, be it of records or of system records."""
    return unquote(id.partition(":")[0].removesuffix(SYSTEM), errors="strict")
