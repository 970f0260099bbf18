"""Removing a namespace, a user, or what has expired: page by page, each record counted once."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.adapters.knowledge import Memory
from datastore.adapters.removing import RangeRemover, Removed
from datastore.backend import IdRange
from datastore_postgresql.client import Session
from datastore_postgresql.reading import WITHIN, Reader

PAGE = 10_000
"""How many records one statement removes."""


class Remover(RangeRemover):
    """Removes records through one session."""

    def __init__(self, session: Session, table: str, memory: Memory, reader: Reader) -> None:
        super().__init__(memory, reader.scan, PAGE)
        self._session = session
        own = f'DELETE FROM {table} WHERE "_id" = ANY(%(ids)s) AND "revision" IS NOT NULL'
        result = 'RETURNING "_id", "expiresAt" IS NULL OR "expiresAt" > %(at)s'
        self._all = f"{own} {result}"
        self._expired = f'{own} AND "expiresAt" <= %(at)s {result}'
        self._find = f"""
            SELECT "_id" FROM {table} WHERE {WITHIN} AND "expiresAt" <= %(at)s AND "revision" IS NOT NULL
            ORDER BY "expiresAt" LIMIT {{page}}"""

    def remove_page(self, page: Removed, at: str, *, expired: bool) -> Removed:
        """See `RangeRemover.remove_page`."""
        return dict(self._session.ask(self._expired if expired else self._all, {"ids": sorted(page), "at": at}))

    def expired_pages(self, range: IdRange, at: str) -> Iterator[Removed]:
        """See `RangeRemover.expired_pages`."""
        while True:
            rows = self._session.ask(self._find.format(page=PAGE), {**range._asdict(), "at": at})
            yield {id: False for (id,) in rows}
            if len(rows) < PAGE:
                return
