"""The optional abilities of backends, for databases of customers: each is there if the adapter's backend has it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

from datastore.administration import DropsDatabase
from datastore.backend import (
    ClearsRange,
    CountsRange,
    Document,
    DocumentPage,
    Fields,
    Finds,
    ForgetsUsers,
    Forgotten,
    IdRange,
    ListsExpired,
    ListsNamespaces,
    MovesDocuments,
    Outcome,
    Plan,
    Query,
    ReclaimsExpired,
    Restore,
)
from datastore.customers.databases import Databases
from datastore.customers.routing import CustomerBackend, user_of
from datastore.errors import DamagedRecordError


def separate(databases: Databases) -> CustomerBackend:
    """Return the backend that keeps each customer's records in a database of its own.

    It has the optional abilities that the adapter's backend has, save two: `DeclaresIndexes`, because an index would
    have to be declared in databases that are not there yet, and `Examines`, which is about one database.
    """
    abilities = [mixin for ability, mixin in _ABILITIES.items() if _has(databases.kind, ability)]
    kind = type("CustomerBackend", (*abilities, CustomerBackend), {})
    return cast(CustomerBackend, kind(databases))


_AT_ONCE = 16
"""How many customers' documents come in one page: each may be as large as a page of the adapter."""


class _Namespaces(CustomerBackend):
    def namespaces(self, range: IdRange, at: str) -> list[str]:
        with self.opened_if_there(user_of(range.start)) as backend:
            return [] if backend is None else cast(ListsNamespaces, backend).namespaces(range, at)


class _Expired(CustomerBackend):
    def expired(self, range: IdRange, at: str) -> set[str]:
        with self.opened_if_there(user_of(range.start)) as backend:
            return set() if backend is None else cast(ListsExpired, backend).expired(range, at)


class _Counts(CustomerBackend):
    def count(self, range: IdRange, at: str) -> int:
        with self.opened_if_there(user_of(range.start)) as backend:
            return 0 if backend is None else cast(CountsRange, backend).count(range, at)


class _Clears(CustomerBackend):
    def clear(self, range: IdRange, at: str) -> int:
        with self.opened_if_there(user_of(range.start)) as backend:
            return 0 if backend is None else cast(ClearsRange, backend).clear(range, at)


class _Forgets(CustomerBackend):
    def forget(self, range: IdRange, at: str) -> Forgotten:
        with self.opened_if_there(user_of(range.start)) as backend:
            return Forgotten(0, 0) if backend is None else cast(ForgetsUsers, backend).forget(range, at)


class _Finding(CustomerBackend):
    def plan(self, range: IdRange, query: Query) -> Plan | None:
        with self.opened_if_there(user_of(range.start)) as backend:
            return None if backend is None else cast(Finds, backend).plan(range, query)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        with self.opened_if_there(user_of(range.start)) as backend:
            if backend is None:
                return DocumentPage((), None)
            return cast(Finds, backend).find(range, plan, fields, limit, after)


class _Reclaims(CustomerBackend):
    def purge(self, at: str) -> int:
        purged = 0
        for user_id in self.customers():
            with self.opened(user_id) as backend:
                purged += cast(ReclaimsExpired, backend).purge(at)
        return purged


class _Moves(CustomerBackend):
    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        first = None if after is None else user_of(after)
        users = [user_id for user_id in self.customers() if first is None or user_id >= first]
        found, damaged = list[Document](), list[DamagedRecordError]()
        for number, user_id in enumerate(users, start=1):
            with self.opened(user_id) as backend:
                of_user = cast(MovesDocuments, backend)
                page = of_user.all_documents(fields, limit - len(found), after if user_id == first else None)
            found += page.documents
            damaged += page.damaged
            if page.after is not None:
                return DocumentPage(found, page.after, damaged)
            if found and number < len(users) and (len(found) == limit or number >= _AT_ONCE):
                # The next page looks behind the last of them, finds nothing, and goes on.
                return DocumentPage(found, found[-1].id, damaged)
        return DocumentPage(found, None, damaged)

    def document_count(self) -> int | None:
        total = 0
        for user_id in self.customers():
            with self.opened(user_id) as backend:
                count = cast(MovesDocuments, backend).document_count()
            if count is None:
                return None
            total += count
        return total

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for user_id, of_user in groupby(restores, lambda restore: user_of(restore.id)):
            with self.opened(user_id) as backend:
                outcomes += cast(MovesDocuments, backend).restore(list(of_user))
        return outcomes


class _Drops(CustomerBackend):
    def drop(self) -> None:
        for user_id in self.customers():
            self.drop_customer(user_id)
        self.close()


_ABILITIES: dict[type, type] = {
    ListsNamespaces: _Namespaces,
    ListsExpired: _Expired,
    CountsRange: _Counts,
    ClearsRange: _Clears,
    ForgetsUsers: _Forgets,
    Finds: _Finding,
    ReclaimsExpired: _Reclaims,
    MovesDocuments: _Moves,
    DropsDatabase: _Drops,
}


def _has(kind: type, ability: Any) -> bool:
    """Return whether a class has the methods of an optional ability."""
    return all(hasattr(kind, name) for name in vars(ability) if not name.startswith("_"))
