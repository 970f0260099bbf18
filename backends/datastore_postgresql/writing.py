"""The primitives that PostgreSQL gives to the toolkit: one statement makes all changes of a call.

Each row is changed only if it still has the token that was seen; a row that was not there is made only if there is none
still. The same statement says of the others what is stored instead, which saves the read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from datastore.adapters.changes import Applied, Change, Late, Result, Rules
from datastore.adapters.knowledge import ABSENT, Known
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED
from datastore.backend import Access, Delete, Put, Restore
from datastore.contents import content_of
from datastore.revisions import new_revision
from datastore.values import encode
from datastore_postgresql.client import Row, Session
from datastore_postgresql.codec import STATE, all_written, is_held, known_of, written
from datastore_postgresql.failures import NAME
from datastore_postgresql.vectors import MOST_DIMENSIONS, OF_VECTORS, Vectors, text_of

_TYPES = {"content": "bytea", "bytes": "bigint", "accessCount": "bigint"}
"""The types of what changes take, where that is not text."""
_MAKE, _REPLACE, _CHANGE, _TOUCH, _REMOVE = "make", "replace", "change", "touch", "remove"
_WHOLE, _VALUED = frozenset((_MAKE, _REPLACE)), frozenset((_MAKE, _REPLACE, _CHANGE))
_KEPT = frozenset((_REPLACE, _CHANGE, _TOUCH))
_COLUMNS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("token", "expiresAt", "fences"), _KEPT | {_MAKE}),
    **dict.fromkeys(("revision", "updatedAt", "updatedByAgent", "recentWrites"), _VALUED),
    **dict.fromkeys(("value", "valueText", "content", "bytes", "metadata", "metadataText"), _VALUED),
    **dict.fromkeys(OF_VECTORS, _VALUED),
    **dict.fromkeys(("userId", "namespace", "key", "createdAt", "createdByAgent"), _WHOLE),
    **dict.fromkeys(("accessCount", "lastAccessedByAgent", "lastAccessedAt"), _WHOLE),
}
"""By which kinds of changes a column is written."""
_METADATA = frozenset(("metadata", "metadataText"))
"""Without any, a `_CHANGE` leaves what there is."""
_TOKEN_LENGTH = 16
_id_of = attrgetter("write.id")
_OFTEN_THE_SAME = (_COLUMNS.keys() | {"how", "seen"}) - {"revision", "recentWrites", "value", "bytes"}
"""What changes of one call often have in common, or do not have. The server then parses it once."""
_JSON = ("value", "metadata")
_NOTHING = ", ".join(["NULL::text"] * 6 + ["NULL::bigint"] + ["NULL::text"] * 6)
_DONE = f'SELECT NULL::text, "_id", {_NOTHING} FROM done UNION ALL'
"""Returns a row like those of `STATE` for each change that was made, without a token."""


class Records(Primitives):
    """The records of one table, as the toolkit sees them."""

    name = NAME
    rules = Rules(replaces_whole=False)
    counting = Counting.UNSEEN
    counts_apart = True

    def __init__(self, session: Session, table: str, vectors: Vectors) -> None:
        self._session = session
        self._table = table
        self._vectors = vectors
        self._load = f'SELECT {STATE} FROM {table} WHERE "_id" = ANY(%s::text[])'
        self._count = _counting_statement(table)

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`.

        Requests: 1.
        """
        return {row[1]: known_of(row) for row in self._session.ask(self._load, (list(ids),))}

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`.

        Requests: 1; 2 for a set that is alone, unconditional, and over another record than was remembered.
        """
        if isinstance(changes[0].write, Access):
            return self._counted(changes)
        token = new_revision()[:_TOKEN_LENGTH]
        rows = self._one(changes[0], token) if len(changes) == 1 else self._some(changes, token)
        applied = Applied(token)
        stored = {row[1]: row for row in rows if row and row[0] is not None}
        if not stored and len(rows) == len(changes):
            return [applied] * len(changes)
        done = {row[1] for row in rows if row[0] is None}
        results: list[Result] = []
        for change in changes:
            found = stored.get(change.id)
            if change.id in done:
                results.append(applied)
            elif found is None:  # it was not there when the statement began; perhaps somebody has made it since
                results.append(Late(None if change.over is ABSENT else ABSENT))
            elif isinstance(change.over, Known) and change.token == found[0]:
                results.append(Late())  # it was as expected then, and somebody has changed it since
            else:
                results.append(Late(known_of(found)))
        return results

    def _one(self, change: Change, token: str) -> list[Row]:
        """Make one change, and return what `_statement` does; of a plain one, an empty row if it was made."""
        how, row = _row_of(change, token)
        is_plain = how == _CHANGE and change.write.if_revision is None  # type: ignore[union-attr]  # a `_CHANGE` is of a `Put` (`_row_of`)
        vector = self._vectors.at() if "vector" in row else None  # only where an index of them was declared
        statement = _statement_for_one(self._table, how, tuple(row), vector, is_plain=is_plain)
        rows = self._session.ask(statement, row)
        if is_plain and not rows:
            rows = self._session.ask(self._load, ([change.id],))
        return rows

    def _some(self, changes: Sequence[Change], token: str) -> list[Row]:
        """Make several changes, and return what `_statement` does."""
        changes = sorted(changes, key=_id_of)  # locks in one order: the server takes arrays from front to back
        number = len(changes)
        columns = _plain_columns(changes, token)
        if columns is None:
            given = [_row_of(change, token) for change in changes]
            columns = _columns_of([row for _, row in given])
            columns["how"] = [how for how, _ in given]
        hows = frozenset(columns["how"])
        same = [
            name for name, column in columns.items() if name in _OFTEN_THE_SAME and column.count(column[0]) == number
        ]
        parameters: dict[str, Any] = columns | {name: columns[name][0] for name in same}
        vector = self._vectors.at() if "vector" in columns else None
        null = [name for name in _names(hows) if parameters.get(name) is None]
        is_plain = hows == {_CHANGE} and all(change.write.if_revision is None for change in changes)  # type: ignore[union-attr]  # as in `_one`
        statement = _statement(self._table, hows, (*same, *null), tuple(null), vector, is_plain=is_plain)
        found = self._session.ask(statement, parameters)
        if is_plain and len(found) == number:
            return [()] * number
        if is_plain:
            done = {id for (id,) in found}
            found = [(None, id) for id in done]
            found += self._session.ask(self._load, ([one.id for one in changes if one.id not in done],))
        return found

    def _counted(self, changes: Sequence[Change]) -> list[Result]:
        given = []
        for change in sorted(changes, key=_id_of):
            write = change.write
            assert isinstance(write, Access)  # noqa: S101  # all of them are: see `Primitives.swap`
            given.append((write.id, write.created_at, write.number, change.marks[0], written(write.agent), write.at))
        done = {id for (id,) in self._session.ask(self._count, [list(column) for column in zip(*given, strict=True)])}
        if len(done) == len(changes):
            return [Applied()] * len(changes)
        return [Applied() if change.id in done else Late(ABSENT) for change in changes]


def _row_of(change: Change, token: str) -> tuple[str, dict[str, Any]]:
    """Return the kind of a change, and what the statement takes for it, with the token that it leaves.

    What is not there is NULL. Each write comes here, so what most do not have costs them as little as can be.
    """
    write, after = change.write, change.after
    row: dict[str, Any] = {"_id": write.id}
    if isinstance(change.over, Known):
        row["seen"] = change.over.token
    if isinstance(write, Delete):
        return _REMOVE, row
    assert isinstance(after, Known)  # noqa: S101  # a statement says what it finds, so no write begins with UNSEEN
    row["token"] = token
    if after.expires_at is not None:
        row["expiresAt"] = after.expires_at
    if after.fences:
        row["fences"] = after.fences
    if not isinstance(write, Put) and not isinstance(write, Restore):
        return _TOUCH, row
    json, content = write.json, content_of(write)
    if content is not None:
        row["content"] = content
        row["bytes"] = write.size if isinstance(write, Put) else len(json.encode())
        if isinstance(write, Restore):
            json = encode({"sha256": write.document.value["sha256"]})
    row["value" if is_held(json) else "valueText"] = json
    row["revision"], row["updatedAt"], row["recentWrites"] = written(after.revision), after.updated_at, after.writes
    if after.updated_by_agent is not None:
        row["updatedByAgent"] = written(after.updated_by_agent)
    if (metadata := change.metadata) is not None:
        row["metadata" if is_held(metadata) else "metadataText"] = metadata
    if isinstance(write, Put) and write.vector is not None and len(write.vector) <= 4 * MOST_DIMENSIONS:
        row["vector"], row["vectorRevision"] = text_of(write.vector), row["revision"]
    if change.live and isinstance(write, Put):
        return _CHANGE, row
    row["userId"], row["namespace"], row["key"] = map(written, (write.user_id, write.namespace, write.key))
    row["createdAt"], row["createdByAgent"] = after.created_at, written(after.created_by_agent)
    row["accessCount"], row["lastAccessedAt"] = after.access_count, after.last_accessed_at
    row["lastAccessedByAgent"] = written(after.last_accessed_by_agent)
    return _REPLACE if "seen" in row else _MAKE, row


def _plain_columns(changes: Sequence[Change], token: str) -> dict[str, list[Any]] | None:
    """Return what `_row_of` returns for several changes, by name, if they are puts of plain values over live records.

    Most batches are, and all fields of many tuples turn into columns in a quarter of the time that row after row takes.

    Returns:
        ``None`` if one is another kind of change, or has metadata, a content or a vector.
    """
    writes, overs, afters, _, lives, *_ = zip(*changes, strict=True)
    if not all(lives) or set(map(type, writes)) != {Put}:
        return None
    number = len(changes)
    put: Any = Put(*map(list, zip(*writes, strict=True)))  # type: ignore[arg-type]  # each field holds a column
    if any(put.metadata) or put.content.count(None) < number or put.vector.count(None) < number:
        return None
    columns = {"_id": put.id, "seen": [over.token for over in overs], "token": [token] * number}
    expiries, fences = [after.expires_at for after in afters], [after.fences for after in afters]
    if expiries.count(None) < number:
        columns["expiresAt"] = expiries
    if any(fences):
        columns["fences"] = [one or None for one in fences]
    held = list(map(is_held, put.json))
    if any(held):
        columns["value"] = put.json if all(held) else _where(held, put.json)
    if not all(held):
        columns["valueText"] = _where([not one for one in held], put.json)
    columns["revision"], columns["updatedAt"] = all_written(put.revision), put.at
    columns["recentWrites"] = [after.writes for after in afters]
    columns["updatedByAgent"] = all_written(put.agent)
    columns["how"] = [_CHANGE] * number
    return columns


def _where(wanted: Sequence[bool], texts: Sequence[str]) -> list[str | None]:
    return [text if is_wanted else None for text, is_wanted in zip(texts, wanted, strict=True)]


def _columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return what rows hold, by name."""
    names = list(rows[0])
    if any(list(row) != names for row in rows):
        names = list(dict.fromkeys([name for row in rows for name in row]))
        return {name: [row.get(name) for row in rows] for name in names}
    return dict(zip(names, map(list, zip(*[row.values() for row in rows], strict=True)), strict=True))


@lru_cache
def _names(hows: frozenset[str]) -> tuple[str, ...]:
    """Return what changes of some kinds take."""
    return ("_id", *(["seen"] if hows != {_MAKE} else []), *(name for name in _COLUMNS if _COLUMNS[name] & hows))


@lru_cache(maxsize=256)
def _statement_for_one(table: str, how: str, given: tuple[str, ...], vector: str | None, *, is_plain: bool) -> str:
    """Return the statement that makes one change; see `_statement`.

    Args:
        table: The table.
        how: The kind of the change.
        given: What is not NULL.
        vector: As for `_statement`.
        is_plain: As for `_statement`.
    """
    names = _names(frozenset((how,)))
    return _statement(
        table, frozenset((how,)), names, tuple([name for name in names if name not in given]), vector, is_plain=is_plain
    )


@lru_cache(maxsize=256)
def _statement(
    table: str,
    hows: frozenset[str],
    same: tuple[str, ...],
    null: tuple[str, ...],
    vector: str | None,
    *,
    is_plain: bool,
) -> str:
    """Return the statement that makes changes of some kinds: the server parses and plans no more than they need.

    It returns a row for each change that was made, without a token, and one of `STATE` for each other row that is
    there. Its parameters are what `_names` has. The size of a value is not among them unless it has content.

    Args:
        table: The table.
        hows: The kinds.
        same: What is the same for all changes: the parameter is this, and not an array. All of a single change is.
        null: What is NULL for all changes, and no parameter.
        vector: Where the type of vectors is, to store these as well (`Vectors.at`); ``None`` not to.
        is_plain: Whether it says nothing of changes that were not made, and only the ids of the others. Of a single one
            it then returns nothing: the server tells how many rows it has changed.
    """
    left_out = _METADATA if _METADATA.issubset(null) and hows == {_CHANGE} else frozenset[str]()
    names = [name for name in _names(hows) if name not in left_out and (vector or name not in OF_VECTORS)]
    if len(hows) > 1:
        names.append("how")
    arrays = [name for name in names if name not in same]
    types = {name: _TYPES.get(name, "text") for name in names}
    raw = {name: f"%({name})s::{types[name]}" if name in same else f'g."{name}"' for name in names}
    raw |= {name: f"NULL::{types[name]}" for name in names if name in null}
    if "bytes" in names:
        size = f"octet_length({_first([raw[name] for name in ('value', 'valueText') if name not in null])})"
        raw["bytes"] = size if "bytes" in null else _first([raw["bytes"], size])
    further = dict.fromkeys(_JSON, "::jsonb") | {"vector": f"::{vector}vector"}
    cast = {name: f"{raw[name]}{further.get(name, '')}" for name in names}
    columns = [name for name in names if name not in ("_id", "how", "seen")]
    unnested = f"unnest({', '.join(f'%({name})s::{types[name]}[]' for name in arrays)})"
    source = "given AS g" if arrays else "(SELECT) AS g"
    if arrays and is_plain:  # without the temporary table, which each value is copied into and out of again
        source = f"{unnested} AS g ({_listed(arrays)})"

    def of(*some: str) -> str:
        """Return the condition for the changes of some kinds."""
        if hows <= set(some):
            return "TRUE"
        return f"{raw['how']} IN ({', '.join(repr(how) for how in sorted(hows.intersection(some)))})"

    def new(name: str) -> str:
        """Return what a column of a row that stays becomes."""
        when = of(*_COLUMNS[name])
        if name in _METADATA and _CHANGE in hows:
            when = f"coalesce({raw['metadata']}, {raw['metadataText']}) IS NOT NULL"
            if _REPLACE in hows:
                when = f"{of(_REPLACE)} OR {when}"
        return cast[name] if when == "TRUE" else f'CASE WHEN {when} THEN {cast[name]} ELSE t."{name}" END'

    parts = {}
    if _MAKE in hows:
        whole = ["_id", *columns]
        made = f"INSERT INTO {table} ({_listed(whole)}) SELECT {', '.join(cast[name] for name in whole)} FROM {source}"
        parts["made"] = f'{made} WHERE {of(_MAKE)} ON CONFLICT DO NOTHING RETURNING "_id"'
    if kept := hows & _KEPT:
        sets = [f'"{name}" = {new(name)}' for name in columns if _COLUMNS[name] & kept]
        if _REPLACE in kept:
            sets.append(f'"recentCounts" = CASE WHEN {of(_REPLACE)} THEN NULL ELSE t."recentCounts" END')
        parts["changed"] = f"UPDATE {table} AS t SET {', '.join(sets)} FROM {source} WHERE {of(*_KEPT)}"
    if _REMOVE in hows:
        parts["removed"] = f"DELETE FROM {table} AS t USING {source} WHERE {of(_REMOVE)}"
    for name in parts.keys() - {"made"}:
        parts[name] += f' AND t."_id" = {raw["_id"]} AND coalesce(t."token", \'-\') = {raw["seen"]} RETURNING t."_id"'
    if is_plain:
        return parts["changed"] if arrays else parts["changed"].partition(" RETURNING ")[0]
    given = f"given ({_listed(arrays)}) AS MATERIALIZED (SELECT * FROM {unnested})" if arrays else ""
    ids = f"SELECT {raw['_id']} FROM {source}"
    done = " UNION ALL ".join(f'SELECT "_id" FROM {part}' for part in parts)
    steps = [given] * bool(arrays) + [f"{name} AS ({part})" for name, part in parts.items()]
    return f"""
        WITH {", ".join(steps)}, done AS ({done}) {_DONE}
        SELECT {STATE} FROM {table} WHERE "_id" IN ({ids} EXCEPT ALL SELECT "_id" FROM done)"""


def _first(expressions: Sequence[str]) -> str:
    """Return an expression for the first of some that is not NULL."""
    return f"coalesce({', '.join(expressions)})" if len(expressions) > 1 else "".join(expressions) or "NULL"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _counting_statement(table: str) -> str:
    """Return the statement that counts accesses, each with a mark, and returns the ids of those that are counted.

    The token stays, because no write depends on what is counted.
    """
    counts = "coalesce(t.\"recentCounts\", '')"
    # Looking for the mark anywhere takes a fraction of looking for it at its places, and hardly any record has it.
    there = f"strpos({counts}, g.mark) > 0 AND {counts} ~ ('^(.{{{MARK_LENGTH}}})*' || g.mark)"
    same = 't."_id" = g.id AND t."createdAt" = g.created'
    last = "g.at >= coalesce(t.\"lastAccessedAt\", '')"
    return f"""
        WITH given (id, created, number, mark, agent, at) AS MATERIALIZED (
            SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[])
        ), counted AS (
            UPDATE {table} AS t SET "accessCount" = t."accessCount" + g.number,
                "recentCounts" = left(g.mark || coalesce(t."recentCounts", ''), {MARK_LENGTH * REMEMBERED}),
                "lastAccessedByAgent" = CASE WHEN {last} THEN g.agent ELSE t."lastAccessedByAgent" END,
                "lastAccessedAt" = CASE WHEN {last} THEN g.at ELSE t."lastAccessedAt" END
            FROM given AS g WHERE {same} AND NOT ({there}) RETURNING t."_id"
        )
        SELECT "_id" FROM counted UNION ALL SELECT t."_id" FROM {table} AS t JOIN given AS g ON {same} AND {there}"""
