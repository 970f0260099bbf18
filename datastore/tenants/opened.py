"""Keeps some of the tenants' databases open, and lends them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from datastore.backend import Backend
from datastore.errors import ClosedError, InvalidNameError
from datastore.tenants.databases import Databases
from datastore.tenants.names import SEPARATOR, decode_tenant, encode_tenant
from datastore.turns import Turns


class _Entry:
    """The database of one tenant: open, or about to be."""

    __slots__ = ("backend", "opening", "uses")

    def __init__(self) -> None:
        self.backend: Backend | None = None
        self.opening = Turns("opening the database of a tenant")
        self.uses = 0


class OpenDatabases:
    """The databases of tenants, by user id. If too many are open, the least recently used ones are closed.

    Args:
        databases: How the adapter opens, drops and lists them.
    """

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self._turns = Turns("looking up the database of a tenant")  # guards the entries and their uses; no I/O
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._closed = False

    def at_hand(self) -> set[str]:
        """Return the user ids whose databases are open."""
        with self._turns.take():
            return {user_id for user_id, entry in self._entries.items() if entry.backend is not None}

    @contextmanager
    def lent(self, user_id: str) -> Iterator[Backend]:
        """Lend the database of a tenant, and create it if it does not exist. It stays open while it is lent."""
        with self._entry(user_id) as entry:
            yield entry.backend or self._open(user_id, entry)

    @contextmanager
    def lent_if_there(self, user_id: str) -> Iterator[Backend | None]:
        """Lend the database of a tenant, or ``None`` if it does not exist, because reading must not create it."""
        with self._entry(user_id) as entry:
            if entry.backend is None and not self.is_there(user_id):
                yield None
            else:
                yield entry.backend or self._open(user_id, entry)

    def _open(self, user_id: str, entry: _Entry) -> Backend:
        with entry.opening.take():
            if self._closed:
                raise self._refusal()
            if entry.backend is None:
                entry.backend = self.databases.open(self.name_of(user_id))
            return entry.backend

    @contextmanager
    def _entry(self, user_id: str) -> Iterator[_Entry]:
        with self._turns.take():
            if self._closed:
                raise self._refusal()
            entry = self._entries.setdefault(user_id, _Entry())
            self._entries.move_to_end(user_id)
            entry.uses += 1
        try:
            yield entry
        finally:
            with self._turns.take():
                entry.uses -= 1
                surplus = self._take_surplus()
            for backend in surplus:
                backend.close()

    def _take_surplus(self) -> list[Backend]:
        """Forget the least recently used databases, and return those of them that are open."""
        if len(self._entries) <= self.databases.most_open:
            return []
        idle = [user_id for user_id, entry in self._entries.items() if not entry.uses]
        taken = [self._entries.pop(user_id) for user_id in idle[: len(self._entries) - self.databases.most_open]]
        return [entry.backend for entry in taken if entry.backend is not None]

    def _refusal(self) -> ClosedError:
        return ClosedError("the store was closed", backend=self.databases.kind.name)

    def name_of(self, user_id: str) -> str:
        """Return the name of a tenant's database.

        Raises:
            InvalidNameError: If the name is longer than the database allows.
        """
        of = self.databases
        name = f"{of.base}{SEPARATOR}{encode_tenant(user_id)}"
        if len(name.encode()) > of.longest:
            raise InvalidNameError(
                f"the database of this tenant would have a name of {len(name.encode())} bytes; {of.kind.name} allows "
                f"{of.longest}. Use shorter user ids (a byte other than a-z and 0-9 takes three)"
            )
        return name

    def all(self) -> list[str]:
        """Return the user ids that have a database, sorted."""
        beginning = self.databases.base + SEPARATOR
        found: set[str] = set()
        for name in self.databases.names(beginning):
            if name.startswith(beginning):
                try:
                    found.add(decode_tenant(name[len(beginning) :]))
                except ValueError:
                    continue  # the name belongs to something else
        return sorted(found)

    def drop(self, user_id: str) -> bool:
        """Remove the database of a tenant; return whether it existed. Calls that use it meanwhile find it closed."""
        name = self.name_of(user_id)
        with self._entry(user_id) as entry, entry.opening.take():  # nobody opens it before it is gone
            backend, entry.backend = entry.backend, None
            if backend is not None:
                backend.close()
            return self.databases.drop(name)

    def is_there(self, user_id: str) -> bool:
        """Return whether a tenant has a database."""
        return self.databases.exists(self.name_of(user_id))

    def close(self) -> None:
        """Close all databases, and open no more."""
        with self._turns.take():
            self._closed = True
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            with entry.opening.take():
                if entry.backend is not None:
                    entry.backend.close()

    def before_fork(self) -> None:
        """See `Backend.before_fork`."""
        for entry in self._entries.values():
            if entry.backend is not None:
                entry.backend.before_fork()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._turns.reset()
        for entry in self._entries.values():
            entry.opening.reset()
            entry.uses = 0
            if entry.backend is not None:
                entry.backend.after_fork()
