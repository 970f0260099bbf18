"""Finding: from a query to a plan, and from a plan to pages of documents."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from datastore.adapters.pushdown import push, query_of
from datastore.backend import BareDocuments, Document, DocumentPage, Fields, IdRange, Plan, Query
from datastore.documents import UNDECODABLE
from datastore.errors import DamagedRecordError
from datastore.ids import scope_of
from datastore.queries.tree import Condition, Field, Filter, Path, asks
from datastore.turns import keep_newest
from datastore.values import decode
from datastore_sqlite.client import Connection
from datastore_sqlite.codec import DOCUMENT, PAGE_BYTES, VALUE, Row, new_document
from datastore_sqlite.damage import WELL_FORMED, documents_of, is_damage, reading, shown, size_of, stored_id
from datastore_sqlite.indexes import (
    ANYTHING,
    LONG_TEXT,
    MERGED,
    Index,
    Key,
    Probe,
    Range,
    Search,
    best_search,
    by_key,
    key_binding_of,
    key_expression,
    key_parameters_of,
    keys_by_path,
    narrower,
    points_of,
    range_of,
    search,
)
from datastore_sqlite.queries import Sql, binding_of
from datastore_sqlite.schema import TABLE
from datastore_sqlite.shapes import Shapes, pieces_of, shape_of
from datastore_sqlite.statements import COLUMNS, WIDTHS

if TYPE_CHECKING:
    from datastore.queries.matcher import Predicate

_KEY, _WITH_VALUE = Fields.KEY, Fields.VALUE
_AT_FIRST = 8
"""So many rows are read without a look at their size: values of the store take no more than a page together."""
_MOST_STATEMENTS = 16
_INDEX_IS_GONE = ("no such index", "no query solution")
"""How the messages begin with which SQLite says that it cannot use the index that a statement names."""
_ABOUT = ("key", "metadata", "createdByAgent", "createdAt", "updatedAt", "revision", "expiresAt")
"""The columns that a closer look at metadata needs."""


class _Condition(NamedTuple):
    """A condition in SQL."""

    full: str
    """The expression that looks into the JSON."""
    by_key: str
    """One with the same meaning that looks at the key first, if the condition is on a field of the index in use."""
    path: Path | None = None
    """The field, if the search uses its keys."""
    is_decided: bool = False
    """Whether it holds where the key is one of those to look up, if that is an integer or a short text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlitePlan(Plan):
    """A plan, with what `read_page` needs of it.

    Attributes:
        where: The condition that a row may match and so is worth reading.
        sure: The SQL that says whether a row certainly matches what the database decides.
        parameters: The parameters of both.
        search: Where to look in an index; ``None`` for the range of ids.
        decided: The part of the query that the database decides, to check the rows that it is not sure of.
        conditions: The parts of both.
        statements: Those that were made for plans of this shape.
        bound: How it was made, if it was made of the known plan of its shape. What `explain` and unusual reads need of
            it, `Known.whole` fills in when it is first asked for.
    """

    where: str
    sure: str
    parameters: dict[str, Any]
    search: Search | None
    decided: Query
    conditions: Sequence[_Condition] = field(default=(), compare=False, repr=False)
    statements: dict[Hashable, str] = field(default_factory=dict, compare=False, repr=False)
    bound: Bound | None = field(default=None, compare=False, repr=False)

    if not TYPE_CHECKING:  # a type checker that saw it would accept every name

        def __getattr__(self, name: str) -> Any:
            """Fill in what is left out of a bound plan; called only while it is not there."""
            if name not in _LATE:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            whole = self.bound.known.whole(self.bound)
            for left_out in _LATE:
                object.__setattr__(self, left_out, getattr(whole, left_out))
            return getattr(whole, name)


_LATE = ("pushed", "native", "where", "sure", "parameters", "search", "decided", "conditions",
         "statements")  # fmt: skip
"""What is left out of a bound plan until it is asked for."""
_set_residual, _set_index, _set_in_order, _set_reversible, _set_bound = (
    getattr(SqlitePlan, name).__set__ for name in ("residual", "index", "in_order", "reversible", "bound")
)
"""They set the other attributes of a new plan, in half the time that ``object.__setattr__`` takes."""


