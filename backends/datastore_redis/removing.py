"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence

from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import RangeRemover, Removed
from datastore.backend import Forgotten, IdRange
from datastore.errors import BackendUnusableError
from datastore.ids import EVERYTHING, is_of_one_user
from datastore.retry import Backoff
from datastore_redis.client import Session, run
from datastore_redis.failures import NAME
from datastore_redis.reading import Reader
from datastore_redis.scripts import AFTER_ID, LEAVE, REMOVE, STATE, SWAP

_PAGE = 1_000
"""How many records one script removes, in about ten milliseconds, during which Redis answers nobody else."""
_NONE, _LIVE, _EXPIRED, _STAYS, _NEWER = range(5)
"""What `REMOVE` answers for a record."""
_ABSENT = b""
"""The token that `SWAP` takes for that of no record."""


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
        """See `RangeRemover.remove_page`.

        A request can arrive when the call has long ended, and removes nothing that was created after it. What was
        created after it by a clock that is ahead, or meanwhile, is removed by what it is now.

        Requests: 1; 2 more, as often as others write them meanwhile, if there are such records.
        """
        names, which = self._session.names, "expired" if expired else "older" if at else "all"
        keys = names.index(next(iter(page)).partition(":")[0])
        results = self._session.ask(run(REMOVE, [*keys, *map(names.record, page)], at, which, *page))[0]
        found = dict(zip(page, results, strict=True))
        found |= self._removed_by_token([id for id, result in found.items() if result == _NEWER], keys, at)
        return {id: result == _LIVE for id, result in found.items() if result not in (_NONE, _STAYS)}

    def _removed_by_token(self, ids: Sequence[str], index: Sequence[str], at: str) -> dict[str, int]:
        """Remove records as what they are now, and return for each what `REMOVE` would."""
        removed: dict[str, int] = {}
        seen = dict.fromkeys(ids, (_ABSENT, _NONE))
        """By id: the token to remove it at, and what it counts as."""
        pauses: Backoff | None = None
        while seen:
            record = self._session.names.record
            swaps = [run(SWAP, [record(id), *index], token, id, "remove") for id, (token, _) in seen.items()]
            late = {}
            for (id, (_, counts_as)), answer in zip(seen.items(), self._session.ask(*swaps), strict=True):
                if answer == 1:
                    removed[id] = counts_as
                elif len(answer) == 1 and answer[0] != _ABSENT:
                    removed[id] = _STAYS  # by now another program has something else there
                else:
                    found = dict(zip(STATE, answer[1], strict=True)) if len(answer) > 1 else {}
                    expiry = found.get("expiresAt")
                    late[id] = answer[0], _LIVE if expiry is None or expiry.decode() > at else _EXPIRED
            seen = late
            if pauses is None:  # the first request asked for the tokens
                pauses = contention()
            elif seen and not pauses.wait():
                raise came_too_late(NAME)
        return removed

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
