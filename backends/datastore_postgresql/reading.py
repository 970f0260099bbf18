"""Reading: each method is one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from datastore.adapters.knowledge import Memory
from datastore.backend import BareDocuments, Document, DocumentPage, Fields, IdRange, NamespaceStats, Query
from datastore.documents import UNDECODABLE, decoded, fields_of, name_of, split
from datastore.errors import DamagedRecordError
from datastore.queries.tree import asks
from datastore.times import parse_time
from datastore.values import decode_all
from datastore_postgresql.client import Row, Session
from datastore_postgresql.codec import (
    COLUMNS,
    CONDITIONS,
    ESCAPED,
    KEY,
    RAW,
    SIZE,
    UNLESS_SURE,
    VALUE,
    document_of,
    documents_of,
    read_name,
)

if TYPE_CHECKING:
    from datastore_postgresql.indexes import Way
    from datastore_postgresql.sorting import Order

WITHIN = '"_id" >= %(start)s AND "_id" < %(end)s'
SCAN_PAGE = 10_000
PAGE_BYTES = 8_000_000
"""A page ends with the record whose value reaches this many bytes."""
MOST_UNPLACED = 1_000
"""The most records whose place in an order PostgreSQL cannot tell that are handed over besides the first ones."""
MOST_FEW = 200
"""The most records that `Reader.few` reads, none of more bytes than all of them may have for a page."""
PREFIX = """substring("_id" FROM '^[^:]*:[^:]*')"""
LIVE = '("expiresAt" IS NULL OR "expiresAt" > %(at)s)'
_TIME = r"'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$'"


class Narrowed(NamedTuple):
    """The SQL of the conditions on the rows of a page."""

    where: str = "TRUE"
    """Whether a row may be wanted, and so is worth reading."""
    sure: str = "TRUE"
    """Whether a row certainly fulfils what the database decides."""
    ways: tuple[Way, ...] = ()
    """How an index finds the rows; empty if none does."""

    @property
    def is_found(self) -> bool:
        """Whether the rows of some way need no look at all."""
        return any(way.decides for way in self.ways)


class Asked(NamedTuple):
    """What is asked of the rows of a page."""

    narrowed: Narrowed = Narrowed()
    parameters: Mapping[str, Any] = MappingProxyType({})
    """Those of the conditions."""
    decided: Query = Query()
    """What the database decides; it is asked again of the rows that it is not sure of."""

    @property
    def looked_at(self) -> Fields:
        """How much of a row must be read to ask it again."""
        return Fields.KEY if not self.decided else Fields.ALL if asks(self.decided.meta) else Fields.VALUE

    def given(self, start: str, end: str) -> dict[str, Any]:
        """Return the parameters that every statement has, for the ids of a range."""
        given = {"start": start, "end": end, "most": PAGE_BYTES, **self.parameters}
        if self.narrowed.ways:
            given["scope"] = ":".join(start.split(":", 2)[:2])
        return given

    def of(self, documents: Sequence[Document], unsure: Collection[str]) -> Sequence[Document]:
        """Return the documents without those that a closer look leaves out.

        Args:
            documents: What the database has found.
            unsure: The ids of those that it is not sure of.
        """
        if not unsure:
            return documents
        from datastore.queries.matcher import compile_filter  # here: a store that is opened need not ask anything

        value = compile_filter(self.decided.value) if asks(self.decided.value) else None
        meta = compile_filter(self.decided.meta) if asks(self.decided.meta) else None

        def matches(one: Document) -> bool:
            return (value is None or value(one.value)) and (meta is None or meta(fields_of(one)))

        return [one for one in documents if one.id not in unsure or matches(one)]


_EVERYTHING = Asked()


class Reader:
    """Reads through one session, and notes what it sees for the next writes."""

    def __init__(self, session: Session, table: str, memory: Memory) -> None:
        self._session = session
        self._table = table
        self._memory = memory
        self._read = {
            (fields, one): f"SELECT {columns}{'' if fields is Fields.KEY else f', {CONDITIONS}'} FROM {table} "
            f'WHERE "_id" = {"%s" if one else "ANY(%s::text[])"}'
            for fields, columns in COLUMNS.items()
            for one in (True, False)
        }

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`.

        Requests: 1.
        """
        one = len(ids) == 1
        rows = self._session.ask(self._read[fields, one], (ids[0] if one else list(ids),))
        try:
            found = documents_of(rows, fields)
        except UNDECODABLE:  # the closer look finds out which one, and what it is
            found = [decoded(row[0], partial(document_of, row, fields)) for row in rows]
        if fields is not Fields.KEY:
            self._memory.note_read(found, [row[-3:] for row in rows])
        return {document.id: document for document in found}

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1; 0 for an empty range.
        """
        return self.page(range, fields, limit, after, reverse=reverse)

    def page(
        self,
        range: IdRange,
        fields: Fields,
        limit: int,
        after: str | None,
        asked: Asked = _EVERYTHING,
        *,
        reverse: bool,
    ) -> DocumentPage:
        """Return a page of the rows that fulfil some conditions, in the order of their ids.

        Args:
            range: The ids.
            fields: How much of each is read.
            limit: The most rows.
            after: The id that the page follows.
            asked: The conditions.
            reverse: The opposite order.

        Requests: 1; 0 for an empty range.
        """
        start, end = range
        is_after = after is not None and not reverse and after >= start
        if after is not None:
            start, end = (after if is_after else start), (min(after, end) if reverse else end)
        if start >= end:
            return DocumentPage((), None)
        read = max(fields, asked.looked_at)
        statement = _statement_for_page(self._table, asked.narrowed, fields, read, is_after=is_after, reverse=reverse)
        rows = self._session.ask(statement, asked.given(start, end) | {"limit": limit})
        if read is Fields.KEY:
            return DocumentPage(_bare(rows), rows[-1][0] if len(rows) == limit else None)
        more = bool(rows) and (len(rows) == limit or rows[-1][-1] >= PAGE_BYTES)
        after = rows[-1][0] if more else None
        unsure = {row[0] for row in rows if not row[-2]}
        if fields is Fields.KEY and not unsure:
            return DocumentPage(_bare([(row[0], row[3]) for row in rows]), after)

        def look(row: Row) -> Document:
            bare = fields is Fields.KEY and row[0] not in unsure
            return Document(row[0], "", "", row[3]) if bare else document_of(row, read)

        documents: Sequence[Document]
        broken: Sequence[DamagedRecordError] = ()
        try:
            documents = list(map(look, rows)) if fields is Fields.KEY else documents_of(rows, read)
        except (DamagedRecordError, *UNDECODABLE):
            documents, broken = split(rows, lambda row: row[0], look)
        return DocumentPage(asked.of(documents, unsure), after, broken)

    def few(self, range: IdRange, fields: Fields, limit: int, asked: Asked) -> Sequence[Document] | None:
        """Return the rows that fulfil some conditions, in the order of their ids, in less time than a page takes.

        The size of a page is not added up, and rows that would need a closer look are only looked for.

        Args:
            range: The ids.
            fields: Those for `Fields.KEY`, or for `Fields.VALUE`.
            limit: The most rows.
            asked: The conditions; they are `Narrowed.is_found`.

        Returns:
            ``None`` if there are more than `MOST_FEW`, or a value is too large, or a row needs a closer look.

        Requests: 1; 0 for an empty range.
        """
        if range.start >= range.end:
            return ()
        given = asked.given(*range)
        given["limit"] = min(limit, MOST_FEW + 1)
        rows = self._session.ask(_statement_for_few(self._table, asked.narrowed.ways, fields), given)
        if len(rows) > MOST_FEW or None in [row[-1] for row in rows]:
            return None
        if fields is Fields.KEY or not rows:
            return _bare([row[:2] for row in rows])
        ids, created, revisions, expiries, texts = zip(*rows, strict=True)
        try:
            if min(revisions) <= ESCAPED:  # or one is NULL, which cannot be compared
                return None
            return list(map(Document, ids, created, revisions, expiries, decode_all(texts)))
        except UNDECODABLE:  # the closer look finds out which one
            return None

    def first(
        self, range: IdRange, fields: Fields, order: Order, number: int, at: str, asked: Asked
    ) -> DocumentPage | None:
        """Return the first rows in an order that fulfil some conditions and are live, and all whose place is not told.

        Args:
            range: The ids.
            fields: How much of each is read.
            order: The order.
            number: How many rows.
            at: The time at which they are live.
            asked: The conditions.

        Returns:
            ``None`` if the places of too many rows are not told, or it is too much at once.

        Requests: 1; 0 for an empty range.
        """
        if range.start >= range.end:
            return DocumentPage((), None)
        read = max(fields, asked.looked_at)
        given = asked.given(*range)
        given |= {"at": at, "number": number, "candidates": number + MOST_UNPLACED + 1, "unplaced": MOST_UNPLACED}
        rows = self._session.ask(_statement_for_first(self._table, asked.narrowed, order, read), given)
        if rows and (rows[-1][-1] >= PAGE_BYTES or rows[0][-2] > MOST_UNPLACED):
            return None
        documents, broken = split(rows, lambda row: row[0], lambda row: document_of(row, read))
        return DocumentPage(asked.of(documents, {row[0] for row in rows if not row[-3]}), None, broken)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        ((number,),) = self._session.ask(
            f"SELECT count(*) FROM {self._table} WHERE {WITHIN} AND {LIVE}", {**range._asdict(), "at": at}
        )
        return int(number)

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`: each step of the recursion skips to the next namespace in the index."""
        live = f'"_id" < %(end)s AND {LIVE} ORDER BY "_id" LIMIT 1'
        rows = self._session.ask(
            f"""
            WITH RECURSIVE found (beginning) AS (
                (SELECT {PREFIX} FROM {self._table} WHERE "_id" >= %(start)s AND {live})
                UNION ALL
                SELECT (SELECT {PREFIX} FROM {self._table} WHERE "_id" >= found.beginning || ';' AND {live})
                FROM found WHERE beginning IS NOT NULL
            )
            SELECT beginning || ':' FROM found WHERE beginning IS NOT NULL""",
            {**range._asdict(), "at": at},
        )
        return [beginning for (beginning,) in rows]

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """See `Backend.namespace_stats`."""
        rows = self._session.ask(
            f"""
            SELECT min("_id"), count(*), sum({SIZE})::bigint, array_agg(DISTINCT "createdByAgent"),
                array_agg(DISTINCT "updatedByAgent"), max("updatedAt") FILTER (WHERE "updatedAt" ~ {_TIME})
            FROM {self._table} WHERE {WITHIN} AND {LIVE} AND "revision" IS NOT NULL
            GROUP BY {PREFIX} ORDER BY 1""",
            {**range._asdict(), "at": at},
        )
        found = []
        for id, records, size, creators, writers, updated_at in rows:
            name = name_of(id)
            if name is not None:
                agents = {read_name(agent) for agent in (*creators, *writers)} - {None, ""}
                stated = tuple(sorted(map(str, agents)))
                time = parse_time(updated_at or "0001-01-01T00:00:00.000000Z")
                found.append(NamespaceStats(name.namespace, records, size, stated, time))
        return sorted(found)


