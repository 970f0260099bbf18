"""Finding: from a query to a plan, and from a plan to pages of documents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from datastore.adapters.pushdown import push, query_of
from datastore.backend import Document, DocumentPage, Fields, IdRange, Plan, Query
from datastore.errors import DamagedRecordError
from datastore.ids import scope_of
from datastore.queries.tree import Field, Filter, asks
from datastore.turns import keep_newest
from datastore.values import decode
from datastore_sqlite.client import Connection
from datastore_sqlite.codec import DOCUMENT, VALUE, Row
from datastore_sqlite.damage import WELL_FORMED, documents_of, reading, shown, size_of, stored_id
from datastore_sqlite.indexes import (
    Index,
    Key,
    Probe,
    Range,
    Search,
    best_search,
    by_key,
    key_expression,
    key_parameters_of,
    keys_by_path,
    search,
)
from datastore_sqlite.queries import Sql, parameters_of
from datastore_sqlite.schema import TABLE
from datastore_sqlite.shapes import Pieces, Shapes, shape_of
from datastore_sqlite.statements import COLUMNS, WIDTHS

if TYPE_CHECKING:
    from datastore.queries.matcher import Predicate

PAGE_BYTES = 8_000_000
"""A page ends soon after this many characters of values, so that large values do not fill the memory."""
_MOST_STATEMENTS = 16
_ABOUT = ("key", "metadata", "createdByAgent", "createdAt", "updatedAt", "revision", "expiresAt")
"""The columns that a closer look at metadata needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlitePlan(Plan):
    """A plan, with what `read_page` needs of it.

    Attributes:
        where: The condition that a row may match and so is worth reading.
        sure: The SQL that says whether a row certainly matches what the database decides.
        parameters: The parameters of both.
        search: Where to look in an index; ``None`` for the range of ids.
        decided: The part of the query that the database decides, to check the rows that it is not sure of.
        statements: Those that were made for plans of this shape.
    """

    where: str
    sure: str
    parameters: dict[str, Any]
    search: Search | None
    decided: Query
    statements: dict[Hashable, str] = field(default_factory=dict, compare=False, repr=False)


def make_plan(
    range: IdRange, query: Query, indexes: Callable[[], Sequence[Index]], shapes: Shapes | None = None
) -> SqlitePlan | None:
    """Return the plan for a query, or ``None`` if nothing of it can be pushed down.

    Args:
        range: The ids to look among.
        query: What is asked.
        indexes: Returns the declared indexes.
        shapes: The plans of earlier queries that differ from this one in their constants alone.
    """
    place = scope_of(range)
    namespace = None if place is None else place[1]
    shaped = None if shapes is None else shape_of(query)
    if shaped is None or shapes is None:
        return _new_plan(namespace, query, indexes)
    shape, pieces = (shaped[0], namespace), shaped[1]
    declared = indexes() if namespace is not None and asks(query.value) else ()
    known = shapes.get(shape, declared)
    plan = None if known is None else _with_constants(known, query, pieces)
    if plan is None:
        plan = _new_plan(namespace, query, lambda: declared)
        if plan is not None and plan.decided == plan.pushed == query:
            shapes.keep(shape, declared, plan)
    return plan


def _with_constants(known: SqlitePlan, query: Query, pieces: Pieces) -> SqlitePlan | None:
    """Return the plan for a query of the same shape as that of a known plan; ``None`` if it would be another one.

    The parameters are in the order in which `_new_plan` binds them.
    """
    values = list[Any]()
    for _, piece in pieces:
        values += parameters_of(piece.condition)
    found = None
    if known.search is not None:
        by_value = [piece for about, piece in pieces if about == "value"]
        found = search(known.search.index, keys_by_path(by_value))
        fields = known.search.fields
        if found is None or found.fields != fields:
            return None
        for piece in by_value:
            if piece.path in fields:
                values += key_parameters_of(piece.condition)
    parameters = dict(zip(known.parameters, values, strict=True))
    return SqlitePlan(
        pushed=query,
        residual=known.residual,
        native={"where": known.where, "parameters": parameters},
        index=known.index,
        in_order=found is None or found.in_order,
        where=known.where,
        sure=known.sure,
        parameters=parameters,
        search=found,
        decided=query,
        statements=known.statements,
    )


