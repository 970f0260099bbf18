"""Reading: each method is one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from datastore.adapters.knowledge import Memory
from datastore.backend import BareDocuments, Document, DocumentPage, Fields, IdRange, NamespaceStats
from datastore.documents import UNDECODABLE, decoded, name_of, split
from datastore.times import parse_time
from datastore_postgresql.client import Row, Session
from datastore_postgresql.codec import COLUMNS, CONDITIONS, UNLESS_SURE, document_of, read_name, seen_of

if TYPE_CHECKING:
    from datastore_postgresql.indexes import Way
    from datastore_postgresql.sorting import Order

SCAN_PAGE = 10_000
PAGE_BYTES = 8_000_000
"""A page ends with the record whose value reaches this many bytes."""
MOST_UNPLACED = 1_000
"""The most records whose place in an order PostgreSQL cannot tell that are handed over besides the first ones."""
SIZE = """coalesce("bytes", octet_length("value"::text), octet_length("valueText"), 0)"""
PREFIX = """substring("_id" FROM '^[^:]*:[^:]*')"""
LIVE = '("expiresAt" IS NULL OR "expiresAt" > %(at)s)'
_TIME = r"'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$'"


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
        documents: dict[str, Document] = {}
        for row in rows:
            id = row[0]
            try:
                document = document_of(row, fields)
            except UNDECODABLE:  # the closer look finds out what it is
                document = decoded(id, partial(document_of, row, fields))
            documents[id] = document
            if fields is not Fields.KEY:
                self._memory.note(id, seen_of(document, row, fields))
        return documents

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1; 0 for an empty range.
        """
        within, parameters = bounds(range, after, reverse=reverse)
        if parameters["start"] >= parameters["end"]:
            return DocumentPage((), None)
        return self.page(within, parameters, fields, limit, reverse=reverse)

    def page(
        self,
        within: str,
        parameters: Mapping[str, object],
        fields: Fields,
        limit: int,
        *,
        reverse: bool = False,
        where: str = "TRUE",
        ways: Sequence[Way] = (),
        sure: str = "TRUE",
        matches: Callable[[Document], bool] | None = None,
        looked_at: Fields = Fields.KEY,
    ) -> DocumentPage:
        """Return a page of the rows that fulfil some conditions, in the order of their ids.

        Args:
            within: The condition for the range of ids.
            parameters: The parameters of all conditions.
            fields: How much of each is read.
            limit: The most rows.
            reverse: The opposite order.
            where: Whether a row may be wanted.
            ways: How an index finds them, if one does.
            sure: Whether a row is certainly wanted; ``matches`` says it of the others.
            matches: Whether a document is wanted.
            looked_at: How much of a document ``matches`` looks at.
        """
        order = f'ORDER BY "_id" {"DESC" if reverse else "ASC"}'
        parameters = {**parameters, "limit": limit, "most": PAGE_BYTES}
        if fields is Fields.KEY and matches is None:
            found = f'SELECT "_id", "expiresAt" FROM {self._table} WHERE {within} AND {where} {order} LIMIT %(limit)s'
            rows = self._session.ask(found, parameters)
            return DocumentPage(_bare(rows), rows[-1][0] if len(rows) == limit else None)
        read = fields if matches is None else max(fields, looked_at)
        columns, size = COLUMNS[read], SIZE
        if fields is Fields.KEY:
            columns, size = UNLESS_SURE[read], f"CASE WHEN sure THEN 0 ELSE {SIZE} END"
        found = self._found(within, where, sure, ways, f" {order} LIMIT %(limit)s")
        rows = self._session.ask(
            f"""
            SELECT {columns}, sure, total FROM (
                SELECT *, {size} AS size, sum(({size})::float8) OVER ({order} ROWS UNBOUNDED PRECEDING) AS total
                FROM ({found} {order} LIMIT %(limit)s) AS page
            ) AS summed WHERE total - size < %(most)s {order}""",
            parameters,
        )
        more = bool(rows) and (len(rows) == limit or rows[-1][-1] >= PAGE_BYTES)
        after = rows[-1][0] if more else None
        unsure = {row[0] for row in rows if not row[-2]}
        if fields is Fields.KEY and not unsure:
            return DocumentPage(_bare([(row[0], row[3]) for row in rows]), after)

        def look(row: Row) -> Document:
            bare = fields is Fields.KEY and row[0] not in unsure
            return Document(row[0], "", "", row[3]) if bare else document_of(row, read)

        documents, broken = split(rows, lambda row: row[0], look)
        if unsure and matches is not None:
            documents = [one for one in documents if one.id not in unsure or matches(one)]
        return DocumentPage(documents, after, broken)

    def _found(self, within: str, where: str, sure: str, ways: Sequence[Way], which: str = "") -> str:
        """Return the query for the rows that fulfil some conditions, each with whether it is ``sure``; see `page`.

        Args:
            within: As for `page`, and so are the next three.
            where: As for `page`.
            sure: As for `page`.
            ways: As for `page`.
            which: Which of the rows of each way are enough.
        """
        found = f"SELECT *, {sure} AS sure FROM {self._table} WHERE {within} AND {where}"
        if not ways:
            return found
        decided = f"SELECT *, TRUE AS sure FROM {self._table} WHERE {within}"
        some = [f"({decided if way.decides else found} AND {way.condition}{which})" for way in ways]
        return f"SELECT * FROM ({' UNION ALL '.join(some)}) AS searched"

    def first(
        self,
        within: str,
        parameters: Mapping[str, object],
        fields: Fields,
        order: Order,
        number: int,
        *,
        where: str,
        ways: Sequence[Way],
        sure: str,
        matches: Callable[[Document], bool] | None,
        looked_at: Fields,
    ) -> DocumentPage | None:
        """Return the first rows in an order that fulfil some conditions, and all whose place is not told.

        Args:
            within: As for `page`, and so is all of which nothing is said here.
            parameters: As for `page`.
            fields: As for `page`.
            order: The order.
            number: How many rows.
            where: As for `page`.
            ways: As for `page`.
            sure: As for `page`.
            matches: As for `page`.
            looked_at: As for `page`.

        Returns:
            ``None`` if the places of too many rows are not told, or it is too much at once.
        """
        read = max(fields, looked_at)
        found = self._found(f"{within} AND {LIVE}", where, sure, ways)
        by = f'is_placed, {order.by}, "_id"'  # those that have no place come first
        rows = self._session.ask(
            f"""
            SELECT {COLUMNS[read]}, sure, unplaced, total FROM (
                SELECT *, sum(({SIZE})::float8) OVER (ORDER BY place) AS total FROM (
                    SELECT *, row_number() OVER (ORDER BY {by}) AS place,
                        count(*) FILTER (WHERE NOT is_placed) OVER () AS unplaced
                    FROM (
                        SELECT *, sure AND {order.is_placed} AS is_placed FROM (
                            SELECT *, {order.keys} FROM (
                                SELECT *, {order.looked_at} FROM ({found}) AS found OFFSET 0
                            ) AS looked_at OFFSET 0
                        ) AS keyed ORDER BY {by} LIMIT %(candidates)s
                    ) AS candidates
                ) AS placed
                WHERE place <= unplaced + %(number)s AND (unplaced <= %(most_unplaced)s OR place = 1)
            ) AS summed WHERE total - ({SIZE}) < %(most)s ORDER BY place""",
            {
                **parameters,
                "number": number,
                "candidates": number + MOST_UNPLACED + 1,
                "most_unplaced": MOST_UNPLACED,
                "most": PAGE_BYTES,
            },
        )
        if rows and (rows[-1][-1] >= PAGE_BYTES or rows[0][-2] > MOST_UNPLACED):
            return None
        documents, broken = split(rows, lambda row: row[0], lambda row: document_of(row, read))
        if matches is not None and (unsure := {row[0] for row in rows if not row[-3]}):
            documents = [one for one in documents if one.id not in unsure or matches(one)]
        return DocumentPage(documents, None, broken)

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


WITHIN = '"_id" >= %(start)s AND "_id" < %(end)s'


def bounds(range: IdRange, after: str | None, *, reverse: bool) -> tuple[str, dict[str, str]]:
    """Return the condition for the ids of a range that follow one, and its parameters."""
    parameters: dict[str, str] = range._asdict()
    if after is not None and reverse and after < range.end:
        parameters["end"] = after
    elif after is not None and not reverse and after >= range.start:
        parameters["start"] = after
        return WITHIN.replace(">=", ">"), parameters
    return WITHIN, parameters
