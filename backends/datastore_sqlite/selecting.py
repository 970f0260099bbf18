"""The text of statements that find documents: by an index or in a range of ids, and which rows they hand over."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from datastore.backend import Fields
from datastore.queries.tree import Path, asks
from datastore_sqlite.indexes import LONG_TEXT, Index, Key, Range, Search
from datastore_sqlite.schema import TABLE
from datastore_sqlite.statements import COLUMNS

if TYPE_CHECKING:
    from datastore_sqlite.planning import SqlitePlan

ABOUT = ("key", "metadata", "createdByAgent", "createdAt", "updatedAt", "revision", "expiresAt")
"""The columns that a closer look at metadata needs."""
WITHIN = "_id >= CAST(:start AS TEXT) AND _id < CAST(:end AS TEXT)"


class SqlCondition(NamedTuple):
    """A condition in SQL."""

    full: str
    """The expression that looks into the JSON."""
    by_key: str
    """One with the same meaning that looks at the key first, if the condition is on a field of the index in use."""
    path: Path | None = None
    """The field, if the search uses its keys."""
    is_decided: bool = False
    """Whether it holds where the key is one of those to look up, if that is an integer or a short text."""


def may_hold(expressions: Sequence[str]) -> str:
    """Return the condition that a row may match some expressions, and so is worth reading."""
    return " AND ".join([f"({one}) IS NOT 0" for one in expressions]) or "1"


def holds(expressions: Sequence[str]) -> str:
    """Return the condition that a row certainly matches some expressions."""
    return " AND ".join([f"({one}) IS 1" for one in expressions]) or "1"


def columns_of(plan: SqlitePlan, fields: Fields, sure: str) -> str:
    """Return the columns to select, with the one that says whether the database is sure of a row."""
    # If only keys are asked for, a row comes with its value if that needs a closer look, and otherwise with NULL.
    unsure = sure if fields >= Fields.VALUE else f"CASE WHEN {sure} THEN NULL ELSE value END"
    return ", ".join([COLUMNS[fields], unsure, *(ABOUT if asks(plan.decided.meta) else ())])


_NAMED = re.compile(r"""'[^']*'|"[^"]*"|:([a-z][a-z0-9_]*)""")
"""A parameter, or anything in quotes, where a colon begins none. A doubled quote looks like two texts in a row."""


def _by_place(statement: str, names: Sequence[str]) -> str:
    """Return a statement whose parameters have numbers instead of names: SQLite finds them in less time."""
    places = {name: f"?{number}" for number, name in enumerate(names, 1)}
    return _NAMED.sub(lambda found: found[0] if found[1] is None else places[found[1]], statement)


def first_page_statement(
    plan: SqlitePlan,
    width: int,
    ranged: bool,
    keys: Sequence[Key],
    shape: Hashable,
    fields: Fields,
    *,
    reverse: bool,
) -> str:
    """Return the statement for a first page, whose parameters are given by their places.

    Args:
        plan: A plan of the shape that is asked for.
        width: How many fields have their keys looked up.
        ranged: Whether the keys of the next field are in a range.
        keys: `datastore_sqlite.planning.Keys.keys`.
        shape: `datastore_sqlite.planning.Keys.shape`.
        fields: What to select.
        reverse: Whether ids are read in the opposite direction, unless there is a range.
    """
    search, names, left = cast("Search", plan.search), list[str](), list(keys)
    probes = [(width, False)] * (len(keys) // width if not ranged else 0)
    if ranged:
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
        expressions = [_expression(search, one, found, number) for one in plan.conditions]
        conditions = [
            *_keys_are(search.index, missing, f"key{number}_"),
            *_bounded(search.index, missing, tuple(bounds)),
            WITHIN,
            may_hold(expressions),
        ]
        columns = columns_of(plan, fields, holds(expressions))
        if not ranged:
            parts.append(_select(columns, search.index, conditions))
            continue
        one = _select(f"{columns}, {number}", search.index, conditions)
        # SQLite would ignore an order without a limit. One more row is for `after_some`.
        parts.append(f"SELECT * FROM ({one} {_by_key(search.index, missing)} LIMIT :limit + 1)")
    statement = " UNION ALL ".join(parts)
    if not ranged:
        statement += f" ORDER BY _id{' DESC' if reverse else ''} LIMIT :limit"
    # The last one is in every statement: SQLite counts parameters up to the last one that is there.
    return _by_place(statement, ["user", "namespace", "start", "end", *plan.parameters, *names, "limit"])


def first_of_range_statement(plan: SqlitePlan, fields: Fields, *, reverse: bool) -> str:
    """Return the statement for a first page by the range of ids, whose parameters are given by their places.

    They are those of `first_page_statement`, although it needs no user and no namespace.
    """
    statement = (
        f"SELECT {columns_of(plan, fields, plan.sure)} FROM {TABLE} WHERE {WITHIN} AND {plan.where}"
        f" ORDER BY _id{' DESC' if reverse else ''} LIMIT :limit"
    )
    return _by_place(statement, ["user", "namespace", "start", "end", *plan.parameters, "limit"])


def _expression(search: Search, condition: SqlCondition, found: Sequence[Key], number: int) -> str:
    """Return the expression of a condition for the rows of a probe, whose first keys are known."""
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


@lru_cache(512)  # making the text takes as long as carrying it out
def search_statement(
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


def statement_by_key(
    columns: str, index: Index, probes: Sequence[tuple[tuple[bool, ...], tuple[str, ...]]], within: str, where: str
) -> str:
    """Return the statement of probes one after another, each in the order of its index keys.

    Args:
        columns: What to select; the number of the probe comes in addition.
        index: The index to look in.
        probes: For each probe ``missing`` and ``bounds`` as in `search_statement`.
        within: Which ids.
        where: Which rows.
    """
    parts = list[str]()
    for number, (missing, bounds) in enumerate(probes):
        conditions = [*_keys_are(index, missing, f"key{number}_"), *_bounded(index, missing, bounds), within, where]
        one = f"{_select(f'{columns}, {number}', index, conditions)} {_by_key(index, missing)} LIMIT :limit + 1"
        # SQLite would ignore an order without a limit. One more row is for `after_some`.
        parts.append(f"SELECT * FROM ({one})")
    return " UNION ALL ".join(parts)


def _bounded(index: Index, missing: tuple[bool, ...], bounds: tuple[str, ...]) -> list[str]:
    """Return the bounds of the key of the next field as conditions."""
    return [f"{index.expressions[len(missing)]} {bound}" for bound in bounds]


def _by_key(index: Index, missing: tuple[bool, ...]) -> str:
    """Return the order of the keys of the fields that are left, and then of the ids."""
    return f"ORDER BY {', '.join([*index.expressions[len(missing) :], '_id'])}"


def merging_statement(
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


def bounds_of(range: Range, parameters: dict[str, Any], suffix: str = "") -> tuple[str, ...]:
    """Return the bounds of a key as SQL, and add their parameters, whose names end with ``suffix``."""
    bounds: list[str] = []
    low, above = range.low, range.above
    if low is None and above:  # after rows without the field: all rows with it
        low, above = float("-inf"), False
    if low is not None:
        parameters[f"low{suffix}"] = low
        bounds.append(f"{'>' if above else '>='} :low{suffix}")
    if range.high is not None:
        parameters[f"high{suffix}"] = range.high
        bounds.append(f"{'<' if range.open else '<='} :high{suffix}")
    return tuple(bounds)