class Bound(NamedTuple):
    """The known plan of a shape with the constants of one query."""

    known: Known
    query: Query
    values: Sequence[Any]
    """The parameters of its condition, in their order."""
    keys: Sequence[Key] | None = None
    """The keys that the probes look for, those of each probe together; ``None`` if a first page is not read by them."""
    shape: Hashable = None
    """What the statement for a first page depends on besides: the types of the keys, and whether a range is open."""


class Known:
    """What the plans of all queries of one shape have in common.

    Args:
        plan: The plan of one of them. The database decides all of it.
    """

    def __init__(self, plan: SqlitePlan) -> None:
        self.plan = plan
        self.first_pages: dict[Hashable, str] = {}
        """The statements for the first page of what `Bound.keys` find."""
        self._bindings = list[tuple[int, Callable[[Any], Sequence[Any]]]]()
        by_key = list[tuple[int, Callable[[Any], Sequence[Any]]]]()
        fields = () if plan.search is None else plan.search.fields
        asked: dict[Path, list[tuple[int, Condition]]] = {path: [] for path in fields}
        for place, (about, piece) in enumerate(pieces_of(plan.decided)):
            if not isinstance(piece, Field):
                raise TypeError("a query that is not plain has no shape")
            self._bindings.append((place, binding_of(piece.condition)))
            if about == "value" and piece.path in fields:
                by_key.append((place, key_binding_of(piece.condition)))
                asked[piece.path].append((place, piece.condition))
        self._bindings += by_key
        self._points = list[tuple[int, Callable[[Any], Sequence[Key]]]]()
        """For each field whose keys are looked up: the place of its constant, and what gives the keys for it."""
        self._range = list[tuple[int, Callable[[Any], Range]]]()
        """The same for the conditions that bound the keys of the last field."""
        self._is_plain = plan.search is not None and self._take(list(asked.values()))
        self.has_range = bool(self._range)
        """Whether rows come in the order of their keys, each with the number of its probe."""

    def _take(self, asked: Sequence[Sequence[tuple[int, Condition]]]) -> bool:
        """Note how to find the keys for the conditions on each field; return whether that is all that it takes."""
        for number, conditions in enumerate(asked, 1):
            points = [(place, keys) for place, condition in conditions if (keys := points_of(condition)) is not None]
            if len(points) == len(conditions) == 1:
                self._points += points
                continue
            self._range = [
                (place, bounds) for place, condition in conditions if (bounds := range_of(condition)) is not None
            ]
            return number == len(asked) and len(self._range) == len(conditions)
        return self.plan.in_order

    def bind(self, query: Query, constants: Sequence[Any]) -> SqlitePlan | None:
        """Return the plan for another query of the shape; ``None`` if it would be a different one.

        The parameters are in the order in which `_new_plan` binds them.
        """
        plan, values = self.plan, list[Any]()
        for place, parameters_of in self._bindings:
            values += parameters_of(constants[place])
        keys = self._keys(constants) if self._is_plain else None
        if keys is None:
            bound = Bound(self, query, values)
            if plan.search is not None:
                whole = self.whole(bound)
                return whole if whole.search is not None and whole.search.fields == plan.search.fields else None
        else:
            bound = Bound(self, query, values, *keys)
        made = object.__new__(SqlitePlan)
        _set_residual(made, plan.residual)
        _set_index(made, plan.index)
        _set_in_order(made, not self.has_range)
        _set_reversible(made, plan.reversible)
        _set_bound(made, bound)
        return made

    def _keys(self, constants: Sequence[Any]) -> tuple[Sequence[Key], Hashable] | None:
        """Return `Bound.keys` and `Bound.shape` for some constants; ``None`` if there are too many probes."""
        if not self.has_range:
            if len(self._points) == 1:
                ((place, points_of),) = self._points
                keys = points_of(constants[place])
                probes = len(keys)
            else:
                found = list(product(*[points_of(constants[place]) for place, points_of in self._points]))
                keys, probes = list(chain.from_iterable(found)), len(found)
            return None if probes > MERGED else (keys, tuple(map(type, keys)))
        range = None
        for place, bounds_of in self._range:
            one = bounds_of(constants[place])
            range = one if range is None else narrower(range, one)
        low, high, is_open, _ = cast("Range", range)
        if not self._points:
            return (low, high, ANYTHING), is_open
        prefixes = list(product(*[points_of(constants[place]) for place, points_of in self._points]))
        if len(prefixes) * 2 > MERGED:
            return None
        keys = [key for prefix in prefixes for key in (*prefix, low, high)]
        keys += [key for prefix in prefixes for key in (*prefix, ANYTHING)]
        return keys, (is_open, *map(type, keys))

    def statement(self, keys: Sequence[Key], shape: Hashable, fields: Fields, *, reverse: bool) -> str:
        """Return the statement of `_first_page`, whose parameters are given by their places.

        Args:
            keys: `Bound.keys`.
            shape: `Bound.shape`.
            fields: What to select.
            reverse: Whether ids are read in the opposite direction, unless there is a range.
        """
        search, names, left = cast("Search", self.plan.search), list[str](), list(keys)
        width = len(self._points)
        probes = [(width, False)] * (len(keys) // width if not self.has_range else 0)
        if self.has_range:
            each = len(keys) // (2 * width + 3)
            probes = [(width, True)] * each + [(width + 1, False)] * each
        is_open = shape[0] if isinstance(shape, tuple) else shape
        parts = list[str]()
        for number, (points, has_range) in enumerate(probes):
            found, left = left[:points], left[points:]
            missing = tuple([key is None for key in found])
            names += [f"key{number}_{place}" for place, key in enumerate(found) if key is not None]
            bounds = list[str]()
            if has_range:
                left = left[2:]
                names += [f"low{number}", f"high{number}"]
                bounds = [f">= :low{number}", f"{'<' if is_open else '<='} :high{number}"]
            expressions = [self._expression(one, found, number) for one in self.plan.conditions]
            conditions = [
                *_keys_are(search.index, missing, f"key{number}_"),
                *_bounded(search.index, missing, tuple(bounds)),
                _WITHIN,
                _may_hold(expressions),
            ]
            columns = _columns(self.plan, fields, _holds(expressions))
            if not self.has_range:
                parts.append(_select(columns, search.index, conditions))
                continue
            one = _select(f"{columns}, {number}", search.index, conditions)
            # SQLite would ignore an order without a limit.
            parts.append(f"SELECT * FROM ({one} {_by_key(search.index, missing)} LIMIT :limit)")
        statement = " UNION ALL ".join(parts)
        if not self.has_range:
            statement += f" ORDER BY _id{' DESC' if reverse else ''} LIMIT :limit"
        # The last one is in every statement: SQLite counts parameters up to the last one that is there.
        return _by_place(statement, ["user", "namespace", "start", "end", *self.plan.parameters, *names, "limit"])

    def _expression(self, condition: _Condition, found: Sequence[Key], number: int) -> str:
        """Return the expression of a condition for the rows of a probe, whose first keys are known."""
        search = cast("Search", self.plan.search)
        if condition.path is None:
            return condition.full
        place = search.index.fields.index(condition.path)
        if place >= len(found):
            return condition.by_key
        # An index holds a short text and an integer as they are. But it also finds a real number by an integer.
        if condition.is_decided and type(found[place]) is str:
            return f"CASE WHEN length(:key{number}_{place}) < {LONG_TEXT} THEN 1 ELSE {condition.full} END"
        if condition.is_decided and type(found[place]) is int:
            key = search.index.expressions[place]
            return f"CASE typeof({key}) WHEN 'integer' THEN 1 END"
        return condition.full

    def whole(self, bound: Bound) -> SqlitePlan:
        """Return a plan in which nothing is left out."""
        plan, query, found = self.plan, bound.query, None
        if plan.search is not None:
            by_value = [piece for about, piece in pieces_of(query) if about == "value"]
            found = search(plan.search.index, keys_by_path(by_value))
        parameters = dict(zip(plan.parameters, bound.values, strict=True))
        return SqlitePlan(
            pushed=query,
            residual=plan.residual,
            native={"where": plan.where, "parameters": parameters},
            index=plan.index,
            in_order=found is None or found.in_order,
            where=plan.where,
            sure=plan.sure,
            parameters=parameters,
            search=found,
            decided=query,
            conditions=plan.conditions,
            statements=plan.statements,
        )


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
    shape, constants = (shaped[0], namespace), shaped[1]
    declared = indexes() if namespace is not None and (query.outline is not None or asks(query.value)) else ()
    known = shapes.get(shape, declared)
    plan = None if known is None else known.bind(query, constants)
    if plan is None:
        plan = _new_plan(namespace, query, lambda: declared)
        if plan is not None and plan.decided == plan.pushed == query:
            shapes.keep(shape, declared, Known(plan))
    return plan


def _new_plan(namespace: str | None, query: Query, indexes: Callable[[], Sequence[Index]]) -> SqlitePlan | None:
    sql = Sql()
    found = push(query, sql, tuple)
    if found is None:
        return None
    keys = keys_by_path(piece.filter for piece in found.pieces if piece.about == "value")
    chosen = None if namespace is None or not keys else best_search(indexes(), namespace, keys)
    conditions, sure = list[_Condition](), list[str]()
    for filter, about, expression, exact in found.pieces:
        one = _Condition(expression, expression)
        if chosen is not None and about == "value" and isinstance(filter, Field) and filter.path in chosen.fields:
            names = tuple(map(sql.bind, key_parameters_of(filter.condition)))
            is_decided = bool(names) and points_of(filter.condition) is not None
            one = _Condition(expression, by_key(filter, expression, names), filter.path, is_decided)
        conditions.append(one)
        if exact:
            sure.append(one.by_key)
    where = _may_hold([one.by_key for one in conditions])
    return SqlitePlan(
        pushed=found.pushed,
        residual=found.residual,
        native={"where": where, "parameters": sql.parameters},
        index=None if chosen is None else chosen.index.name,
        in_order=chosen is None or chosen.in_order,
        where=where,
        sure=_holds(sure),
        parameters=sql.parameters,
        search=chosen,
        decided=query_of([piece for piece in found.pieces if piece.exact]),
        conditions=conditions,
    )


def _may_hold(expressions: Sequence[str]) -> str:
    """Return the condition that a row may match some expressions, and so is worth reading."""
    return " AND ".join([f"({one}) IS NOT 0" for one in expressions]) or "1"


def _holds(expressions: Sequence[str]) -> str:
    """Return the condition that a row certainly matches some expressions."""
    return " AND ".join([f"({one}) IS 1" for one in expressions]) or "1"


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
    bound = plan.bound
    if bound is not None and bound.keys is not None and after is None:
        page = _first_page(connection, range, bound, bound.keys, fields, limit, reverse=reverse)
        if page is not None:
            return page

    def read(plan: SqlitePlan) -> DocumentPage:
        reader = _Reader(connection, range, plan, fields, reverse)
        if plan.search is None:
            return reader.by_id(limit, after)
        if plan.search.in_order:
            return reader.merged(plan.search, limit, after)
        if after is None and len(plan.search.probes) <= MERGED:
            return reader.from_first_key(plan.search, limit)
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
        bound=None,
    )


