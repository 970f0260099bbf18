"""The primitives that PostgreSQL gives to the toolkit: one statement makes all changes of a call.

Each row is changed only if it still has the token that was seen; a row that was not there is made only if there is none
still. The same statement says of the others what is stored instead, which saves the read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from datastore.adapters.changes import Applied, Change, Late, Result, Rules
from datastore.adapters.knowledge import ABSENT, Known
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED
from datastore.backend import Access, Delete, Put, Restore
from datastore.contents import content_of
from datastore.errors import BackendUnavailableError, DataStoreError
from datastore.values import encode
from datastore_postgresql.client import Session
from datastore_postgresql.codec import STATE, held, known_of, written
from datastore_postgresql.failures import NAME, RefusedForNowError
from datastore_postgresql.vectors import MOST_DIMENSIONS, Vectors, text_of

_GIVEN: Mapping[str, str] = {
    "_id": "text",
    "how": "text",
    "seen": "text",
    "token": "text",
    "expiresAt": "text",
    "fences": "text",
    "revision": "text",
    "updatedAt": "text",
    "updatedByAgent": "text",
    "recentWrites": "text",
    "value": "text",
    "valueText": "text",
    "content": "bytea",
    "bytes": "bigint",
    "metadata": "text",
    "metadataText": "text",
    "userId": "text",
    "namespace": "text",
    "key": "text",
    "createdAt": "text",
    "createdByAgent": "text",
    "accessCount": "bigint",
    "lastAccessedByAgent": "text",
    "lastAccessedAt": "text",
}
"""What a change takes: ``how`` is one of `_MAKE`, `_REPLACE`, `_CHANGE`, `_TOUCH` and `_REMOVE`, ``seen`` the token
that its row must have; the others are columns."""
_MAKE, _REPLACE, _CHANGE, _TOUCH, _REMOVE = "make", "replace", "change", "touch", "remove"
_NAMES = tuple(_GIVEN)
_COLUMNS = tuple(name for name in _NAMES if name not in ("how", "seen"))
_ALWAYS = ("token", "expiresAt", "fences")
_WITH_VALUE = ("revision", "updatedAt", "updatedByAgent", "recentWrites", "value", "valueText", "content", "bytes")
_IF_GIVEN = ("metadata", "metadataText")
_JSON = ("value", "metadata")


class Records(Primitives):
    """The records of one table, as the toolkit sees them."""

    name = NAME
    rules = Rules(replaces_whole=False)
    counting = Counting.UNSEEN

    def __init__(self, session: Session, table: str, vectors: Vectors) -> None:
        self._session = session
        self._table = table
        self._vectors = vectors
        self._load = f'SELECT {STATE} FROM {table} WHERE "_id" = ANY(%s)'
        self._swap = _statement(table)
        self._count = _counting_statement(table)

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`.

        Requests: 1.
        """
        return {row[1]: known_of(row) for row in self._session.ask(self._load, (list(ids),))}

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`.

        Requests: 1.
        """
        if isinstance(changes[0].write, Access):
            return self._counted(changes)
        changes_in_order = sorted(changes, key=lambda change: change.id)  # locks in one order
        given = [_row_of(change) for change in changes_in_order]
        statement, vectors = self._swap, list(map(_vector_of, changes_in_order))
        if any(vectors) and (at := self._vectors.at()) is not None:  # only where an index of them was declared
            statement = _statement(self._table, f"{at}vector")
            given = [(*row, vector) for row, vector in zip(given, vectors, strict=True)]
        rows = self._session.ask(statement, [list(column) for column in zip(*given, strict=True)])
        done = {row[1] for row in rows if row[0] is None}
        stored = {row[1]: row for row in rows if row[0] is not None}
        tokens = {row[0]: row[3] for row in given}
        results: list[Result] = []
        for change in changes:
            found = stored.get(change.id)
            if change.id in done:
                results.append(Applied(tokens[change.id]))
            elif found is None:  # it was not there when the statement began; perhaps somebody has made it since
                results.append(Late(None if change.over is ABSENT else ABSENT))
            elif isinstance(change.over, Known) and change.token == found[0]:
                results.append(Late())  # it was as expected then, and somebody has changed it since
            else:
                results.append(Late(known_of(found)))
        return results

    def in_doubt(self, error: DataStoreError) -> bool:
        """See `Primitives.in_doubt`."""
        return isinstance(error, BackendUnavailableError) and not isinstance(error, RefusedForNowError)

    def _counted(self, changes: Sequence[Change]) -> list[Result]:
        given = []
        for change in sorted(changes, key=lambda change: change.id):
            write = change.write
            assert isinstance(write, Access)  # noqa: S101  # all of them are: see `Primitives.swap`
            given.append((write.id, write.created_at, write.number, change.marks[0], written(write.agent), write.at))
        done = {id for (id,) in self._session.ask(self._count, [list(column) for column in zip(*given, strict=True)])}
        return [Applied() if change.id in done else Late(ABSENT) for change in changes]


def _row_of(change: Change) -> tuple[Any, ...]:
    """Return what the statement takes for a change, in the order of `_GIVEN`."""
    write, after = change.write, change.after
    seen = None if change.over is ABSENT else change.token
    row: dict[str, Any] = {"_id": write.id, "seen": seen, "how": _REMOVE}
    if isinstance(write, Delete):
        return tuple(map(row.get, _NAMES))
    assert isinstance(after, Known)  # noqa: S101  # no write begins with UNSEEN
    row |= {"token": os.urandom(8).hex(), "expiresAt": after.expires_at, "fences": change.fences or None}
    row["how"] = _TOUCH
    if isinstance(write, Put | Restore):
        row |= {"revision": written(after.revision), "updatedAt": after.updated_at, "recentWrites": after.writes}
        row |= {"updatedByAgent": written(after.updated_by_agent), "content": content_of(write)}
        json = write.json
        row["bytes"] = write.size if isinstance(write, Put) else len(json.encode())
        if row["content"] is not None and isinstance(write, Restore):
            json = encode({"sha256": write.document.value["sha256"]})
        row["value"], row["valueText"] = held(json)
        if change.metadata is not None:
            row["metadata"], row["metadataText"] = held(change.metadata)
        row["how"] = _CHANGE
        if not change.live or isinstance(write, Restore):
            row["how"] = _MAKE if seen is None else _REPLACE
            row |= {"userId": written(write.user_id), "namespace": written(write.namespace), "key": written(write.key)}
            row |= {"createdAt": after.created_at, "createdByAgent": written(after.created_by_agent)}
            row |= {"accessCount": after.access_count, "lastAccessedByAgent": written(after.last_accessed_by_agent)}
            row["lastAccessedAt"] = after.last_accessed_at
    return tuple(map(row.get, _NAMES))


def _vector_of(change: Change) -> str | None:
    vector = change.write.vector if isinstance(change.write, Put) else None
    return None if vector is None or len(vector) > 4 * MOST_DIMENSIONS else text_of(vector)


@lru_cache(maxsize=64)
def _statement(table: str, vector: str = "") -> str:
    """Return the statement that makes changes; its parameters are an array for each of `_GIVEN`.

    With the type of the column of vectors there is one more array, of these.

    It returns a row for each change that was made, without a token, and one of `STATE` for each other row that is
    there.
    """
    types = dict.fromkeys(_JSON, "jsonb") | ({"vector": vector} if vector else {})
    more = ("vector",) if vector else ()
    names = ", ".join(f'"{name}"' for name in (*_NAMES, *more))
    arrays = ", ".join(f"%s::{kind}[]" for kind in (*_GIVEN.values(), *["text" for _ in more]))
    columns = ", ".join(f'"{name}"' for name in (*_COLUMNS, *more))
    made = ", ".join(f'"{name}"::{types[name]}' if name in types else f'"{name}"' for name in (*_COLUMNS, *more))
    sets = []
    for name in (*_COLUMNS[1:], *more):
        new, old = f'g."{name}"{f"::{types[name]}" if name in types else ""}', f't."{name}"'
        if name in _ALWAYS:
            sets.append(f'"{name}" = {new}')
        elif name in (*_WITH_VALUE, *more):
            sets.append(f"\"{name}\" = CASE WHEN g.how = '{_TOUCH}' THEN {old} ELSE {new} END")
        elif name in _IF_GIVEN:
            given = f'g.how = \'{_REPLACE}\' OR coalesce(g."metadata", g."metadataText") IS NOT NULL'
            sets.append(f'"{name}" = CASE WHEN {given} THEN {new} ELSE {old} END')
        else:
            sets.append(f"\"{name}\" = CASE WHEN g.how = '{_REPLACE}' THEN {new} ELSE {old} END")
    counts = f'"recentCounts" = CASE WHEN g.how = \'{_REPLACE}\' THEN NULL ELSE t."recentCounts" END'
    same = 't."_id" = g."_id" AND coalesce(t."token", \'-\') = g.seen'
    nothing = ", ".join(["NULL::text"] * 6 + ["NULL::bigint"] + ["NULL::text"] * 6)  # the others of `STATE`
    return f"""
        WITH given ({names}) AS MATERIALIZED (SELECT * FROM unnest({arrays}) ORDER BY 1),
        made AS (
            INSERT INTO {table} ({columns}) SELECT {made} FROM given WHERE how = '{_MAKE}'
            ON CONFLICT ("_id") DO NOTHING RETURNING "_id"
        ), changed AS (
            UPDATE {table} AS t SET {", ".join(sets)}, {counts} FROM given AS g
            WHERE {same} AND g.how IN ('{_REPLACE}', '{_CHANGE}', '{_TOUCH}') RETURNING t."_id"
        ), removed AS (
            DELETE FROM {table} AS t USING given AS g WHERE {same} AND g.how = '{_REMOVE}' RETURNING t."_id"
        ), done AS (
            SELECT "_id" FROM made UNION ALL SELECT "_id" FROM changed UNION ALL SELECT "_id" FROM removed
        )
        SELECT NULL::text, "_id", {nothing} FROM done
        UNION ALL
        SELECT {STATE} FROM {table}
        WHERE "_id" IN (SELECT "_id" FROM given EXCEPT ALL SELECT "_id" FROM done)"""


def _counting_statement(table: str) -> str:
    """Return the statement that counts accesses, each with a mark, and returns the ids of those that are counted.

    The token stays, because no write depends on what is counted.
    """
    there = f"coalesce(t.\"recentCounts\", '') ~ ('^(.{{{MARK_LENGTH}}})*' || g.mark)"
    same = 't."_id" = g.id AND t."createdAt" = g.created'
    last = "g.at >= coalesce(t.\"lastAccessedAt\", '')"
    return f"""
        WITH given (id, created, number, mark, agent, at) AS MATERIALIZED (
            SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[]) ORDER BY 1
        ), counted AS (
            UPDATE {table} AS t SET "accessCount" = t."accessCount" + g.number,
                "recentCounts" = left(g.mark || coalesce(t."recentCounts", ''), {MARK_LENGTH * REMEMBERED}),
                "lastAccessedByAgent" = CASE WHEN {last} THEN g.agent ELSE t."lastAccessedByAgent" END,
                "lastAccessedAt" = CASE WHEN {last} THEN g.at ELSE t."lastAccessedAt" END
            FROM given AS g WHERE {same} AND NOT {there} RETURNING t."_id"
        )
        SELECT "_id" FROM counted UNION ALL SELECT t."_id" FROM {table} AS t JOIN given AS g ON {same} AND {there}"""
