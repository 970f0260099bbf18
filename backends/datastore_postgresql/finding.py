"""Finding: a plan for a query, the pages of its result, and the indexes that help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datastore.adapters.pushdown import push, query_of
from datastore.backend import Document, DocumentPage, Fields, IdRange, Plan, Query
from datastore.documents import fields_of
from datastore.ids import scope_of
from datastore.queries.shaping import Sort
from datastore.queries.tree import Path, asks
from datastore_postgresql.building import build
from datastore_postgresql.client import Session
from datastore_postgresql.indexes import Index, Way, best_search, declare, ways_of
from datastore_postgresql.queries import Sql
from datastore_postgresql.reading import Reader, bounds
from datastore_postgresql.sorting import order_of

if TYPE_CHECKING:
    from datastore.queries.matcher import Predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlan(Plan):
    """A plan, with what a page needs of it.

    Attributes:
        where: The SQL that says whether a row may match, and so is worth reading.
        sure: The SQL that says whether a row certainly matches what the database decides.
        parameters: The parameters of all.
        ways: The ways by which an index finds the rows; none if none does.
        decided: The part of the query that the database decides, to check the rows that it is not sure of.
    """

    where: str
    sure: str
    parameters: dict[str, Any]
    ways: Sequence[Way]
    decided: Query


class Finder:
    """Plans queries, finds documents by them, and makes indexes.

    Args:
        session: The connections.
        table: The table, as SQL.
        schema: Its schema.
        reader: Reads the pages.
        known: The indexes that are there.
    """

    def __init__(self, session: Session, table: str, schema: str, reader: Reader, known: Iterable[Index]) -> None:
        self._session = session
        self._table = table
        self._schema = schema
        self._reader = reader
        self._indexes = {index.name: index for index in known}

    def plan(self, range: IdRange, query: Query) -> PostgresPlan | None:
        """See `Backend.plan`. It asks nothing: indexes are those that were there, or that this process has made."""
        sql = Sql()
        found = push(query, sql, tuple)
        if found is None:
            return None
        where = " AND ".join([f"({piece.expression}) IS NOT FALSE" for piece in found.pieces]) or "TRUE"
        sure = " AND ".join([f"({piece.expression}) IS TRUE" for piece in found.pieces if piece.exact]) or "TRUE"
        scope = scope_of(range)
        filters = [piece.filter for piece in found.pieces if piece.about == "value"]
        search = None if scope is None else best_search(list(self._indexes.values()), scope[1], filters)
        ways: list[Way] = []
        if search is not None:
            ways = ways_of(search, ":".join(range.start.split(":")[:2]), sql.bind)
            if len(found.pieces) > len(search.keys):  # others must be looked at, too
                ways = [way._replace(decides=False) for way in ways]
        return PostgresPlan(
            pushed=found.pushed,
            residual=found.residual,
            native={"searches": [way.condition for way in ways], "where": where, "parameters": sql.parameters},
            index=None if search is None else search.on.name,
            where=where,
            sure=sure,
            parameters=sql.parameters,
            ways=ways,
            decided=query_of([piece for piece in found.pieces if piece.exact]),
        )

    def find(
        self, range: IdRange, plan: PostgresPlan, fields: Fields, limit: int, after: str | None, *, reverse: bool
    ) -> DocumentPage:
        """See `Backend.find`.

        Requests: 1; 0 for an empty range.
        """
        within, parameters = bounds(range, after, reverse=reverse)
        if parameters["start"] >= parameters["end"]:
            return DocumentPage((), None)
        return self._reader.page(
            within,
            {**parameters, **plan.parameters},
            fields,
            limit,
            reverse=reverse,
            where=plan.where,
            ways=plan.ways,
            sure=plan.sure,
            matches=_closer_look(plan.decided),
            looked_at=Fields.ALL if asks(plan.decided.meta) else Fields.VALUE,
        )

    def first(
        self, range: IdRange, query: Query, sort: Sort, fields: Fields, number: int, at: str
    ) -> DocumentPage | None:
        """See `Backend.find_first`.

        Requests: 1; 0 for an empty range, or if PostgreSQL does not decide the filter or the order.
        """
        order, plan = order_of(sort), self.plan(range, query)
        if order is None or plan is None or plan.residual:
            return None
        within, parameters = bounds(range, None, reverse=False)
        if parameters["start"] >= parameters["end"]:
            return DocumentPage((), None)
        return self._reader.first(
            within,
            {**parameters, **plan.parameters, "at": at},
            fields,
            order,
            number,
            where=plan.where,
            ways=plan.ways,
            sure=plan.sure,
            matches=_closer_look(plan.decided),
            looked_at=Fields.ALL if asks(plan.decided.meta) else Fields.VALUE,
        )

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`. Others read and write meanwhile.

        An index that was not finished is removed, and made anew; while somebody else builds it, this waits.

        Requests: 4; 1 if it is there, 0 if this store knows it already; more while somebody else builds it.
        """
        index = declare(fields, encoded_namespace)
        if index.name not in self._indexes:
            build(self._session, self._schema, self._table, index.name, index.body, index.comment)
            self._indexes[index.name] = index
        return index.name


def _closer_look(query: Query) -> Callable[[Document], bool] | None:
    """Return what tells whether a document matches; ``None`` if all do."""
    from datastore.queries.matcher import compile_filter  # here, because a store that is opened need not ask anything

    value: Predicate | None = compile_filter(query.value) if asks(query.value) else None
    meta: Predicate | None = compile_filter(query.meta) if asks(query.meta) else None
    if value is None and meta is None:
        return None
    return lambda one: (value is None or value(one.value)) and (meta is None or meta(fields_of(one)))
