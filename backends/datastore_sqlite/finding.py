"""Finding: from a plan to pages of documents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from datastore.backend import BareDocuments, Document, DocumentPage, Fields, IdRange
from datastore.documents import UNDECODABLE
from datastore.errors import DamagedRecordError
from datastore.ids import scope_of
from datastore.queries.tree import Filter, asks
from datastore.turns import keep_newest
from datastore.values import decode
from datastore_sqlite.client import Connection
from datastore_sqlite.codec import AT_FIRST, DOCUMENT, PAGE_BYTES, VALUE, Row, are_all, new_document, size_of
from datastore_sqlite.damage import WELL_FORMED, documents_of, is_damage, reading, shown, stored_id
from datastore_sqlite.indexes import MERGED, Index, Key, Probe, Search, key_expression
from datastore_sqlite.planning import Bound, Known, SqlitePlan
from datastore_sqlite.schema import TABLE
from datastore_sqlite.selecting import (
    ABOUT,
    WITHIN,
    bounds_of,
    columns_of,
    merging_statement,
    search_statement,
    statement_by_key,
)
from datastore_sqlite.statements import WIDTHS

if TYPE_CHECKING:
    from datastore.queries.matcher import Predicate
    from datastore_sqlite.short_pages import ShortPage

_KEY, _WITH_VALUE = Fields.KEY, Fields.VALUE
_FEW = 16
"""So many documents are few. If a query has found more, the next one of its shape is planned at once."""
_MOST_STATEMENTS = 16
_INDEX_IS_GONE = ("no such index", "no query solution")
"""How the messages begin with which SQLite says that it cannot use the index that a statement names."""


def read_page(
    connection: Connection,
    range: IdRange,
    plan: SqlitePlan,
    fields: Fields,
    limit: int,
    after: str | None,
    reverse: bool = False,
) -> DocumentPage:
    """Return a page of what a plan finds."""
    bound = plan.bound
    if bound is not None and after is None:
        page = _first_page(connection, range, plan, bound, fields, limit, reverse=reverse)
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


def read_few(
    connection: Connection, range: IdRange, known: Known, parameters: Sequence[Any], fields: Fields, limit: int
) -> Sequence[Document] | None:
    """Return the few documents that the statement of `Known.short` finds, in id order; ``None`` if they are many."""
    short = cast("ShortPage", known.short)
    most = limit if fields is _KEY else min(limit, _FEW + 1)
    rows, after = _first_rows(connection, range, None, short.statement(fields), parameters, fields, most)
    if rows is None or (after is not None and (short.is_ranged or len(rows) < limit)):
        return None
    if short.is_ranged:
        rows.sort()
    return _sure_documents(rows, fields)


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
    connection: Connection, range: IdRange, plan: SqlitePlan, bound: Bound, fields: Fields, limit: int, *, reverse: bool
) -> DocumentPage | None:
    """Return the first page of records with certain keys, or in the range of ids; ``None`` if it is not read so.

    It is what `_Reader.merged`, `_Reader.from_first_key` or `_Reader.by_id` returns, in less time: this is the hot path
    of `find`.
    """
    known, short = bound.known, bound.short
    if short is not None and known.short is not None and not reverse:
        rows, after = _first_rows(connection, range, plan, known.short.statement(fields), short, fields, limit)
        documents = None if rows is None else _sure_documents(rows, fields)
        if documents is not None:
            known.short.finds_few = after is None and len(documents) <= _FEW
            known.short.note(sufficed=True)
            return DocumentPage(documents, after)
        known.short.note(sufficed=False)
    elif known.short is not None and not reverse:
        known.short.rest()
    keys = known.keys(bound.constants)
    if keys is None:
        return None
    shape = fields, keys.shape, reverse
    statement = known.first_pages.get(shape)
    if statement is None:  # making the text takes longer than carrying it out
        statement = known.statement(keys, fields, reverse=reverse)
        known.first_pages[shape] = statement
        keep_newest(known.first_pages, _MOST_STATEMENTS)
    parameters = known.values(bound.constants)
    parameters += [key for key in keys.keys if key is not None]
    rows, after = _first_rows(connection, range, plan, statement, parameters, fields, limit)
    if rows is None:
        return None
    documents = _sure_documents(rows, fields)
    if documents is None:
        if known.has_range:
            rows = [row[:-1] for row in rows]
        return _Reader(connection, range, plan, fields, reverse).matching(rows, after)
    return DocumentPage(documents, after)


def _first_rows(
    connection: Connection,
    range: IdRange,
    plan: SqlitePlan | None,
    statement: str,
    parameters: Sequence[Any],
    fields: Fields,
    limit: int,
) -> tuple[list[Row] | None, str | None]:
    """Return the rows of a first page, and where to go on; ``None`` if this statement does not tell.

    Without a plan, where to go on only says that there may be more.
    """
    user, namespace = scope_of(range) or ("", "")
    bounds: tuple[str | bytes, str | bytes] = range
    if not (range.start.isascii() and range.end.isascii()):
        bounds = stored_id(range.start) or range.start, stored_id(range.end) or range.end
    after, few = None, limit if fields is _KEY else min(limit, AT_FIRST)
    try:
        cursor = connection.execute(statement, (user, namespace, *bounds, *parameters, limit))
        rows = cursor.fetchmany(few)
        if rows and rows[0][0] is None:  # as `ShortPage.statement` says
            cursor.close()
            return None, None
        if len(rows) == few and (fields is _KEY or not are_all(rows, cursor, limit)):
            after = _id(rows[-1])
            if plan is not None and not plan.in_order:
                after = _Reader(connection, range, plan, fields, False).after_some(cursor, rows[-1])
            cursor.close()
    except sqlite3.OperationalError as error:
        if is_damage(error) or str(error).startswith(_INDEX_IS_GONE):
            return None, None
        raise
    return rows, after


def _sure_documents(rows: Sequence[Row], fields: Fields) -> Sequence[Document] | None:
    """Return the documents of rows if the database is sure of all of them and they can be read, and else ``None``."""
    documents: Sequence[Document]
    last = WIDTHS[fields]
    try:
        if fields is _WITH_VALUE:
            documents = [
                new_document((row[0], row[1], row[2], row[3], decode(row[4]), None, "", "", 0, None, None, None))
                for row in rows
                if row[5] and type(row[0]) is str
            ]
        elif fields is _KEY:
            ids = [row[0] for row in rows if row[last] is None and type(row[0]) is str]
            expiries = [row[1] for row in rows]
            documents = BareDocuments(ids, None if expiries.count(None) == len(expiries) else expiries)
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
            statement = merging_statement(
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
                    return DocumentPage(documents, self._after(number, _id(rows[-1])), broken)
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
            bounds = () if probe.range is None else bounds_of(probe.range, parameters, str(number))
            shapes.append((tuple([key is None for key in probe.points]), bounds))
        within = self._within(None, parameters)
        shape = self._fields, tuple(shapes)
        statement = self._plan.statements.get(shape)
        if statement is None:  # making the text takes as long as carrying it out
            statement = statement_by_key(self._columns, search.index, shapes, within, self._plan.where)
            self._plan.statements[shape] = statement
            keep_newest(self._plan.statements, _MOST_STATEMENTS)
        rows, after = list[Row](), None
        found = self._execute(statement, parameters)
        for row in found:
            rows.append(row)
            if self._has_value:
                self._size += size_of(row[VALUE])
            if len(rows) == limit or self._size > PAGE_BYTES:
                after = self.after_some(found, row)
                break
        found.close()
        return self.matching([row[:-1] for row in rows], after)

    def after_some(self, cursor: sqlite3.Cursor, last: Row) -> str | None:
        """Return where to go on after the last row that was taken of some; ``None`` if there are no more."""
        after = self._after(last[-1], _id(last))
        # While a statement is not at its end, the next one sees the same documents. So statements find one row
        # more than is asked for. If there is none, the last one may have changed meanwhile, which makes no difference.
        return None if cursor.fetchone() is None else after

    def _after(self, number: int, id: str) -> str | None:
        """Return where to go on after a row that a probe found; ``None`` if the row is gone."""
        search = cast("Search", self._plan.search)
        keys = self._keys(search.index.fields[len(search.probes[number].points) :], id)
        return None if keys is None else json.dumps([number, [_to_json(key) for key in keys], id])

    @property
    def _columns(self) -> str:
        return columns_of(self._plan, self._fields, self._plan.sure)

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
        return WITHIN if above == ">=" else f"_id {above} CAST(:start AS TEXT) AND _id < CAST(:end AS TEXT)"

    def _parameters(self, limit: int) -> dict[str, Any]:
        user, namespace = scope_of(self._range) or ("", "")
        return {"user": user, "namespace": namespace, "limit": limit}

    def _probe(self, index: Index, probe: Probe, limit: int) -> sqlite3.Cursor:
        parameters = self._parameters(limit)
        for number, key in enumerate(probe.points):
            parameters[f"key{number}"] = key
        statement = search_statement(
            self._columns,
            index,
            tuple([key is None for key in probe.points]),
            () if probe.range is None else bounds_of(probe.range, parameters),
            self._within(probe.after or None, parameters),
            self._plan.where,
            self._direction,
        )
        return self._execute(statement, parameters)

    def _keys(self, fields: Sequence[tuple[str, ...]], id: str) -> Row | None:
        if not fields:
            return ()
        expressions = ", ".join(map(key_expression, fields))
        statement = f"SELECT {expressions} FROM {TABLE} WHERE _id = CAST(? AS TEXT)"
        row: Row | None = self._connection.execute(statement, (stored_id(id) or id,)).fetchone()
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
        about = dict(zip(ABOUT, row[self._width + 1 :], strict=True))
        return self._meta(about | {"metadata": decode(about["metadata"])})


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