def _first_page(
    connection: Connection,
    range: IdRange,
    bound: Bound,
    keys: Sequence[Key],
    fields: Fields,
    limit: int,
    *,
    reverse: bool,
) -> DocumentPage | None:
    """Return the first page of records with certain keys; ``None`` if that needs a closer look at the rows.

    It is what `_Reader.merged` or `_Reader.from_first_key` returns, in less time: this is the hot path of `find` by an
    index.
    """
    known = bound.known
    shape = fields, bound.shape, reverse
    statement = known.first_pages.get(shape)
    if statement is None:  # making the text takes longer than carrying it out
        statement = known.statement(keys, bound.shape, fields, reverse=reverse)
        known.first_pages[shape] = statement
        keep_newest(known.first_pages, _MOST_STATEMENTS)
    if None in keys:
        keys = [key for key in keys if key is not None]
    user, namespace = scope_of(range) or ("", "")
    bounds: tuple[str | bytes, str | bytes] = range
    if not (range.start.isascii() and range.end.isascii()):
        bounds = stored_id(range.start) or range.start, stored_id(range.end) or range.end
    try:
        cursor = connection.execute(statement, (user, namespace, *bounds, *bound.values, *keys, limit))
        rows, complete = _rows(cursor, limit, fields)
    except sqlite3.OperationalError as error:
        if is_damage(error) or str(error).startswith(_INDEX_IS_GONE):
            return None
        raise
    if not rows:
        return DocumentPage((), None)
    after = None
    if not complete:
        after = _id(rows[-1])
        if known.has_range:
            # While the statement is not at its end, the next one sees the same documents.
            after = _Reader(connection, range, known.whole(bound), fields, reverse).after(rows[-1][-1], after)
        cursor.close()
    if known.has_range:
        rows = [row[:-1] for row in rows]
    documents = _sure_documents(rows, fields, len(rows[0]))
    if documents is None:
        return _Reader(connection, range, known.whole(bound), fields, reverse).matching(rows, after)
    return DocumentPage(documents, after)