def _new_plan(namespace: str | None, query: Query, indexes: Callable[[], Sequence[Index]]) -> SqlitePlan | None:
    sql = Sql()
    found = push(query, sql, tuple)
    if found is None:
        return None
    keys = keys_by_path(piece.filter for piece in found.pieces if piece.about == "value")
    chosen = None if namespace is None or not keys else best_search(indexes(), namespace, keys)
    where, sure = list[str](), list[str]()
    for filter, about, expression, exact in found.pieces:
        by = expression
        if chosen is not None and about == "value" and isinstance(filter, Field) and filter.path in chosen.fields:
            names = tuple(map(sql.bind, key_parameters_of(filter.condition)))
            by = by_key(filter, expression, names)
        where.append(f"({by}) IS NOT 0")
        if exact:
            sure.append(f"({by}) IS 1")
    condition = " AND ".join(where) or "1"
    return SqlitePlan(
        pushed=found.pushed,
        residual=found.residual,
        native={"where": condition, "parameters": sql.parameters},
        index=None if chosen is None else chosen.index.name,
        in_order=chosen is None or chosen.in_order,
        where=condition,
        sure=" AND ".join(sure) or "1",
        parameters=sql.parameters,
        search=chosen,
        decided=query_of([piece for piece in found.pieces if piece.exact]),
    )


def read_page(
    connection: Connection,
    range: IdRange,
    plan: SqlitePlan,
    fields: Fields,
    limit: int,
    after: str | None,
    *,
    reverse: bool = False,
) -> DocumentPage:
    """Return a page of what a plan finds."""

    def read(plan: SqlitePlan) -> DocumentPage:
        reader = _Reader(connection, range, plan, fields, reverse)
        if plan.search is None:
            return reader.by_id(limit, after)
        if plan.search.in_order:
            return reader.merged(plan.search, limit, after)
        connection.execute("BEGIN")  # all searches of one page must see the same documents
        try:
            return reader.by_key(plan.search, limit, after)
        finally:
            connection.rollback()

    return reading(connection, lambda: read(plan), lambda: read(_past_damage(plan)))


def _past_damage(plan: SqlitePlan) -> SqlitePlan:
    """Return a plan that also finds every row that SQLite cannot look into; a closer look then shows what those are."""
    return replace(
        plan,
        where=f"CASE WHEN {WELL_FORMED} THEN {plan.where} ELSE 1 END",
        sure=f"CASE WHEN {WELL_FORMED} THEN {plan.sure} ELSE 0 END",
        statements={},
    )