def _bare(rows: Sequence[Row]) -> Sequence[Document]:
    """Return documents of ids and expiries."""
    if not rows:
        return ()
    ids, expiries = zip(*rows, strict=True)
    return BareDocuments(ids, None if expiries.count(None) == len(expiries) else expiries)


def _found(table: str, columns: str, within: str, narrowed: Narrowed, which: str = "") -> str:
    """Return the query for some columns of the rows that fulfil conditions, each with whether it is ``sure``.

    Args:
        table: The table.
        columns: The columns.
        within: The condition for the range of ids.
        narrowed: The other ones.
        which: Which of the rows of each way are enough.
    """
    where, sure, ways = narrowed
    found = f"SELECT {columns}, {sure} AS sure FROM {table} WHERE {within} AND {where}"
    if not ways:
        return found
    decided = f"SELECT {columns}, TRUE AS sure FROM {table} WHERE {within}"
    some = [f"({decided if way.decides else found} AND {way.condition}{which})" for way in ways]
    return f"SELECT * FROM ({' UNION ALL '.join(some)}) AS searched"


@lru_cache(maxsize=256)
def _statement_for_few(table: str, ways: tuple[Way, ...], fields: Fields) -> str:
    """Return the statement for few rows; see `Reader.few`. The last column is NULL if that is not all of a row."""
    most = PAGE_BYTES // MOST_FEW
    value = f"""CASE WHEN {SIZE} <= {most} AND "content" IS NULL THEN {VALUE} END"""
    columns, nothing = (
        (f"{KEY}, ''", f"{KEY}, NULL")
        if fields is Fields.KEY
        else (f'"_id", "createdAt", "revision", "expiresAt", {value}', '"_id", NULL, NULL, NULL, NULL')
    )
    order = 'ORDER BY "_id" LIMIT'
    arms = [
        f"(SELECT {columns if way.decides else nothing} FROM {table} WHERE {WITHIN} AND {way.condition} "
        f"{order} {'%(limit)s' if way.decides else 1})"
        for way in ways
    ]
    return f"{' UNION ALL '.join(arms)} {order} %(limit)s"


