"""Hands each call to the database of the customer that it is about, and keeps some of the databases open."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from urllib.parse import unquote

from datastore.backend import (
    Access,
    Backend,
    Delete,
    Document,
    DocumentPage,
    Fields,
    IdRange,
    Outcome,
    SurvivesFork,
    Write,
)
from datastore.customers.databases import Databases
from datastore.customers.names import SEPARATOR, decode_customer, encode_customer
from datastore.errors import ClosedError, DataStoreError, InvalidNameError
from datastore.turns import Turns

logger = logging.getLogger("datastore")


class _Entry:
    """The database of one customer: open, or about to be."""

    __slots__ = ("backend", "opening", "uses")

    def __init__(self) -> None:
        self.backend: Backend | None = None
        self.opening = Turns("opening the database of a customer")
        self.uses = 0


class CustomerBackend(Backend):
    """Hands each call to the database of the user that its ids begin with. Made by `separate`."""

    def __init__(self, databases: Databases) -> None:
        self.name = databases.kind.name
        self.capabilities = databases.capabilities
        self._databases = databases
        self._turns = Turns("looking up the database of a customer")  # guards the entries and their uses; no I/O
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._closed = False

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found: dict[str, Document] = {}
        for user, of_user in groupby(ids, user_of):
            with self.opened_if_there(user) as backend:
                if backend is not None:
                    found.update(backend.read(list(of_user), fields))
        return found

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`. The store's batches are of one user each."""
        outcomes: list[Outcome] = []
        for user, grouped in groupby(writes, lambda write: user_of(write.id)):
            of_user = list(grouped)
            if all(isinstance(write, Delete) for write in of_user):
                with self.opened_if_there(user) as there:
                    outcomes += [Outcome(False)] * len(of_user) if there is None else there.write(of_user)
            else:
                with self.opened(user) as backend:
                    outcomes += backend.write(of_user)
        return outcomes

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        with self.opened_if_there(user_of(range.start)) as backend:
            return DocumentPage((), None) if backend is None else backend.scan(range, fields, limit, after)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`. For a customer that was dropped meanwhile no database is made."""
        with self._turns.take():
            there = {user_id for user_id, entry in self._entries.items() if entry.backend is not None}
        failed: list[DataStoreError] = []
        counted = False
        for user, of_user in groupby(sorted(accesses), lambda access: user_of(access.id)):
            try:
                if user in there or self._is_there(user):
                    with self.opened(user) as backend:
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
        with self._turns.take():
            self._closed = True
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            with entry.opening.take():
                if entry.backend is not None:
                    entry.backend.close()

    def before_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        for entry in self._entries.values():
            if isinstance(entry.backend, SurvivesFork):
                entry.backend.before_fork()

    def after_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        self._turns.reset()
        for entry in self._entries.values():
            entry.opening.reset()
            entry.uses = 0
            if isinstance(entry.backend, SurvivesFork):
                entry.backend.after_fork()

    def database(self, user_id: str) -> str:
        """Return what the database of a customer is called.

        Raises:
            InvalidNameError: If that is longer than the database allows.
        """
        name = f"{self._databases.base}{SEPARATOR}{encode_customer(user_id)}"
        if len(name.encode()) > self._databases.longest:
            raise InvalidNameError(
                f"the database of this customer would have a name of {len(name.encode())} bytes, and {self.name} takes "
                f"{self._databases.longest}; use shorter user ids (all but a-z and 0-9 take three for each byte)"
            )
        return name

    def customers(self) -> list[str]:
        """Return the user ids that have a database, sorted."""
        beginning = self._databases.base + SEPARATOR
        found: set[str] = set()
        for name in self._databases.names(beginning):
            if name.startswith(beginning):
                try:
                    found.add(decode_customer(name[len(beginning) :]))
                except ValueError:
                    continue  # of something else
        return sorted(found)

    def drop_customer(self, user_id: str) -> bool:
        """Remove the database of a customer, and return whether there was one. Who uses it meanwhile sees it closed."""
        name = self.database(user_id)
        with self._entry(user_id) as entry, entry.opening.take():  # nobody opens it before it is gone
            backend, entry.backend = entry.backend, None
            if backend is not None:
                backend.close()
            return self._databases.drop(name)

    def _is_there(self, user_id: str) -> bool:
        return self._databases.exists(self.database(user_id))

    @contextmanager
    def opened(self, user_id: str) -> Iterator[Backend]:
        """Lend the database of a customer, made if it is not there; it is not closed for want of room meanwhile."""
        with self._entry(user_id) as entry:
            yield entry.backend or self._open(user_id, entry)

    @contextmanager
    def opened_if_there(self, user_id: str) -> Iterator[Backend | None]:
        """Lend the database of a customer, or ``None`` if there is none: reading makes no databases."""
        with self._entry(user_id) as entry:
            if entry.backend is None and not self._is_there(user_id):
                yield None
            else:
                yield entry.backend or self._open(user_id, entry)

    def _open(self, user_id: str, entry: _Entry) -> Backend:
        with entry.opening.take():
            if self._closed:
                raise self._refusal()
            if entry.backend is None:
                entry.backend = self._databases.open(self.database(user_id))
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
        """Forget the databases that were not used for longest, and return those of them that are open."""
        if len(self._entries) <= self._databases.most_open:
            return []
        idle = [user_id for user_id, entry in self._entries.items() if not entry.uses]
        taken = [self._entries.pop(user_id) for user_id in idle[: len(self._entries) - self._databases.most_open]]
        return [entry.backend for entry in taken if entry.backend is not None]

    def _refusal(self) -> ClosedError:
        return ClosedError("the store was closed", backend=self.name)


def user_of(id: str) -> str:
    """Return the user id that an id or the start of a range begins with."""
    return unquote(id.partition(":")[0], errors="strict")