def _rows(cursor: sqlite3.Cursor, limit: int, fields: Fields) -> tuple[list[Row], bool]:
    """Return rows with values up to the size of a page, and whether there are no more."""
    if fields is _KEY:
        rows = cursor.fetchmany(limit)
        return rows, len(rows) < limit
    few = min(limit, _AT_FIRST)
    rows = cursor.fetchmany(few)
    if len(rows) < few:
        return rows, True
    room = PAGE_BYTES - sum([size_of(row[VALUE]) for row in rows])
    if room < 0 or len(rows) == limit:
        return rows, False
    for row in cursor:
        rows.append(row)
        room -= size_of(row[VALUE])
        if room < 0 or len(rows) == limit:
            return rows, False
    return rows, True


def _sure_documents(rows: Sequence[Row], fields: Fields, width: int) -> Sequence[Document] | None:
    """Return the documents of rows if the database is sure of all of them and they can be read, and else ``None``.

    Args:
        rows: The rows.
        fields: What is in them.
        width: The number of columns.
    """
    documents: Sequence[Document]
    last = WIDTHS[fields]
    try:
        if fields is _KEY:
            ids = [row[0] for row in rows if row[last] is None and type(row[0]) is str]
            expiries = [row[1] for row in rows]
            documents = BareDocuments(ids, None if expiries.count(None) == len(expiries) else expiries)
        elif fields is _WITH_VALUE and width == last + 1:
            documents = [
                new_document((id, created_at, revision, expires_at, decode(value), None, "", "", 0, None, None, None))
                for id, created_at, revision, expires_at, value, is_sure in rows
                if is_sure and type(id) is str
            ]
        else:
            document = DOCUMENT[fields]
            documents = [document(row[:last]) for row in rows if row[last] and type(row[0]) is str]
    except (DamagedRecordError, *UNDECODABLE):  # the closer look finds out which one, and why
        return None
    return documents if len(documents) == len(rows) else None


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
        return self.matching(found, None if complete else _id(found[-1]))

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
        return self.matching(rows, None if complete else _id(rows[-1]))

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
                page = self.matching(rows, None)
                documents += page.documents
                broken += page.damaged
                left -= len(rows)
                if not complete:
                    return DocumentPage(documents, self.after(number, _id(rows[-1])), broken)
            number += 1
            if number == len(search.probes):
                return DocumentPage(documents, None, broken)
            probes = [search.probes[number]]

    def from_first_key(self, search: Search, limit: int) -> DocumentPage:
        """Read the first page of what `by_key` reads, with one statement."""
        parameters = self._parameters(limit)
        shapes = list[tuple[tuple[bool, ...], tuple[str, ...]]]()
        for number, probe in enumerate(search.probes):
            for place, key in enumerate(probe.points):
                parameters[f"key{number}_{place}"] = key
            bounds = () if probe.range is None else _bounds(probe.range, parameters, str(number))
            shapes.append((tuple([key is None for key in probe.points]), bounds))
        within = self._within(None, parameters)
        shape = self._fields, tuple(shapes)
        statement = self._plan.statements.get(shape)
        if statement is None:  # making the text takes as long as carrying it out
            statement = _statement_by_key(self._columns, search.index, shapes, within, self._plan.where)
            self._plan.statements[shape] = statement
            keep_newest(self._plan.statements, _MOST_STATEMENTS)
        rows, after = list[Row](), None
        found = self._execute(statement, parameters)
        for row in found:
            rows.append(row)
            if self._has_value:
                self._size += size_of(row[VALUE])
            if len(rows) == limit or self._size > PAGE_BYTES:
                # While the statement is not at its end, the next one sees the same documents.
                after = self.after(row[-1], _id(row))
                break
        found.close()
        return self.matching([row[:-1] for row in rows], after)

    def after(self, number: int, id: str) -> str:
        """Return where to go on after a row that a probe found."""
        search = cast("Search", self._plan.search)
        keys = self._keys(search.index.fields[len(search.probes[number].points) :], id)
        return json.dumps([number, [_to_json(key) for key in keys], id])

    @property
    def _columns(self) -> str:
        return _columns(self._plan, self._fields, self._plan.sure)

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
        return _WITHIN if above == ">=" else f"_id {above} CAST(:start AS TEXT) AND _id < CAST(:end AS TEXT)"

    def _parameters(self, limit: int) -> dict[str, Any]:
        user, namespace = scope_of(self._range) or ("", "")
        return {"user": user, "namespace": namespace, "limit": limit}

    def _probe(self, index: Index, probe: Probe, limit: int) -> sqlite3.Cursor:
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

    def _execute(self, statement: str, parameters: dict[str, Any]) -> sqlite3.Cursor:
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

    def matching(self, rows: Sequence[Row], after: str | None) -> DocumentPage:
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


