"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping

from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import PageRemover, Removal, Removed, pages_of
from datastore.backend import Fields, Forgotten, IdRange
from datastore.errors import BackendUnusableError
from datastore.ids import EVERYTHING, is_of_one_user
from datastore_redis.client import Session, run
from datastore_redis.reading import Reader
from datastore_redis.scripts import AFTER_ID, LEAVE, REMOVE

_PAGE = 1_000
"""How many records one script removes, in about ten milliseconds, during which Redis answers nobody else."""
_NONE, _LIVE, _EXPIRED, _STAYS = range(4)
"""What `REMOVE` answers for a record."""


class Remover:
    """Removes records through one session."""

    def __init__(self, session: Session, memory: Memory, reader: Reader) -> None:
        self._session = session
        self._reader = reader
        self._pages = PageRemover(memory)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._remove_all("clear", range, at).live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`. The user is then off the list of users, unless somebody has written meanwhile."""
        removal = self._remove_all("forget", range, at)
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
        return Forgotten(removal.live, removal.expired)

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`. Ids whose records Redis has forgotten by itself go, too, and are not counted."""
        if range == EVERYTHING:
            marks = self._reader.leaving()
            users = [mark.partition(AFTER_ID)[0] for mark in marks]
            if marks:
                there = self._session.ask(*(("EXISTS", self._session.names.ids(user)) for user in users))
                self._settle(dict(zip(marks, there, strict=True)))
        removed = self._pages.remove(
            ("purge", range, at), self._expired_pages(range, at), lambda page: self._remove("expired", page, at)
        )
        return removed.live + removed.expired

    def drop(self) -> None:
        """Remove every key of the store."""
        for user in itertools.chain.from_iterable(self._pages_of_users()):
            self._remove_all("drop", IdRange(f"{user}:", f"{user};"), "")
        names = self._session.names
        self._session.ask(*(("DEL", name) for name in (names.users, names.leaving, names.format)))

    def _settle(self, there: Mapping[str, int]) -> None:
        """Return some users to the list, given by their marks whether they have records, and remove the marks.

        Requests: 1.
        """
        names = self._session.names
        back = [("ZADD", names.users, 0, mark.partition(AFTER_ID)[0]) for mark, exists in there.items() if exists]
        self._session.ask(*back, ("ZREM", names.leaving, *there))

    def _remove_all(self, call: str, range: IdRange, at: str) -> Removal:
        pages = pages_of(lambda after: self._reader.scan(range, Fields.KEY, _PAGE, after, reverse=False), at)
        return self._pages.remove((call, range, at), pages, lambda page: self._remove("all", page, at))

    def _remove(self, which: str, page: Removed, at: str) -> Removed:
        names = self._session.names
        keys = names.index(next(iter(page)).partition(":")[0])
        results = self._session.ask(run(REMOVE, [*keys, *map(names.record, page)], at, which, *page))[0]
        return {id: result == _LIVE for id, result in zip(page, results, strict=True) if result not in (_NONE, _STAYS)}

    def _expired_pages(self, range: IdRange, at: str) -> Iterator[Removed]:
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
