"""Isolation by database: one backend in front, behind it a database for each customer (``isolation="database"``).

A customer is a user id. Its database is called ``<base>-<customer>``: the name that the URL gives, and the user id with
everything but ``a-z`` and ``0-9`` as ``_`` and two hex digits for each byte of UTF-8. That is legal as a file, a
database, a table and a collection, even where upper and lower case are the same; it holds no further ``-``, so no two
names are alike; and it decodes to exactly the user id.
"""

from __future__ import annotations

import logging
import re
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, cast
from urllib.parse import unquote

from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    ClearsRange,
    CountsRange,
    Document,
    DocumentPage,
    Fields,
    Finds,
    IdRange,
    ListsExpired,
    ListsNamespaces,
    Outcome,
    Plan,
    Query,
    ReclaimsExpired,
    SurvivesFork,
    Write,
)
from datastore.errors import ClosedError, DataStoreError, InvalidNameError
from datastore.urls import Url, one_of

logger = logging.getLogger("datastore")
_SEPARATOR = "-"
_ESCAPED = re.compile(r"[^a-z0-9]")
_CUSTOMER = re.compile(r"(?:[a-z0-9]|_[0-9a-f]{2})+")


def is_wanted(url: Url) -> bool:
    """Take the parameter ``isolation`` of a URL, and return whether it asks for a database for each customer."""
    return url.parameter("isolation", one_of("shared", "database"), "shared") == "database"


def encode_customer(user_id: str) -> str:
    """Return a user id as it stands in the name of a database."""
    return _ESCAPED.sub(lambda match: "".join(f"_{byte:02x}" for byte in match[0].encode()), user_id)


def decode_customer(name: str) -> str:
    """Return the user id that `encode_customer` encoded.

    Raises:
        ValueError: If it did not make this name.
    """
    if not _CUSTOMER.fullmatch(name):
        raise ValueError("no name of a customer")
    user_id = re.sub(r"_(..)|(.)", lambda match: chr(int(match[1], 16)) if match[1] else match[2], name)
    user_id = user_id.encode("latin-1").decode()
    if encode_customer(user_id) != name:
        raise ValueError("no name of a customer")
    return user_id


class Databases(ABC):
    """The databases of customers in one place, as an adapter makes and drops them.

    Args:
        kind: The adapter's backend class; what it can do beyond `Backend` is there for customers, too.
        base: What the names of the databases begin with.
        longest: The most bytes that the name of a database may take.
        capabilities: What the backends promise.
    """

    most_open = 64
    """How many databases are kept open while nobody uses them."""

    def __init__(self, kind: type[Backend], base: str, longest: int, capabilities: Capabilities) -> None:
        self.kind = kind
        self.base = base
        self.longest = longest
        self.capabilities = capabilities

    @abstractmethod
    def open(self, name: str) -> Backend:
        """Open a database, and create it if it is not there. Called by one thread at a time for one name."""

    @abstractmethod
    def drop(self, name: str) -> bool:
        """Remove a database with all that is in it, and return whether it was there. It is not open here."""

    @abstractmethod
    def names(self, beginning: str) -> Iterable[str]:
        """Return the names of the databases that begin so; other names among them do no harm."""


class _Entry:
    """The database of one customer: open, or about to be."""

    __slots__ = ("backend", "lock", "uses")

    def __init__(self) -> None:
        self.backend: Backend | None = None
        self.lock = threading.Lock()
        self.uses = 0


