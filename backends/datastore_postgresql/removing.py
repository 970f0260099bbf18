"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import PageRemover, Removal, Removed, pages_of
from datastore.backend import Fields, Forgotten, IdRange
from datastore_postgresql.client import Session
from datastore_postgresql.reading import WITHIN, Reader

PAGE = 10_000
"""How many records one statement removes."""


class Remover:
    """Removes records through one session."""

    def __init__(self, session: Session, table: str, memory: Memory, reader: Reader) -> None:
        self._session = session
        self._reader = reader
        self._pages = PageRemover(memory)
        own = f'DELETE FROM {table} WHERE "_id" = ANY(%(ids)s) AND "revision" IS NOT NULL'
        result = 'RETURNING "_id", "expiresAt" IS NULL OR "expiresAt" > %(at)s'
        self._all = f"{own} {result}"
        self._expired = f'{own} AND "expiresAt" <= %(at)s {result}'
        self._find = f"""
            SELECT "_id" FROM {table} WHERE {WITHIN} AND "expiresAt" <= %(at)s AND "revision" IS NOT NULL
            ORDER BY "expiresAt" LIMIT {{page}}"""

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._remove_all("clear", range, at).live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        removal = self._remove_all("forget", range, at)
        return Forgotten(removal.live, removal.expired)

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`."""
        removed = self._pages.remove(
            ("purge", range, at), self._expired_pages(range, at), lambda page: self._remove(self._expired, page, at)
        )
        return removed.expired

    def _remove_all(self, call: str, range: IdRange, at: str) -> Removal:
        pages = pages_of(lambda after: self._reader.scan(range, Fields.KEY, PAGE, after, reverse=False), at)
        return self._pages.remove((call, range, at), pages, lambda page: self._remove(self._all, page, at))

    def _remove(self, statement: str, page: Removed, at: str) -> Removed:
        return dict(self._session.ask(statement, {"ids": sorted(page), "at": at}))

    def _expired_pages(self, range: IdRange, at: str) -> Iterator[Removed]:
        while True:
            rows = self._session.ask(self._find.format(page=PAGE), {**range._asdict(), "at": at})
            yield {id: False for (id,) in rows}
            if len(rows) < PAGE:
                return
