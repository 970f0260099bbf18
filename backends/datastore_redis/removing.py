"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping

from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import RangeRemover, Removed
from datastore.backend import Forgotten, IdRange
from datastore.errors import BackendUnusableError
from datastore.ids import EVERYTHING, is_of_one_user
from datastore_redis.client import Session, run
from datastore_redis.reading import Reader
from datastore_redis.scripts import AFTER_ID, LEAVE, REMOVE

_PAGE = 1_000
"""How many records one script removes, in about ten milliseconds, during which Redis answers nobody else."""
_NONE, _LIVE, _EXPIRED, _STAYS = range(4)
"""What `REMOVE` answers for a record."""


class Remover(RangeRemover):
    """Removes records through one session."""

    def __init__(self, session: Session, memory: Memory, reader: Reader) -> None:
        super().__init__(memory, reader.scan, _PAGE)
        self._session = session
        self._reader = reader

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`. The user is then off the list of users, unless somebody has written meanwhile."""
        forgotten = super().forget(range, at)
        names, user = self._session.names, range.start.partition(":")[0]
        mark = user + AFTER_ID + os.urandom(8).hex()
        try:
            _, there = self._session.ask(
                run(LEAVE, [names.users, names.leaving], user, mark), ("EXISTS", names.ids(user))
            )
        except BackendUnusableError:
            pass  # without memory for the mark the user stays on the list, which does no harm
        else:
            self._settle({mark: there})
        return forgotten

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`. Ids whose records Redis has forgotten by itself go, too, and are not counted."""
        marks = self._reader.leaving() if range == EVERYTHING else []
        if marks:
            ids = self._session.names.ids
            there = self._session.ask(*(("EXISTS", ids(mark.partition(AFTER_ID)[0])) for mark in marks))
            self._settle(dict(zip(marks, there, strict=True)))
        return super().purge(at, range)

    def drop(self) -> None:
        """Remove every key of the store."""
        for user in itertools.chain.from_iterable(self._pages_of_users()):
            self.remove_all("drop", IdRange(f"{user}:", f"{user};"), "")
        names = self._session.names
        self._session.ask(*(("DEL", name) for name in (names.users, names.leaving, names.format)))

    def _settle(self, there: Mapping[str, int]) -> None:
        """Return some users to the list, given by their marks whether they have records, and remove the marks.

        Requests: 1, and 1 more if some have records.
        """
        names, settled = self._session.names, list(there)
        if any(there.values()):
            back = [("ZADD", names.users, 0, mark.partition(AFTER_ID)[0]) for mark, exists in there.items() if exists]
            try:
                self._session.ask(*back)
            except BackendUnusableError:  # without memory their marks go on listing them
                settled = [mark for mark, exists in there.items() if not exists]
        if settled:
            self._session.ask(("ZREM", names.leaving, *settled))

    def remove_page(self, page: Removed, at: str, *, expired: bool) -> Removed:
        """See `RangeRemover.remove_page`."""
        names, which = self._session.names, "expired" if expired else "all"
        keys = names.index(next(iter(page)).partition(":")[0])
        results = self._session.ask(run(REMOVE, [*keys, *map(names.record, page)], at, which, *page))[0]
        return {id: result == _LIVE for id, result in zip(page, results, strict=True) if result not in (_NONE, _STAYS)}

    def expired_pages(self, range: IdRange, at: str) -> Iterator[Removed]:
        """See `RangeRemover.expired_pages`."""
        pages = [[range.start.partition(":")[0]]] if is_of_one_user(range) else self._pages_with_expired(at)
        for user in itertools.chain.from_iterable(pages):
            after: str | None = None
            while found := self._reader.expired(user, at, after):
                ids = (member.partition(AFTER_ID)[2] for member in found)
                yield {id: False for id in ids if range.start <= id < range.end}
                after = found[-1]

    def _pages_with_expired(self, at: str) -> Iterator[list[str]]:
        return (self._reader.with_expired(users, at) for users in self._pages_of_users())

    def _pages_of_users(self) -> Iterator[list[str]]:
        after: str | None = None
        while users := self._reader.listed(after):
            yield users
            after = users[-1]
