"""From an order to SQL: what a row is sorted by, and whether the database can tell its place.

The store's order is that of MongoDB's types (`datastore.queries.ordering`), that of ``jsonb`` is another one. So a row
is sorted by three expressions for each path: the rank of its type, the number, and the text, by its bytes (``COLLATE
"C"``), which in UTF-8 is the order of code points. ``jsonb`` has numbers as decimals, which are in the order of the
numbers that the store has (`datastore_postgresql.queries`).

No place have values that are kept as text, arrays and objects, and names that are escaped: they are handed over, and
sorted by the store.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from datastore.queries.ordering import RANKS
from datastore.queries.shaping import Sort
from datastore.queries.tree import Path
from datastore_postgresql.codec import ESCAPE
from datastore_postgresql.queries import TEXT, kind_of, quoted, value_at

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
