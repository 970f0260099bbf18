"""Finding: a plan for a query, the pages of its result, and the indexes that help."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datastore.adapters.pushdown import push, query_of
from datastore.backend import Document, DocumentPage, Fields, IdRange, Plan, Query
from datastore.ids import scope_of
from datastore.places import Place
from datastore.queries.shaping import Sort
from datastore.queries.tree import Path
from datastore.turns import keep_newest
from datastore_postgresql.building import build
from datastore_postgresql.client import Session
from datastore_postgresql.indexes import Index, best_search, declare, ways_of
from datastore_postgresql.queries import Sql, as_json
from datastore_postgresql.reading import MOST_FEW, Asked, Narrowed, Reader
from datastore_postgresql.sorting import behind, order_of

_MOST_KNOWN = 256
_ANY_LENGTH = 2_000_000
"""No text has as many characters."""
_NOTHING_LEFT = Query()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlan(Plan):
    """A plan, with what a page needs of it.

    Attributes:
        asked: What is asked of the rows.
        known: What is known of its outline, if anything is.
    """

    asked: Asked
    known: Known | None = None


@dataclass(slots=True)
class Known:
    """What a plan holds for all queries with its outline (`datastore.queries.outlines`)."""

    narrowed: Narrowed
    index_name: str | None
    kinds: Sequence[str]
    """The types of the parameters."""
    longest: int
    """How many characters of a text tell where it is in the index."""
    finds_few: bool | None = None
    """Whether the first answer was small, and no later one was too large to be read by `Reader.few`."""

    def parameters(self, query: Query) -> dict[str, Any] | None:
        """Return the parameters for a query, one for each constant; ``None`` if its SQL may be another one."""
        constants = [one for one in query.constants or () if one is not None]
        if len(constants) != len(self.kinds):
            return None
        for one in constants:
            if type(one) is tuple or (type(one) is str and len(one) >= self.longest):
                return None
        return {
            f"p{number}": as_json(one) if kind == "jsonb" else one
            for number, (one, kind) in enumerate(zip(constants, self.kinds, strict=True))
        }


class Finder:
    """The part of the backend that plans queries, finds documents by them, and makes indexes.

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
        self._known: dict[Hashable, Known] = {}

    def plan(self, range: IdRange, query: Query) -> PostgresPlan | None:
        """See `Backend.plan`. Indexes are those that were there, or that this process has made.

        Translating a filter takes as long as asking for a few records. Programs ask the same few questions with other
        constants, and these are parameters: so what was made of one query serves for others with its outline.

        Requests: 0.
        """
        namespace = _namespace_of(range)
        known = self._known.get((query.outline, namespace))
        parameters = None if known is None else known.parameters(query)
        if known is not None and parameters is not None:
            return _plan(query, _NOTHING_LEFT, Asked(known.narrowed, parameters, query), known.index_name, known)
        sql = Sql()
        found = push(query, sql, tuple)
        if found is None:
            return None
        where = " AND ".join([f"({piece.expression}) IS NOT FALSE" for piece in found.pieces]) or "TRUE"
        sure = " AND ".join([f"({piece.expression}) IS TRUE" for piece in found.pieces if piece.exact]) or "TRUE"
        filters = [piece.filter for piece in found.pieces if piece.about == "value"]
        search = None if namespace is None else best_search(list(self._indexes.values()), namespace, filters)
        ways = [] if search is None else ways_of(search, sql.bind)
        if search is not None and len(found.pieces) > len(search.keys):  # others must be looked at, too
            ways = [way._replace(decides=False) for way in ways]
        index = None if search is None else search.on.name
        narrowed = Narrowed(where, sure, tuple(ways))
        decided = query_of([piece for piece in found.pieces if piece.exact])
        plan = _plan(found.pushed, found.residual, Asked(narrowed, sql.parameters, decided), index)
        if query.outline is not None and decided == found.pushed == query:
            known = Known(narrowed, index, sql.kinds, _ANY_LENGTH if search is None else search.on.longest)
            if known.parameters(query) == sql.parameters:
                self._known[query.outline, namespace] = known
                keep_newest(self._known, _MOST_KNOWN)
        return plan

    def find(
        self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.find`.

        Requests: 1; 0 for an empty range.
        """
        assert isinstance(plan, PostgresPlan)  # noqa: S101  # `plan` has made it
        page = self._reader.page(range, fields, limit, after, plan.asked, reverse=reverse)
        if plan.known is not None and plan.known.finds_few is None:
            plan.known.finds_few = plan.asked.narrowed.is_found and len(page.documents) <= MOST_FEW // 2
        return page

    def find_few(self, range: IdRange, query: Query, fields: Fields, limit: int) -> Sequence[Document] | None:
        """See `Backend.find_few`: for queries whose outline has found few so far.

        One that finds many after all costs a request more, once: its outline is then left to plans.

        Requests: 1; 0 if the outline is not known to find few.
        """
        known = self._known.get((query.outline, _namespace_of(range)))
        if known is None or not known.finds_few:
            return None
        parameters = known.parameters(query)
        if parameters is None or fields > Fields.VALUE:
            return None
        found = self._reader.few(range, fields, limit, Asked(known.narrowed, parameters, query))
        if found is None:
            known.finds_few = False
        return found

    def find_first(
        self,
        range: IdRange,
        query: Query,
        sort: Sort,
        fields: Fields,
        number: int,
        at: str,
        after: Place | None = None,
    ) -> DocumentPage | None:
        """See `Backend.find_first`.

        Requests: 1; 0 for an empty range, or if PostgreSQL does not decide the filter or the order.
        """
        order, plan = order_of(sort), self.plan(range, query)
        if order is None or plan is None or plan.residual:
            return None
        asked = plan.asked
        if after is not None:
            order, more = behind(order, sort, after)
            asked = asked._replace(parameters={**asked.parameters, **more})
        return self._reader.first(range, fields, order, number, at, asked)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`. Others read and write meanwhile.

        An index that was not finished is removed, and made anew; while somebody else builds it, this waits.

        Requests: 4; 1 if it is there, 0 if this store knows it already; more while somebody else builds it.
        """
        index = declare(fields, encoded_namespace)
        if index.name not in self._indexes:
            build(self._session, self._schema, self._table, index.name, index.body, index.comment)
            self._indexes[index.name] = index
            self._known = {}  # it may serve better
        return index.name


def _namespace_of(range: IdRange) -> str | None:
    """Return the namespace in which a range lies; ``None`` if it is in none."""
    scope = scope_of(range)
    return None if scope is None else scope[1]


def _plan(pushed: Query, residual: Query, asked: Asked, index: str | None, known: Known | None = None) -> PostgresPlan:
    where, _, ways = asked.narrowed
    native = {"searches": [way.condition for way in ways], "where": where, "parameters": asked.parameters}
    return PostgresPlan(pushed=pushed, residual=residual, native=native, index=index, asked=asked, known=known)
