"""Answering queries: what this connection knows of indexes and plans. It is imported with the first query."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from datastore.backend import Document, DocumentPage, Fields, IdRange, Query
from datastore.queries.tree import Path
from datastore_sqlite import indexes
from datastore_sqlite.finding import read_few, read_page
from datastore_sqlite.opened import LOOK_SECONDS, Opened
from datastore_sqlite.planning import SqlitePlan, known_plan, make_plan
from datastore_sqlite.shapes import Shapes
from datastore_sqlite.writing import Writer


class Finder:
    """Plans queries and finds documents by them."""

    def __init__(self, opened: Opened, writer: Writer) -> None:
        self._opened = opened
        self._writer = writer
        self._shapes = Shapes()
        self._known_indexes: tuple[int | None, list[indexes.Index]] = None, []
        self._look_at_indexes = 0.0

    def plan(self, range: IdRange, query: Query) -> SqlitePlan | None:
        """See `Backend.plan`."""
        return make_plan(range, query, self._indexes, self._shapes)

    def find_few(self, range: IdRange, query: Query, fields: Fields, limit: int) -> Sequence[Document] | None:
        """See `Backend.find_few`."""
        known = known_plan(range, query, self._indexes, self._shapes)
        if known is None or known.short is None or query.constants is None:
            return None
        parameters = known.short.parameters(query.constants)
        if parameters is None or not (known.short.finds_few or fields is Fields.KEY):
            return None
        return self._opened.read(read_few, range, known, parameters, fields, limit)

    def find(
        self, range: IdRange, plan: SqlitePlan, fields: Fields, limit: int, after: str | None, *, reverse: bool
    ) -> DocumentPage:
        """See `Backend.find`."""
        return self._opened.read(read_page, range, plan, fields, limit, after, reverse)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`."""
        index = indexes.declare(fields, encoded_namespace)
        if index.name not in (known.name for known in self._indexes()):
            self._writer.make_index(index.statement)
            self._look_at_indexes = 0.0
        return index.name

    def _indexes(self) -> list[indexes.Index]:
        """Return the declared indexes.

        Other processes may create and remove some, which changes the version of the schema. For a moment it is trusted:
        without a new index a query takes longer, and without one that is gone it is read as if there were none.
        """
        version, known = self._known_indexes
        now = monotonic()
        if now > self._look_at_indexes:
            if version is None or self._opened.fetch(indexes.VERSION, ()) != [(version,)]:
                rows = self._opened.fetch(indexes.LIST, ())
                known = indexes.known((name, sql) for _, name, sql in rows if name is not None)
                self._known_indexes = rows[0][0], known
            self._look_at_indexes = now + LOOK_SECONDS
        return known