class CustomerBackend(Backend):
    """Hands each call to the database of the user that its ids begin with. Made by `separate`."""

    def __init__(self, databases: Databases) -> None:
        self.name = databases.kind.name
        self.capabilities = databases.capabilities
        self._databases = databases
        self._lock = threading.Lock()  # guards the entries and their uses; never held during I/O
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._closed = False

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found: dict[str, Document] = {}
        for user, of_user in groupby(ids, _user):
            with self._opened(user) as backend:
                found.update(backend.read(list(of_user), fields))
        return found

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`. The store's batches are of one user each."""
        outcomes: list[Outcome] = []
        for user, of_user in groupby(writes, lambda write: _user(write.id)):
            with self._opened(user) as backend:
                outcomes += backend.write(list(of_user))
        return outcomes

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        with self._opened(_user(range.start)) as backend:
            return backend.scan(range, fields, limit, after)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`. For a customer that was dropped meanwhile no database is made."""
        with self._lock:
            there = {user_id for user_id, entry in self._entries.items() if entry.backend is not None}
        failed: list[DataStoreError] = []
        counted = False
        for user, of_user in groupby(sorted(accesses), lambda access: _user(access.id)):
            try:
                if user in there or self._is_there(user):
                    with self._opened(user) as backend:
                        backend.record_access(list(of_user))
                    counted = True
            except DataStoreError as error:
                failed.append(error)
        if failed and not counted:
            raise failed[0]
        for one in failed:  # to raise would count the others' twice
            logger.warning("access counts of a customer were lost: %s", one)

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._closed = True
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            with entry.lock:
                if entry.backend is not None:
                    entry.backend.close()

    def after_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        self._lock = threading.Lock()
        for entry in self._entries.values():
            entry.lock = threading.Lock()
            entry.uses = 0
            if isinstance(entry.backend, SurvivesFork):
                entry.backend.after_fork()

    def database(self, user_id: str) -> str:
        """Return what the database of a customer is called.

        Raises:
            InvalidNameError: If that is longer than the database allows.
        """
        name = f"{self._databases.base}{_SEPARATOR}{encode_customer(user_id)}"
        if len(name.encode()) > self._databases.longest:
            raise InvalidNameError(
                f"the database of this customer would have a name of {len(name.encode())} bytes, and {self.name} takes "
                f"{self._databases.longest}; use shorter user ids (all but a-z and 0-9 take three for each byte)"
            )
        return name

    def customers(self) -> list[str]:
        """Return the user ids that have a database, sorted."""
        beginning = self._databases.base + _SEPARATOR
        found: set[str] = set()
        for name in self._databases.names(beginning):
            if name.startswith(beginning):
                try:
                    found.add(decode_customer(name[len(beginning) :]))
                except ValueError:
                    continue  # of something else
        return sorted(found)

    def drop(self, user_id: str) -> bool:
        """Remove the database of a customer, and return whether there was one. Who uses it meanwhile sees it closed."""
        name = self.database(user_id)
        with self._entry(user_id) as entry, entry.lock:  # nobody opens it before it is gone
            backend, entry.backend = entry.backend, None
            if backend is not None:
                backend.close()
            return self._databases.drop(name)

    def _is_there(self, user_id: str) -> bool:
        name = self.database(user_id)
        return name in self._databases.names(name)

    @contextmanager
    def _opened(self, user_id: str) -> Iterator[Backend]:
        """Lend the database of a customer; it is not closed for want of room meanwhile."""
        with self._entry(user_id) as entry:
            backend = entry.backend
            if backend is None:
                with entry.lock:
                    if self._closed:
                        raise self._refusal()
                    if entry.backend is None:
                        entry.backend = self._databases.open(self.database(user_id))
                    backend = entry.backend
            yield backend

    @contextmanager
    def _entry(self, user_id: str) -> Iterator[_Entry]:
        with self._lock:
            if self._closed:
                raise self._refusal()
            entry = self._entries.setdefault(user_id, _Entry())
            self._entries.move_to_end(user_id)
            entry.uses += 1
        try:
            yield entry
        finally:
            with self._lock:
                entry.uses -= 1
                surplus = self._take_surplus()
            for backend in surplus:
                backend.close()

    def _take_surplus(self) -> list[Backend]:
        """Forget the databases that were not used for longest, and return those of them that are open."""
        if len(self._entries) <= self._databases.most_open:
            return []
        idle = [user_id for user_id, entry in self._entries.items() if not entry.uses]
        taken = [self._entries.pop(user_id) for user_id in idle[: len(self._entries) - self._databases.most_open]]
        return [entry.backend for entry in taken if entry.backend is not None]

    def _refusal(self) -> ClosedError:
        return ClosedError("the store was closed", backend=self.name)


def separate(databases: Databases) -> CustomerBackend:
    """Return the backend that keeps each customer's records in a database of its own.

    It has the optional abilities that the adapter's backend has, save `DeclaresIndexes`: an index would have to be
    declared in databases that are not there yet.
    """
    abilities = [mixin for ability, mixin in _ABILITIES.items() if _has(databases.kind, ability)]
    kind = type("CustomerBackend", (*abilities, CustomerBackend), {})
    return cast(CustomerBackend, kind(databases))


class _Namespaces(CustomerBackend):
    def namespaces(self, range: IdRange, at: str) -> list[str]:
        with self._opened(_user(range.start)) as backend:
            return cast(ListsNamespaces, backend).namespaces(range, at)


class _Expired(CustomerBackend):
    def expired(self, range: IdRange, at: str) -> set[str]:
        with self._opened(_user(range.start)) as backend:
            return cast(ListsExpired, backend).expired(range, at)


class _Counts(CustomerBackend):
    def count(self, range: IdRange, at: str) -> int:
        with self._opened(_user(range.start)) as backend:
            return cast(CountsRange, backend).count(range, at)


class _Clears(CustomerBackend):
    def clear(self, range: IdRange, at: str) -> int:
        with self._opened(_user(range.start)) as backend:
            return cast(ClearsRange, backend).clear(range, at)


class _Finding(CustomerBackend):
    def plan(self, range: IdRange, query: Query) -> Plan | None:
        with self._opened(_user(range.start)) as backend:
            return cast(Finds, backend).plan(range, query)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        with self._opened(_user(range.start)) as backend:
            return cast(Finds, backend).find(range, plan, fields, limit, after)


class _Reclaims(CustomerBackend):
    def purge(self, at: str) -> int:
        purged = 0
        for user_id in self.customers():
            with self._opened(user_id) as backend:
                purged += cast(ReclaimsExpired, backend).purge(at)
        return purged


_ABILITIES: dict[type, type] = {
    ListsNamespaces: _Namespaces,
    ListsExpired: _Expired,
    CountsRange: _Counts,
    ClearsRange: _Clears,
    Finds: _Finding,
    ReclaimsExpired: _Reclaims,
}


def _has(kind: type, ability: Any) -> bool:
    """Return whether a class has the methods of an optional ability."""
    return all(hasattr(kind, name) for name in vars(ability) if not name.startswith("_"))


def _user(id: str) -> str:
    """Return the user id that an id or the start of a range begins with."""
    return unquote(id.partition(":")[0], errors="strict")
