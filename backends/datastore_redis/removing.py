"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from datastore import deadlines
from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import Removal, Removals
from datastore.backend import Fields, Forgotten, IdRange
from datastore.ids import is_of_one_user
from datastore_redis.client import Session, run
from datastore_redis.reading import Reader
from datastore_redis.scripts import AFTER_ID, REMOVE

_PAGE = 1_000
"""How many records one script removes, in about ten milliseconds, during which Redis answers nobody else."""
_NONE, _LIVE, _EXPIRED, _STAYS = range(4)
"""What `REMOVE` answers for a record."""


class Remover:
    """Removes records through one session."""

    def __init__(self, session: Session, memory: Memory, reader: Reader) -> None:
        self._session = session
        self._memory = memory
        self._reader = reader
        self._removals = Removals(Removal)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._remove(("clear", range, at), at, "all", self._pages(range, at)).live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`. The user is then off the list of users, unless somebody has written meanwhile."""
        removal = self._remove(("forget", range, at), at, "all", self._pages(range, at))
        names, user = self._session.names, range.start.partition(":")[0]
        self._session.ask(("ZREM", names.users, user))
        if self._session.ask(("EXISTS", names.ids(user)))[0]:
            self._session.ask(("ZADD", names.users, 0, user))
        return Forgotten(removal.live, removal.expired)

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`. Ids whose records Redis has forgotten by itself go, too, and are not counted."""
        removal = self._remove(("purge", range, at), at, "expired", self._expired_pages(range, at))
        return removal.live + removal.expired

    def drop(self) -> None:
        """Remove every key of the store."""
        at = ""
        for user in self._users():
            self._remove((user, at), at, "all", self._pages(IdRange(f"{user}:", f"{user};"), at))
        self._session.ask(("DEL", self._session.names.users), ("DEL", self._session.names.format))

    def _remove(self, call: Hashable, at: str, which: str, pages: Iterable[dict[str, bool]]) -> Removal:
        """Remove pages of records, by id and whether they are live. One in doubt that is not found again is gone."""
        names = self._session.names
        with self._removals.carry_out(call) as removal:
            for page in pages:
                deadlines.check()
                if not page:
                    continue
                keys = names.index(next(iter(page)).partition(":")[0])
                for id in page:
                    self._memory.forget(id)
                removal.send(page)
                command = run(REMOVE, [*keys, *map(names.record, page)], at, which, *page)
                for id, result in zip(page, self._session.ask(command)[0], strict=True):
                    if result in (_NONE, _STAYS):
                        removal.kept(id)
                    else:
                        removal.in_doubt[id] = result == _LIVE
                        removal.removed(id)
            for id in list(removal.in_doubt):
                removal.removed(id)
        return removal

    def _pages(self, range: IdRange, at: str) -> Iterator[dict[str, bool]]:
        after: str | None = None
        while True:
            page = self._reader.scan(range, Fields.KEY, _PAGE, after, reverse=False)
            yield {one.id: one.expires_at is None or one.expires_at > at for one in page.documents}
            if page.after is None:
                return
            after = page.after

    def _expired_pages(self, range: IdRange, at: str) -> Iterator[dict[str, bool]]:
        for user in [range.start.partition(":")[0]] if is_of_one_user(range) else self._users():
            after: str | None = None
            while found := self._reader.expired(user, at, after):
                ids = (member.partition(AFTER_ID)[2] for member in found)
                yield {id: False for id in ids if range.start <= id < range.end}
                after = found[-1]

    def _users(self) -> Iterator[str]:
        after: str | None = None
        while users := self._reader.listed(after):
            yield from users
            after = users[-1]