_WITHIN = "_id >= CAST(:start AS TEXT) AND _id < CAST(:end AS TEXT)"


def _columns(plan: SqlitePlan, fields: Fields, sure: str) -> str:
    """Return the columns to select, with the one that says whether the database is sure of a row."""
    # If only keys are asked for, a row comes with its value if that needs a closer look, and otherwise with NULL.
    unsure = sure if fields >= Fields.VALUE else f"CASE WHEN {sure} THEN NULL ELSE value END"
    return ", ".join([COLUMNS[fields], unsure, *(_ABOUT if asks(plan.decided.meta) else ())])


_NAMED = re.compile(r"""'[^']*'|"[^"]*"|:([a-z][a-z0-9_]*)""")
"""A parameter, or anything in quotes, where a colon begins none. A doubled quote looks like two texts in a row."""


def _by_place(statement: str, names: Sequence[str]) -> str:
    """Return a statement whose parameters have numbers instead of names: SQLite finds them in less time."""
    places = {name: f"?{number}" for number, name in enumerate(names, 1)}
    return _NAMED.sub(lambda found: found[0] if found[1] is None else places[found[1]], statement)


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
    conditions = [*_keys_are(index, missing, "key"), *_bounded(index, missing, bounds), within, where]
    return f"{_select(columns, index, conditions)} {_by_key(index, missing)}{direction} LIMIT :limit"