class _Reader:
    """Reads the rows of one page."""

    def __init__(
        self,
        connection: Connection,
        range: IdRange,
        plan: SqlitePlan,
        fields: Fields,
        reverse: bool,
    ) -> None:
        self._connection = connection
        self._range = range
        self._reverse = reverse
        self._plan = plan
        self._fields = fields
        self._has_value = fields >= Fields.VALUE
        self._width = WIDTHS[fields]
        self._size = 0

    def by_id(self, limit: int, after: str | None) -> DocumentPage:
        """Read the range of ids."""
        parameters: dict[str, Any] = {"limit": limit}
        within = self._within(after, parameters)
        rows = self._execute(
            f"SELECT {self._columns} FROM {TABLE} WHERE {within} AND {self._plan.where}"
            f" ORDER BY _id{self._direction} LIMIT :limit",
            parameters,
        )
        found, complete = self._take(rows, limit)
        return self._matching(found, None if complete else _id(found[-1]))

    def merged(self, search: Search, limit: int, after: str | None) -> DocumentPage:
        """Read searches whose rows are in the order of their ids; SQLite merges them."""
        parameters = self._parameters(limit)
        missing = list[tuple[bool, ...]]()
        for number, probe in enumerate(search.probes):
            for place, key in enumerate(probe.points):
                parameters[f"key{number}_{place}"] = key
            missing.append(tuple([key is None for key in probe.points]))
        within = self._within(after, parameters)
        shape = self._fields, within, tuple(missing), self._reverse
        statement = self._plan.statements.get(shape)
        if statement is None:  # making the text takes as long as carrying it out
            statement = _merging_statement(
                self._columns, search.index, tuple(missing), within, self._plan.where, self._direction
            )
            self._plan.statements[shape] = statement
            keep_newest(self._plan.statements, _MOST_STATEMENTS)
        rows, complete = self._take(self._execute(statement, parameters), limit)
        return self._matching(rows, None if complete else _id(rows[-1]))

    def by_key(self, search: Search, limit: int, after: str | None) -> DocumentPage:
        """Read one search after another, each in the order of its index keys."""
        number, probes = 0, list(search.probes[:1])
        if after is not None:
            number, keys, id = json.loads(after)
            probes = search.probes[number].behind(tuple(map(_from_json, keys)), id)
        documents, broken = list[Document](), list[DamagedRecordError]()
        left = limit
        while True:
            for probe in probes:
                rows, complete = self._take(self._probe(search.index, probe, left), left)
                page = self._matching(rows, None)
                documents += page.documents
                broken += page.damaged
                left -= len(rows)
                if not complete:
                    id = _id(rows[-1])
                    keys = self._keys(search.index.fields[len(search.probes[number].points) :], id)
                    after = json.dumps([number, [_to_json(key) for key in keys], id])
                    return DocumentPage(documents, after, broken)
            number += 1
            if number == len(search.probes):
                return DocumentPage(documents, None, broken)
            probes = [search.probes[number]]

    @property
    def _columns(self) -> str:
        plan = self._plan
        # If only keys are asked for, a row comes with its value if that needs a closer look, and otherwise with NULL.
        unsure = plan.sure if self._has_value else f"CASE WHEN {plan.sure} THEN NULL ELSE value END"
        return ", ".join([COLUMNS[self._fields], unsure, *(_ABOUT if asks(plan.decided.meta) else ())])

    @cached_property  # a closer look is seldom needed
    def _value(self) -> Predicate | None:
        return _predicate(self._plan.decided.value)

    @cached_property
    def _meta(self) -> Predicate | None:
        return _predicate(self._plan.decided.meta)

    @property
    def _direction(self) -> str:
        return " DESC" if self._reverse else ""

    def _within(self, after: str | None, parameters: dict[str, Any]) -> str:
        """Return the condition that ids are in the range and after an id, in the order in which they are read."""
        start, end, above = self._range.start, self._range.end, ">="
        if after is not None and self._reverse:
            end = min(end, after)
        elif after is not None and after >= start:
            start, above = after, ">"
        parameters["start"], parameters["end"] = stored_id(start) or start, stored_id(end) or end
        return f"_id {above} CAST(:start AS TEXT) AND _id < CAST(:end AS TEXT)"

    def _parameters(self, limit: int) -> dict[str, Any]:
        user, namespace = scope_of(self._range) or ("", "")
        return {"user": user, "namespace": namespace, "limit": limit}

    def _probe(self, index: Index, probe: Probe, limit: int) -> Iterator[Row]:
        parameters = self._parameters(limit)
        for number, key in enumerate(probe.points):
            parameters[f"key{number}"] = key
        statement = _search_statement(
            self._columns,
            index,
            tuple([key is None for key in probe.points]),
            () if probe.range is None else _bounds(probe.range, parameters),
            self._within(probe.after or None, parameters),
            self._plan.where,
            self._direction,
        )
        return self._execute(statement, parameters)

    def _keys(self, fields: Sequence[tuple[str, ...]], id: str) -> Row:
        if not fields:
            return ()
        expressions = ", ".join(map(key_expression, fields))
        statement = f"SELECT {expressions} FROM {TABLE} WHERE _id = CAST(? AS TEXT)"
        row: Row = self._connection.execute(statement, (stored_id(id) or id,)).fetchone()
        return row

    def _execute(self, statement: str, parameters: dict[str, Any]) -> Iterator[Row]:
        parameters |= self._plan.parameters
        try:
            return self._connection.execute(statement, parameters)
        except sqlite3.OperationalError:
            index = f' INDEXED BY "{self._plan.index}"'
            if index not in statement:
                raise
            # Another process has removed the index since the plan was made. This is slower, and just as right.
            return self._connection.execute(statement.replace(index, ""), parameters)

    def _take(self, rows: Iterator[Row], limit: int) -> tuple[list[Row], bool]:
        """Return rows up to the size of a page, and whether there are no more."""
        if not self._has_value:
            found = list(rows)
            return found, len(found) < limit
        found = []
        for row in rows:
            found.append(row)
            self._size += size_of(row[VALUE])
            if self._size > PAGE_BYTES:
                return found, False
        return found, len(found) < limit

    def _matching(self, rows: Sequence[Row], after: str | None) -> DocumentPage:
        """Return a page of the rows that match, with errors for those that cannot be read."""
        width, document, has_value = self._width, DOCUMENT[self._fields], self._has_value
        matches = dict[str, bool]()

        def look(row: Row) -> Document:
            found = document(row[:width])
            if has_value:
                matches[found.id] = bool(row[width]) or self._matches(row, found.value)
            else:
                matches[found.id] = row[width] is None or self._matches(row, decode(row[width]))
            return found

        if has_value and all(row[width] for row in rows):  # the database is sure of each
            documents, broken = documents_of([row[:width] for row in rows], document)
            return DocumentPage(documents, after, broken)
        documents, broken = documents_of(rows, look)
        return DocumentPage([one for one in documents if matches[one.id]], after, broken)

    def _matches(self, row: Row, value: Any) -> bool:
        """Take a closer look at a row that the database is not sure of."""
        if self._value is not None and not self._value(value):
            return False
        if self._meta is None:
            return True
        about = dict(zip(_ABOUT, row[self._width + 1 :], strict=True))
        return self._meta(about | {"metadata": decode(about["metadata"])})


