"""Plans kept by the shape of a query: what is left of it without its constants.

Translating a filter into SQL takes longer than looking up a few records by an index. But programs ask the same few
questions again and again, with other constants. Queries of one shape have the same SQL, and their parameters are made
from the constants (`datastore_sqlite.queries.binding_of`, `datastore_sqlite.indexes.key_binding_of`).

Only plain questions have a shape: all of some fields, each compared with one or a few scalars. Everything else is
translated each time.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from datastore.adapters.pushdown import About
from datastore.queries.outlines import MOST_VALUES, kind_of_constant
from datastore.queries.tree import Compare, Condition, Exists, Field, Filter, In, Query, asks, clauses
from datastore.turns import keep_newest

if TYPE_CHECKING:
    from datastore_sqlite.indexes import Index
    from datastore_sqlite.planning import Known

Shape: TypeAlias = tuple[Hashable, ...]

_MOST_SHAPES = 256


class Shapes:
    """The plans of the shapes that were asked for last."""

    def __init__(self) -> None:
        self._plans: dict[Hashable, tuple[Sequence[Index], Known]] = {}

    def get(self, shape: Hashable, declared: Sequence[Index]) -> Known | None:
        """Return the plan for a shape, if it was made for the indexes that are declared now."""
        indexes, known = self._plans.get(shape, (None, None))
        return known if indexes is declared else None

    def keep(self, shape: Hashable, declared: Sequence[Index], known: Known) -> None:
        """Keep a plan."""
        self._plans[shape] = declared, known
        keep_newest(self._plans, _MOST_SHAPES)


def shape_of(query: Query) -> tuple[Shape, Sequence[Any]] | None:
    """Return the shape of a query, and its constants in the order in which `datastore.adapters.pushdown` asks for them.

    Returns ``None`` if it has no shape.
    """
    if query.outline is not None and query.constants is not None:
        return (query.outline,), query.constants
    if asks(query.both):
        return None
    shape = list[Hashable]()
    pieces = pieces_of(query)
    for about, filter in pieces:
        kind = _kind(filter.condition) if isinstance(filter, Field) else None
        if kind is None or not isinstance(filter, Field):
            return None
        shape.append((about, filter.path, kind))
    return tuple(shape), [constant_of(filter.condition) for _, filter in pieces if isinstance(filter, Field)]


def pieces_of(query: Query) -> list[tuple[About, Filter]]:
    """Return the clauses of a query in the order in which `datastore.adapters.pushdown` asks for them."""
    filters: tuple[tuple[About, Filter], ...] = ("meta", query.meta), ("value", query.value)
    return [(about, clause) for about, filter in filters for clause in clauses(filter)]


def constant_of(condition: Condition) -> Any:
    """Return what conditions of one kind differ in: a scalar, or a tuple of them; ``None`` if that is nothing."""
    if isinstance(condition, Compare):
        return condition.value
    return condition.values if isinstance(condition, In) else None


def _kind(condition: Condition) -> Hashable:
    """Return what the SQL of a condition depends on; ``None`` if that is more than a few words."""
    if isinstance(condition, Compare):
        kind = kind_of_constant(condition.value)
        return None if kind is None else (condition.operator, kind)
    if isinstance(condition, In) and len(condition.values) <= MOST_VALUES:
        kinds = tuple(map(kind_of_constant, condition.values))
        return None if None in kinds else ("$in", kinds)
    return "$exists" if isinstance(condition, Exists) else None