@lru_cache(maxsize=256)
def _statement_for_first(table: str, narrowed: Narrowed, order: Order, read: Fields) -> str:
    """Return the statement for the first rows in an order; see `Reader.first`."""
    by = f'is_placed, {order.by}, "_id"'  # those that have no place come first
    return f"""
        SELECT {COLUMNS[read]}, sure, unplaced, total FROM (
            SELECT *, sum(({SIZE})::float8) OVER (ORDER BY place) AS total FROM (
                SELECT *, row_number() OVER (ORDER BY {by}) AS place,
                    count(*) FILTER (WHERE NOT is_placed) OVER () AS unplaced
                FROM (
                    SELECT *, sure AND {order.is_placed} AS is_placed FROM (
                        SELECT *, {order.keys} FROM (
                            SELECT *, {order.looked_at}
                            FROM ({_found(table, "*", f"{WITHIN} AND {LIVE}", narrowed)}) AS found OFFSET 0
                        ) AS looked_at OFFSET 0
                    ) AS keyed WHERE ({order.behind}) IS NOT FALSE ORDER BY {by} LIMIT %(candidates)s
                ) AS candidates
            ) AS placed
            WHERE place <= unplaced + %(number)s AND (unplaced <= %(unplaced)s OR place = 1)
        ) AS summed WHERE total - ({SIZE}) < %(most)s ORDER BY place"""