@lru_cache(512)  # making the text takes as long as carrying it out
def _search_statement(
    columns: str,
    index: Index,
    missing: tuple[bool, ...],
    bounds: tuple[str, ...],
    within: str,
    where: str,
    direction: str,
) -> str:
    """Return the statement of a probe.

    Args:
        columns: What to select.
        index: The index to look in.
        missing: For each of the first fields whether its key is NULL; a parameter stands for every other key.
        bounds: The bounds of the key of the next field.
        within: Which ids.
        where: Which rows.
        direction: That of the ids.
    """
    others = index.expressions[len(missing) :]
    conditions = [*_keys_are(index, missing, "key"), *(f"{others[0]} {bound}" for bound in bounds), within, where]
    order = ", ".join([*others, f"_id{direction}"])
    return f"{_select(columns, index, conditions)} ORDER BY {order} LIMIT :limit"


def _merging_statement(
    columns: str, index: Index, missing: tuple[tuple[bool, ...], ...], within: str, where: str, direction: str
) -> str:
    """Return the statement of probes for keys of all fields of an index: SQLite reads no more of each than it needs.

    Args:
        columns: What to select.
        index: The index to look in.
        missing: For each probe and field whether the key is NULL; a parameter stands for every other key.
        within: Which ids.
        where: Which rows.
        direction: That of the ids.
    """
    probes = [
        _select(columns, index, [*_keys_are(index, fields, f"key{number}_"), within, where])
        for number, fields in enumerate(missing)
    ]
    return f"{' UNION ALL '.join(probes)} ORDER BY _id{direction} LIMIT :limit"


def _keys_are(index: Index, missing: tuple[bool, ...], key: str) -> list[str]:
    """Return the conditions that the first fields of an index have certain keys; ``key`` begins their parameters."""
    conditions = ["userId = :user", index.condition or "namespace = :namespace"]
    for number, (expression, is_null) in enumerate(zip(index.expressions, missing, strict=False)):
        conditions.append(f"{expression} IS NULL" if is_null else f"{expression} = :{key}{number}")
    return conditions


def _select(columns: str, index: Index, conditions: Sequence[str]) -> str:
    return f'SELECT {columns} FROM {TABLE} INDEXED BY "{index.name}" WHERE {" AND ".join(conditions)}'


def _bounds(range: Range, parameters: dict[str, Any]) -> tuple[str, ...]:
    """Return the bounds of a key as SQL, and add their parameters."""
    low, above, bounds = range.low, range.above, list[str]()
    if low is None and above:  # after rows without the field: all rows with it
        low, above = float("-inf"), False
    if low is not None:
        parameters["low"] = low
        bounds.append(">= :low" if not above else "> :low")
    if range.high is not None:
        parameters["high"] = range.high
        bounds.append("<= :high" if not range.open else "< :high")
    return tuple(bounds)


def _predicate(filter: Filter) -> Predicate | None:
    if not asks(filter):
        return None
    from datastore.queries.matcher import compile_filter  # here, because a store that is opened need not ask anything

    return compile_filter(filter)


def _id(row: Row) -> str:
    return shown(row[0])


def _to_json(key: Key) -> Any:
    return {"bytes": key.hex()} if isinstance(key, bytes) else key


def _from_json(key: Any) -> Key:
    return bytes.fromhex(key["bytes"]) if isinstance(key, dict) else key
