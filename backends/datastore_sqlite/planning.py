"""Planning: from a query to the plan by which its pages are read, and plans kept for the next query of their shape."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from datastore.adapters.pushdown import push, query_of
from datastore.backend import Fields, IdRange, Plan, Query
from datastore.ids import scope_of
from datastore.queries.tree import Condition, Field, Path, asks
from datastore_sqlite.indexes import (
    ANYTHING,
    MERGED,
    Index,
    Key,
    Range,
    Search,
    best_search,
    by_key,
    key_binding_of,
    key_parameters_of,
    keys_by_path,
    narrower,
    points_of,
    range_of,
    search,
)
from datastore_sqlite.queries import Sql, binding_of
from datastore_sqlite.selecting import SqlCondition, first_of_range_statement, first_page_statement, holds, may_hold
from datastore_sqlite.shapes import Shapes, pieces_of, shape_of
from datastore_sqlite.short_pages import ShortPage, short_page


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlitePlan(Plan):
    """A plan, with what `read_page` needs of it.

    Attributes:
        where: The condition that a row may match and so is worth reading.
        sure: The SQL that says whether a row certainly matches what the database decides.
        parameters: The parameters of both.
        search: Where to look in an index; ``None`` for the range of ids.
        decided: The part of the query that the database decides, to check the rows that it is not sure of.
        conditions: The parts of both.
        statements: Those that were made for plans of this shape.
        bound: How it was made, if it was made of the known plan of its shape. What `explain` and unusual reads need of
            it, `Known.whole` fills in when it is first asked for.
    """

    where: str
    sure: str
    parameters: dict[str, Any]
    search: Search | None
    decided: Query
    conditions: Sequence[SqlCondition] = field(default=(), compare=False, repr=False)
    statements: dict[Hashable, str] = field(default_factory=dict, compare=False, repr=False)
    bound: Bound | None = field(default=None, compare=False, repr=False)

    if not TYPE_CHECKING:  # a type checker that saw it would accept every name

        def __getattr__(self, name: str) -> Any:
            """Fill in what is left out of a bound plan; called only while it is not there."""
            if name not in _LATE:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if name == "decided":  # a closer look at a few rows needs no more
                object.__setattr__(self, name, self.bound.query)
                return self.bound.query
            whole = self.bound.known.whole(self.bound)
            for left_out in _LATE:
                object.__setattr__(self, left_out, getattr(whole, left_out))
            return getattr(whole, name)


_LATE = ("pushed", "native", "where", "sure", "parameters", "search", "decided", "conditions",
         "statements")  # fmt: skip
"""What is left out of a bound plan until it is asked for."""
_set_residual, _set_index, _set_in_order, _set_reversible, _set_bound = (
    getattr(SqlitePlan, name).__set__ for name in ("residual", "index", "in_order", "reversible", "bound")
)
"""They set the other attributes of a new plan, in half the time that ``object.__setattr__`` takes."""


class Bound(NamedTuple):
    """The known plan of a shape with the constants of one query."""

    known: Known
    query: Query
    constants: Sequence[Any]
    short: Sequence[Any] | None = None
    """The parameters of `Known.short`; ``None`` if that does not answer the query."""


class Keys(NamedTuple):
    """What a first page is read by, in the way that `_Reader` in `datastore_sqlite.finding` does, but in less time."""

    keys: Sequence[Key]
    """The keys that the probes look for, those of each probe together."""
    shape: Hashable
    """What the statement depends on besides: the types of the keys, and whether a range is open."""


_IN_RANGE = Keys((), None)
"""No index is used: what is found is in the range of ids."""


class Known:
    """What the plans of all queries of one shape have in common.

    Args:
        plan: The plan of one of them. The database decides all of it.
    """

    def __init__(self, plan: SqlitePlan) -> None:
        self.plan = plan
        self.first_pages: dict[Hashable, str] = {}
        """The statements for the first page of what `Keys` find."""
        self._bindings = list[tuple[int, Callable[[Any], Sequence[Any]]]]()
        by_key = list[tuple[int, Callable[[Any], Sequence[Any]]]]()
        fields = () if plan.search is None else plan.search.fields
        asked: dict[Path, list[tuple[int, Condition]]] = {path: [] for path in fields}
        place = -1
        for place, (about, piece) in enumerate(pieces_of(plan.decided)):
            if not isinstance(piece, Field):
                raise TypeError("a query that is not plain has no shape")
            self._bindings.append((place, binding_of(piece.condition)))
            if about == "value" and piece.path in fields:
                by_key.append((place, key_binding_of(piece.condition)))
                asked[piece.path].append((place, piece.condition))
        self._bindings += by_key
        self._points = list[tuple[int, Callable[[Any], Sequence[Key]]]]()
        """For each field whose keys are looked up: the place of its constant, and what gives the keys for it."""
        self._range = list[tuple[int, Callable[[Any], Range]]]()
        """The same for the conditions that bound the keys of the last field."""
        self._is_plain = plan.search is not None and self._take(list(asked.values()))
        self.short: ShortPage | None = None
        """Reads the first page of what the index alone decides."""
        if plan.search is not None and self._is_plain and place + 1 == sum(map(len, asked.values())):
            self.short = short_page(plan.search, list(asked.values()))
        self.has_range = bool(self._range)
        """Whether rows come in the order of their keys, each with the number of its probe."""

    def _take(self, asked: Sequence[Sequence[tuple[int, Condition]]]) -> bool:
        """Note how to find the keys for the conditions on each field; return whether that is all that it takes."""
        for number, conditions in enumerate(asked, 1):
            points = [(place, keys) for place, condition in conditions if (keys := points_of(condition)) is not None]
            if len(points) == len(conditions) == 1:
                self._points += points
                continue
            self._range = [
                (place, bounds) for place, condition in conditions if (bounds := range_of(condition)) is not None
            ]
            return number == len(asked) and len(self._range) == len(conditions)
        return self.plan.in_order

    def bind(self, query: Query, constants: Sequence[Any]) -> SqlitePlan | None:
        """Return the plan for another query of the shape; ``None`` if it would be a different one."""
        plan, short = self.plan, self.short
        bound = Bound(self, query, constants, None if short is None else short.parameters(constants))
        if bound.short is None and plan.search is not None and self.keys(constants) is None:
            whole = self.whole(bound)
            return whole if whole.search is not None and whole.search.fields == plan.search.fields else None
        made = object.__new__(SqlitePlan)
        _set_residual(made, plan.residual)
        _set_index(made, plan.index)
        _set_in_order(made, not self.has_range)
        _set_reversible(made, plan.reversible)
        _set_bound(made, bound)
        return made

    def values(self, constants: Sequence[Any]) -> list[Any]:
        """Return the parameters of the condition, in the order in which `_new_plan` binds them."""
        values: list[Any] = []
        for place, parameters_of in self._bindings:
            values += parameters_of(constants[place])
        return values

    def keys(self, constants: Sequence[Any]) -> Keys | None:
        """Return what a first page is read by; ``None`` if it is not read like that, or there are too many probes."""
        if self.plan.search is None:
            return _IN_RANGE
        if not self._is_plain:
            return None
        if not self.has_range:
            if len(self._points) == 1:
                ((place, points_of),) = self._points
                keys = points_of(constants[place])
                probes = len(keys)
            else:
                found = list(product(*[points_of(constants[place]) for place, points_of in self._points]))
                keys, probes = list(chain.from_iterable(found)), len(found)
            return None if probes > MERGED else Keys(keys, tuple(map(type, keys)))
        range = None
        for place, bounds_of in self._range:
            one = bounds_of(constants[place])
            range = one if range is None else narrower(range, one)
        low, high, is_open, _ = cast("Range", range)
        if not self._points:
            return Keys((low, high, ANYTHING), is_open)
        prefixes = list(product(*[points_of(constants[place]) for place, points_of in self._points]))
        if len(prefixes) * 2 > MERGED:
            return None
        keys = [key for prefix in prefixes for key in (*prefix, low, high)]
        keys += [key for prefix in prefixes for key in (*prefix, ANYTHING)]
        return Keys(keys, (is_open, *map(type, keys)))

    def statement(self, keys: Keys, fields: Fields, *, reverse: bool) -> str:
        """Return the statement for the first page of what `Keys` find."""
        if self.plan.search is None:
            return first_of_range_statement(self.plan, fields, reverse=reverse)
        return first_page_statement(
            self.plan, len(self._points), self.has_range, keys.keys, keys.shape, fields, reverse=reverse
        )

    def whole(self, bound: Bound) -> SqlitePlan:
        """Return a plan in which nothing is left out."""
        plan, query, found = self.plan, bound.query, None
        if plan.search is not None:
            by_value = [piece for about, piece in pieces_of(query) if about == "value"]
            found = search(plan.search.index, keys_by_path(by_value))
        parameters = dict(zip(plan.parameters, self.values(bound.constants), strict=True))
        return SqlitePlan(
            pushed=query,
            residual=plan.residual,
            native={"where": plan.where, "parameters": parameters},
            index=plan.index,
            in_order=found is None or found.in_order,
            where=plan.where,
            sure=plan.sure,
            parameters=parameters,
            search=found,
            decided=query,
            conditions=plan.conditions,
            statements=plan.statements,
        )


def known_plan(range: IdRange, query: Query, indexes: Callable[[], Sequence[Index]], shapes: Shapes) -> Known | None:
    """Return what is known of the plans of the shape of a query with an outline, if there was one; see `make_plan`."""
    place = scope_of(range)
    return None if place is None else shapes.get(((query.outline,), place[1]), indexes())


def make_plan(
    range: IdRange, query: Query, indexes: Callable[[], Sequence[Index]], shapes: Shapes | None = None
) -> SqlitePlan | None:
    """Return the plan for a query, or ``None`` if nothing of it can be pushed down.

    Args:
        range: The ids to look among.
        query: What is asked.
        indexes: Returns the declared indexes.
        shapes: The plans of earlier queries that differ from this one in their constants alone.
    """
    place = scope_of(range)
    namespace = None if place is None else place[1]
    shaped = None if shapes is None else shape_of(query)
    if shaped is None or shapes is None:
        return _new_plan(namespace, query, indexes)
    shape, constants = (shaped[0], namespace), shaped[1]
    declared = indexes() if namespace is not None and (query.outline is not None or asks(query.value)) else ()
    known = shapes.get(shape, declared)
    plan = None if known is None else known.bind(query, constants)
    if plan is None:
        plan = _new_plan(namespace, query, lambda: declared)
        if plan is not None and plan.decided == plan.pushed == query:
            shapes.keep(shape, declared, Known(plan))
    return plan


def _new_plan(namespace: str | None, query: Query, indexes: Callable[[], Sequence[Index]]) -> SqlitePlan | None:
    sql = Sql()
    found = push(query, sql, tuple)
    if found is None:
        return None
    keys = keys_by_path(piece.filter for piece in found.pieces if piece.about == "value")
    chosen = None if namespace is None or not keys else best_search(indexes(), namespace, keys)
    conditions, sure = list[SqlCondition](), list[str]()
    for filter, about, expression, exact in found.pieces:
        one = SqlCondition(expression, expression)
        if chosen is not None and about == "value" and isinstance(filter, Field) and filter.path in chosen.fields:
            names = tuple(map(sql.bind, key_parameters_of(filter.condition)))
            is_decided = bool(names) and points_of(filter.condition) is not None
            one = SqlCondition(expression, by_key(filter, expression, names), filter.path, is_decided)
        conditions.append(one)
        if exact:
            sure.append(one.by_key)
    where = may_hold([one.by_key for one in conditions])
    return SqlitePlan(
        pushed=found.pushed,
        residual=found.residual,
        native={"where": where, "parameters": sql.parameters},
        index=None if chosen is None else chosen.index.name,
        in_order=chosen is None or chosen.in_order,
        where=where,
        sure=holds(sure),
        parameters=sql.parameters,
        search=chosen,
        decided=query_of([piece for piece in found.pieces if piece.exact]),
        conditions=conditions,
    )
