"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from datastore import deadlines
from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import Removal, Removals
from datastore.backend import Fields, Forgotten, IdRange
from datastore_postgresql.client import Session
from datastore_postgresql.reading import WITHIN, Reader

PAGE = 10_000
"""How many records one statement removes."""


class Remover:
    """Removes records through one session."""

    def __init__(self, session: Session, table: str, memory: Memory, reader: Reader) -> None:
        self._session = session
        self._memory = memory
        self._reader = reader
        self._removals = Removals(Removal)
        own = f'DELETE FROM {table} WHERE "_id" = ANY(%(ids)s) AND "revision" IS NOT NULL'
        result = 'RETURNING "_id", "expiresAt" IS NULL OR "expiresAt" > %(at)s'
        self._all = f"{own} {result}"
        self._expired = f'{own} AND "expiresAt" <= %(at)s {result}'
        self._find = f"""
            SELECT "_id" FROM {table} WHERE {WITHIN} AND "expiresAt" <= %(at)s AND "revision" IS NOT NULL
            ORDER BY "expiresAt" LIMIT {{page}}"""

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._remove(("clear", range, at), self._all, at, self._pages(range, at)).live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        removal = self._remove(("forget", range, at), self._all, at, self._pages(range, at))
        return Forgotten(removal.live, removal.expired)

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`."""
        return self._remove(("purge", range, at), self._expired, at, self._expired_pages(range, at)).expired

    def _remove(self, call: Hashable, statement: str, at: str, pages: Iterable[dict[str, bool]]) -> Removal:
        """Remove pages of records, by id and whether they are live. One in doubt that is not found again is gone."""
        with self._removals.carry_out(call) as removal:
            for page in pages:
                deadlines.check()
                if not page:
                    continue
                for id in page:
                    self._memory.forget(id)
                removal.send(page)
                removed: dict[str, bool] = dict(self._session.ask(statement, {"ids": sorted(page), "at": at}))
                for id in page:
                    if id in removed:
                        removal.in_doubt[id] = removed[id]
                        removal.removed(id)
                    else:
                        removal.kept(id)
            for id in list(removal.in_doubt):
                removal.removed(id)
        return removal

    def _pages(self, range: IdRange, at: str) -> Iterator[dict[str, bool]]:
        after: str | None = None
        while True:
            page = self._reader.scan(range, Fields.KEY, PAGE, after, reverse=False)
            yield {one.id: one.expires_at is None or one.expires_at > at for one in page.documents}
            if page.after is None:
                return
            after = page.after

    def _expired_pages(self, range: IdRange, at: str) -> Iterator[dict[str, bool]]:
        while True:
            rows = self._session.ask(self._find.format(page=PAGE), {**range._asdict(), "at": at})
            yield {id: False for (id,) in rows}
            if len(rows) < PAGE:
                return