def _statement_by_key(
    columns: str, index: Index, probes: Sequence[tuple[tuple[bool, ...], tuple[str, ...]]], within: str, where: str
) -> str:
    """Return the statement of probes one after another, each in the order of its index keys.

    Args:
        columns: What to select; the number of the probe comes in addition.
        index: The index to look in.
        probes: For each probe ``missing`` and ``bounds`` as in `_search_statement`.
        within: Which ids.
        where: Which rows.
    """
    parts = list[str]()
    for number, (missing, bounds) in enumerate(probes):
        conditions = [*_keys_are(index, missing, f"key{number}_"), *_bounded(index, missing, bounds), within, where]
        one = f"{_select(f'{columns}, {number}', index, conditions)} {_by_key(index, missing)} LIMIT :limit"
        parts.append(f"SELECT * FROM ({one})")  # SQLite would ignore an order without a limit
    return " UNION ALL ".join(parts)


def _bounded(index: Index, missing: tuple[bool, ...], bounds: tuple[str, ...]) -> list[str]:
    """Return the bounds of the key of the next field as conditions."""
    return [f"{index.expressions[len(missing)]} {bound}" for bound in bounds]


def _by_key(index: Index, missing: tuple[bool, ...]) -> str:
    """Return the order of the keys of the fields that are left, and then of the ids."""
    return f"ORDER BY {', '.join([*index.expressions[len(missing) :], '_id'])}"


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


def _bounds(range: Range, parameters: dict[str, Any], suffix: str = "") -> tuple[str, ...]:
    """Return the bounds of a key as SQL, and add their parameters, whose names end with ``suffix``."""
    low, above, bounds = range.low, range.above, list[str]()
    if low is None and above:  # after rows without the field: all rows with it
        low, above = float("-inf"), False
    if low is not None:
        parameters[f"low{suffix}"] = low
        bounds.append(f"{'>' if above else '>='} :low{suffix}")
    if range.high is not None:
        parameters[f"high{suffix}"] = range.high
        bounds.append(f"{'<' if range.open else '<='} :high{suffix}")
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
