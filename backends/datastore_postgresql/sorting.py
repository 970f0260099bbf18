"""From an order to SQL: what a row is sorted by, and whether the database can tell its place.

The store's order is that of MongoDB's types (`datastore.queries.ordering`), that of ``jsonb`` is another one. So a row
is sorted by three expressions for each path: the rank of its type, the number, and the text, by its bytes (``COLLATE
"C"``), which in UTF-8 is the order of code points. ``jsonb`` has numbers as decimals, which are in the order of the
numbers that the store has (`datastore_postgresql.queries`).

No place have values that are kept as text, arrays and objects, and names that are escaped: they are handed over, and
sorted by the store.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from datastore.places import Place
from datastore.queries.ordering import RANKS, Descending, Key
from datastore.queries.shaping import Sort
from datastore.queries.tree import Path
from datastore_postgresql.codec import ESCAPE
from datastore_postgresql.queries import TEXT, as_json, kind_of, quoted, value_at

_COLUMNS = ("createdByAgent", "createdAt", "updatedByAgent", "updatedAt", "revision", "expiresAt")
"""What may be sorted by of a record. Accesses are left out, because some are not yet written."""
_KEY = ("$key",)


class Order(NamedTuple):
    """An order as SQL."""

    looked_at: str
    """What is read of each row first, once: the kinds and the values."""
    keys: str
    """What rows are sorted by, computed of that. A rank is NULL if the database cannot tell the place."""
    is_placed: str
    """Whether it can."""
    by: str
    """What follows ``ORDER BY``, without the ids at its end."""
    behind: str = "TRUE"
    """Whether a row is after a place (`behind`), given the keys; NULL if the database cannot tell that."""


@lru_cache(maxsize=256)
def order_of(sort: Sort) -> Order | None:
    """Return an order as SQL; ``None`` if the database cannot tell it for any row, or it is that of the keys."""
    looked_at, keys, is_placed, by = list[str](), list[str](), list[str](), list[str]()
    for number, (path, direction) in enumerate(sort):
        down = " DESC" if direction < 0 else ""
        if path == _KEY:  # nothing is equal in this, so what follows makes no difference
            by.append(f'"_id"{down}')
            break
        read = _read(path)
        if read is None:
            return None
        kind, value = f"kind{number}", f"value{number}"
        looked_at.append(f"{read[0]} AS {kind}, {read[1]} AS {value}")
        true = f"WHEN 'boolean' THEN {RANKS[bool]} + ({value} = 'true')::int"
        ranks = f"WHEN 'number' THEN {RANKS[int]} WHEN 'string' THEN {RANKS[str]} {true}"
        nothing = f"WHEN 'missing' THEN {RANKS[type(None)]} WHEN 'null' THEN {RANKS[type(None)]}"
        keys.append(f"CASE {kind} {ranks} {nothing} END AS rank{number}")
        keys.append(f"CASE {kind} WHEN 'number' THEN {value}::numeric END AS number{number}")
        keys.append(f"CASE {kind} WHEN 'string' THEN ({value} {TEXT}) END COLLATE \"C\" AS text{number}")
        is_placed.append(f"rank{number} IS NOT NULL")
        by.append(", ".join(f"{key}{number}{down}" for key in ("rank", "number", "text")))
    if not looked_at:
        return None
    return Order(", ".join(looked_at), ", ".join(keys), " AND ".join(is_placed), ", ".join(by))


def behind(order: Order, sort: Sort, place: Place) -> tuple[Order, dict[str, Any]]:
    """Return an order from behind a place on, and the parameters of that.

    Args:
        order: The order as SQL.
        sort: The order.
        place: The place (`datastore.calls.ordering.place_of`).
    """
    parameters: dict[str, Any] = {}

    def bind(value: Any, kind: str) -> str:
        name = f"after{len(parameters)}"
        parameters[name] = value
        return f"%({name})s::{kind}"

    id = bind(place[-1], "text")
    condition = f'"_id" > {id}'
    for number, ((path, direction), key) in reversed(list(enumerate(zip(sort, place, strict=False)))):
        how = "<" if direction < 0 else ">"
        if path == _KEY:
            condition = f'"_id" {how} {id}'
        else:
            more, same = _compared(number, key.key if isinstance(key, Descending) else key, how, bind)
            condition = f"({more} OR ({same} AND {condition}))"
    return order._replace(behind=condition), parameters


def _compared(number: int, key: Key, how: str, bind: Callable[[Any, str], str]) -> tuple[str, str]:
    """Return the conditions that the keys of a path are after some, as ``how`` says, and that they are the same."""
    rank = key[0] + (key[1] if key[0] == RANKS[bool] else 0)
    more, same = f"rank{number} {how} {rank}", f"rank{number} = {rank}"
    if rank == RANKS[int]:
        name, constant = f"number{number}", bind(as_json(key[1]), "numeric")
    elif rank == RANKS[str]:
        name, constant = f"text{number}", bind(key[1].partition("\0")[0], "text")
        if "\0" in key[1]:  # no row has it: it is the next text after the part before
            return f"({more} OR ({same} AND {name} {how if how == '>' else '<='} {constant}))", "FALSE"
    else:
        return more, same
    return f"({more} OR ({same} AND {name} {how} {constant}))", f"({same} AND {name} = {constant})"


def _read(path: Path) -> tuple[str, str] | None:
    """Return the SQL for the kind of what a path leads to (`queries.kind_of`), and for the value as ``jsonb``."""
    name = path[0].removeprefix("$")
    if name == path[0] or (name == "metadata" and len(path) > 1):
        column, steps = ("value", path) if name == path[0] else (name, path[1:])
        value = value_at(column, steps)
        if value is None:
            return None
        return f"CASE jsonb_typeof(\"{column}\") WHEN 'array' THEN 'unknown' ELSE {kind_of(column, steps)} END", value
    if len(path) > 1 or name not in _COLUMNS:
        return None
    escaped = f"WHEN starts_with(\"{name}\", {quoted(ESCAPE)}) THEN 'unknown'"
    return f"CASE WHEN \"{name}\" IS NULL THEN 'null' {escaped} ELSE 'string' END", f'to_jsonb("{name}")'