@lru_cache(maxsize=256)
def _statement_for_page(
    table: str, narrowed: Narrowed, fields: Fields, read: Fields, *, is_after: bool, reverse: bool
) -> str:
    """Return the statement for a page; see `Reader.page`.

    Args:
        table: The table.
        narrowed: The conditions.
        fields: How much of each row is wanted.
        read: How much is read of those that the database is not sure of, and of the others if that is wanted.
        is_after: Whether the page follows an id.
        reverse: The opposite order.
    """
    within = WITHIN.replace(">=", ">") if is_after else WITHIN
    order = f'ORDER BY "_id" {"DESC" if reverse else "ASC"}'
    if read is Fields.KEY:
        return f'SELECT "_id", "expiresAt" FROM {table} WHERE {within} AND {narrowed.where} {order} LIMIT %(limit)s'
    columns, size = COLUMNS[read], SIZE
    if fields is Fields.KEY:
        columns, size = UNLESS_SURE[read], f"CASE WHEN sure THEN 0 ELSE {SIZE} END"
    found = _found(table, RAW[read], within, narrowed, f" {order} LIMIT %(limit)s")
    return f"""
        SELECT {columns}, sure, total FROM (
            SELECT *, {size} AS size, sum(({size})::float8) OVER ({order} ROWS UNBOUNDED PRECEDING) AS total
            FROM ({found} {order} LIMIT %(limit)s) AS page
        ) AS summed WHERE total - size < %(most)s {order}"""
