"""The primitives that PostgreSQL gives to the toolkit: one statement makes all changes of a call.

Each row is changed only if it still has the token that was seen; a row that was not there is made only if there is none
still. The same statement says of the others what is stored instead, which saves the read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from psycopg.types.numeric import Int8

from datastore.adapters.changes import Applied, Change, Late, Result, Rules
from datastore.adapters.knowledge import ABSENT, Known
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED
from datastore.backend import Access, Delete, Put, Restore
from datastore.contents import content_of
from datastore.values import encode
from datastore_postgresql.client import Session
from datastore_postgresql.codec import STATE, held, known_of, written
from datastore_postgresql.failures import NAME
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
    "vector": "text",
}
"""What changes take: ``how`` is one of those below, ``seen`` the token that a row must have; the others are columns."""
_MAKE, _REPLACE, _CHANGE, _TOUCH, _REMOVE = "make", "replace", "change", "touch", "remove"
_WHOLE, _VALUED = frozenset((_MAKE, _REPLACE)), frozenset((_MAKE, _REPLACE, _CHANGE))
_KEPT = frozenset((_REPLACE, _CHANGE, _TOUCH))
_COLUMNS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("token", "expiresAt", "fences"), _KEPT | {_MAKE}),
    **dict.fromkeys(("revision", "updatedAt", "updatedByAgent", "recentWrites"), _VALUED),
    **dict.fromkeys(("value", "valueText", "content", "bytes", "metadata", "metadataText", "vector"), _VALUED),
    **dict.fromkeys(("userId", "namespace", "key", "createdAt", "createdByAgent"), _WHOLE),
    **dict.fromkeys(("accessCount", "lastAccessedByAgent", "lastAccessedAt"), _WHOLE),
}
"""By which kinds of changes a column is written."""
_IF_GIVEN = ("metadata", "metadataText")
"""Without new metadata a `_CHANGE` leaves what there is."""
_JSON = ("value", "metadata")
_NOTHING = ", ".join(["NULL::text"] * 6 + ["NULL::bigint"] + ["NULL::text"] * 6)
_DONE = f'SELECT NULL::text, "_id", {_NOTHING} FROM done UNION ALL'
"""Returns a row like those of `STATE` for each change that was made, without a token."""


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
        vector = None
        if any("vector" in row for row in given):
            vector = self._vectors.at()  # only where an index of them was declared
        parameters: list[Any]
        if len(given) == 1:
            (row,) = given
            statement = _statement_of_one(self._table, row["how"], tuple(row), vector)
            parameters = [row[name] for name in statement.names]
        else:
            statement = _statement(self._table, frozenset(row["how"] for row in given), vector)
            parameters = [[row.get(name) for row in given] for name in statement.names]
        rows = self._session.ask(statement.text, parameters)
        done = {row[1] for row in rows if row[0] is None}
        stored = {row[1]: row for row in rows if row[0] is not None}
        tokens = {row["_id"]: row.get("token") for row in given}
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

    def _counted(self, changes: Sequence[Change]) -> list[Result]:
        given = []
        for change in sorted(changes, key=lambda change: change.id):
            write = change.write
            assert isinstance(write, Access)  # noqa: S101  # all of them are: see `Primitives.swap`
            given.append((write.id, write.created_at, write.number, change.marks[0], written(write.agent), write.at))
        done = {id for (id,) in self._session.ask(self._count, [list(column) for column in zip(*given, strict=True)])}
        return [Applied() if change.id in done else Late(ABSENT) for change in changes]


def _row_of(change: Change) -> dict[str, Any]:
    """Return what the statement takes for a change."""
    write, after = change.write, change.after
    seen = None if change.over is ABSENT else change.token
    row: dict[str, Any] = {"_id": write.id, "seen": seen, "how": _REMOVE}
    if isinstance(write, Delete):
        return row
    assert isinstance(after, Known)  # noqa: S101  # no write begins with UNSEEN
    row |= {"token": os.urandom(8).hex(), "expiresAt": after.expires_at, "fences": change.fences or None}
    row["how"] = _TOUCH
    if isinstance(write, Put | Restore):
        row |= {"revision": written(after.revision), "updatedAt": after.updated_at, "recentWrites": after.writes}
        row |= {"updatedByAgent": written(after.updated_by_agent), "content": content_of(write)}
        json = write.json
        row["bytes"] = Int8(write.size if isinstance(write, Put) else len(json.encode()))
        if row["content"] is not None and isinstance(write, Restore):
            json = encode({"sha256": write.document.value["sha256"]})
        row["value"], row["valueText"] = held(json)
        if change.metadata is not None:
            row["metadata"], row["metadataText"] = held(change.metadata)
        if (vector := _vector_of(change)) is not None:
            row["vector"] = vector
        row["how"] = _CHANGE
        if not change.live or isinstance(write, Restore):
            row["how"] = _MAKE if seen is None else _REPLACE
            row |= {"userId": written(write.user_id), "namespace": written(write.namespace), "key": written(write.key)}
            row |= {"createdAt": after.created_at, "createdByAgent": written(after.created_by_agent)}
            row |= {
                "accessCount": Int8(after.access_count),
                "lastAccessedByAgent": written(after.last_accessed_by_agent),
            }
            row["lastAccessedAt"] = after.last_accessed_at
    return row


def _vector_of(change: Change) -> str | None:
    vector = change.write.vector if isinstance(change.write, Put) else None
    return None if vector is None or len(vector) > 4 * MOST_DIMENSIONS else text_of(vector)


class _Statement(NamedTuple):
    """A statement that makes changes."""

    text: str
    names: tuple[str, ...]
    """What its parameters are: the value of each, or an array of each."""


@lru_cache(maxsize=256)
def _statement_of_one(table: str, how: str, given: tuple[str, ...], vector: str | None = None) -> _Statement:
    """Return the statement that makes one change. It returns the same as `_statement`, in half the time.

    Args:
        table: The table.
        how: The kind of the change.
        given: What is given for it.
        vector: As for `_statement`.
    """
    columns = [name for name in given if name in _COLUMNS and (vector is not None or name != "vector")]
    places = {name: f"%s::{vector}vector" if name == "vector" else "%s" for name in columns}
    same = 'WHERE "_id" = %s AND coalesce("token", \'-\') = %s'
    names = (*columns, "_id", "seen")
    if how == _MAKE:
        names = (*columns, "_id")
        done = (
            f"INSERT INTO {table} ({_listed(names)}) VALUES ({', '.join(places.values())}, %s) ON CONFLICT DO NOTHING"
        )
    elif how == _REMOVE:
        names = ("_id", "seen")
        done = f"DELETE FROM {table} {same}"
    else:
        sets = [f'"{name}" = {place}' for name, place in places.items()]
        if how == _REPLACE:
            sets.append('"recentCounts" = NULL')
        done = f"UPDATE {table} SET {', '.join(sets)} {same}"
    text = f"""
        WITH done AS ({done} RETURNING "_id") {_DONE}
        SELECT {STATE} FROM {table} WHERE "_id" = %s AND NOT EXISTS (SELECT FROM done)"""
    return _Statement(text, (*names, "_id"))


@lru_cache(maxsize=256)
def _statement(table: str, hows: frozenset[str], vector: str | None = None) -> _Statement:
    """Return the statement that makes changes of some kinds: the server parses and plans no more than they need.

    It returns a row for each change that was made, without a token, and one of `STATE` for each other row that is
    there.

    Args:
        table: The table.
        hows: The kinds.
        vector: Where the type of vectors is, to store these as well (`Vectors.at`); ``None`` not to.
    """
    kept = hows & _KEPT
    columns = [name for name, takers in _COLUMNS.items() if takers & hows and (vector is not None or name != "vector")]
    names = ("_id", *(["how"] if len(hows) > 1 else []), *(["seen"] if hows != {_MAKE} else []), *columns)
    types = dict.fromkeys(_JSON, "jsonb") | {"vector": f"{vector}vector"}
    arrays = ", ".join(f"%s::{_GIVEN[name]}[]" for name in names)
    cast = {name: f'g."{name}"{f"::{types[name]}" if name in types else ""}' for name in ("_id", *columns)}

    def of(*some: str) -> str:
        """Return the condition for the changes of some kinds."""
        return (
            "TRUE"
            if hows <= set(some)
            else f"g.how IN ({', '.join(repr(how) for how in sorted(hows.intersection(some)))})"
        )

    parts = {}
    if _MAKE in hows:
        made = f"INSERT INTO {table} ({_listed(cast)}) SELECT {', '.join(cast.values())} FROM given AS g"
        parts["made"] = f'{made} WHERE {of(_MAKE)} ON CONFLICT ("_id") DO NOTHING RETURNING "_id"'
    same = 't."_id" = g."_id" AND coalesce(t."token", \'-\') = g.seen'
    if kept:
        sets = [f'"{name}" = {_new(name, cast[name], kept, of)}' for name in columns if _COLUMNS[name] & kept]
        if _REPLACE in kept:
            counts = f'CASE WHEN {of(_REPLACE)} THEN NULL ELSE t."recentCounts" END'
            sets.append(f'"recentCounts" = {counts}')
        changed = f"UPDATE {table} AS t SET {', '.join(sets)} FROM given AS g"
        parts["changed"] = f'{changed} WHERE {same} AND {of(*_KEPT)} RETURNING t."_id"'
    if _REMOVE in hows:
        removed = f"DELETE FROM {table} AS t USING given AS g"
        parts["removed"] = f'{removed} WHERE {same} AND {of(_REMOVE)} RETURNING t."_id"'
    done = " UNION ALL ".join(f'SELECT "_id" FROM {part}' for part in parts)
    text = f"""
        WITH given ({_listed(names)}) AS MATERIALIZED (SELECT * FROM unnest({arrays}) ORDER BY 1),
        {", ".join(f"{name} AS ({part})" for name, part in parts.items())}, done AS ({done}) {_DONE}
        SELECT {STATE} FROM {table}
        WHERE "_id" IN (SELECT "_id" FROM given EXCEPT ALL SELECT "_id" FROM done)"""
    return _Statement(text, names)


def _new(name: str, given: str, kept: frozenset[str], of: Callable[..., str]) -> str:
    """Return what a column of a row that stays becomes."""
    when = of(*_COLUMNS[name])
    if name in _IF_GIVEN and _CHANGE in kept:
        when = 'coalesce(g."metadata", g."metadataText") IS NOT NULL'
        if _REPLACE in kept:
            when = f"{of(_REPLACE)} OR {when}"
    return given if when == "TRUE" else f'CASE WHEN {when} THEN {given} ELSE t."{name}" END'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


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
