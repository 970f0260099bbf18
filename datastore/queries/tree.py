"""The parsed form of a filter: a small tree, which adapters translate and the matcher compiles.

`$ne`, `$nin`, `$nor` and `$all` are not in it: the parser expresses them with `Not`, `Or` and `And`, as MongoDB's
manual defines them. So an adapter that knows four kinds of nodes and eight conditions knows the whole language.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

Path: TypeAlias = tuple[str, ...]
"""The steps of a dotted path."""


@dataclass(frozen=True, slots=True)
class And:
    """Every clause holds. With no clause it holds for everything."""

    clauses: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one clause holds."""

    clauses: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The clause does not hold. A missing field gets no special treatment."""

    clause: Filter


@dataclass(frozen=True, slots=True)
class Field:
    """A condition holds for a value that a path leads to.

    From an array on the way, a path leads into each element. If it ends at an array, it leads to the array and to each
    element, or only to the array if the condition is about arrays (`Size` and `ElementMatches`). The condition must
    hold for one of these values. If there is no value, it is asked about *missing*, which equals ``null`` and has no
    type.
    """

    path: Path
    condition: Condition


Filter: TypeAlias = And | Or | Not | Field

EVERYTHING = And(())
"""The filter that matches every document."""

Comparison: TypeAlias = Literal["$eq", "$gt", "$gte", "$lt", "$lte"]


@dataclass(frozen=True, slots=True)
class Compare:
    """Compares with a value of the same type (a boolean is not a number); other types never match.

    The values ``null`` and *missing* are equal. Objects are equal whatever the order of their keys.
    """

    operator: Comparison
    value: Any


@dataclass(frozen=True, slots=True)
class In:
    """Equals one of several values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there. The opposite is written with `Not`."""


@dataclass(frozen=True, slots=True)
class HasType:
    """Has one of several types, by MongoDB's names (``"int"`` is up to 32 bits, ``"long"`` is larger)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """Is an array of this length."""

    length: int


@dataclass(frozen=True, slots=True)
class Modulo:
    """Is a number that leaves this remainder, with the sign of the number, when it is divided."""

    divisor: int
    remainder: int


@dataclass(frozen=True, slots=True)
class Matches:
    """Is text in which a regular expression is found."""

    pattern: str
    options: str
    """Some of ``imsx``, sorted."""


@dataclass(frozen=True, slots=True)
class ElementMatches:
    """Is an array with an element that satisfies all of something: a filter on its fields, or conditions on itself."""

    filter: Filter | None
    conditions: tuple[tuple[bool, Condition], ...] = ()
    """Pairs: whether the condition must hold (or must not), and the condition."""


Condition: TypeAlias = Compare | In | Exists | HasType | Size | Modulo | Matches | ElementMatches


class _Deferred:
    """What a query is made of whose filter nobody has looked at: its tree takes longer to make than to be asked for."""

    __slots__ = ("constants", "make_value")

    constants: Sequence[Any] | None
    """The constants of a filter with an outline, in its order; ``None`` if there is no outline, or they are unknown."""
    make_value: Callable[[Sequence[Any]], Filter]
    """Makes the filter of them."""


@dataclass(frozen=True, slots=True)
class Query(_Deferred):
    """The filters of a find."""

    value: Filter = EVERYTHING
    """The filter on the record's value."""
    meta: Filter = EVERYTHING
    """The filter on metadata and provenance, such as ``metadata.source`` and ``createdByAgent``."""
    both: Filter = EVERYTHING
    """Clauses about both that cannot be separated, such as the `Or` of one of each. In these, paths about the record
    begin with ``$`` (``$key``). The store checks them; adapters never see them."""
    outline: Hashable = field(default=None, init=False, compare=False, repr=False)
    """The same for all queries that differ in their constants alone (`datastore.queries.outlines`); ``None`` if it is
    not known, as in each query made of another one. An adapter can keep what it made of one for the others."""

    def __bool__(self) -> bool:
        """Return whether there is any condition."""
        if self.outline is not None:
            return True
        if self.value is self.meta is self.both is EVERYTHING:
            return False
        return asks(self.value) or asks(self.meta) or asks(self.both)

    @classmethod
    def outlined(
        cls, outline: Hashable, constants: Sequence[Any], make_value: Callable[[Sequence[Any]], Filter]
    ) -> Query:
        """Return the query for a filter with an outline. The filter is made when it is first asked for.

        Args:
            outline: The outline, which holds at least one condition.
            constants: The constants, in its order.
            make_value: Makes the filter on the value from constants.
        """
        query = object.__new__(cls)
        _set_meta(query, EVERYTHING)
        _set_both(query, EVERYTHING)
        _set_outline(query, outline)  # no parameter: a query made of this one must not take it over
        _set_constants(query, constants)
        _set_make_value(query, make_value)
        return query

    if not TYPE_CHECKING:  # a type checker that saw it would accept every name

        def __getattr__(self, name: str) -> Any:
            """Make the filter on the value; called only while it is not there."""
            if name == "value":
                value = self.make_value(self.constants)
                object.__setattr__(self, "value", value)
                return value
            if name == "constants":
                return None
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _setter(name: str) -> Callable[[Query, Any], None]:
    """Return what sets an attribute of a new query, in half the time that ``object.__setattr__`` takes."""
    setter: Callable[[Query, Any], None] = getattr(Query, name).__set__
    return setter


_set_meta, _set_both, _set_outline = _setter("meta"), _setter("both"), _setter("outline")
_set_constants, _set_make_value = _setter("constants"), _setter("make_value")


def asks(filter: Filter) -> bool:
    """Return whether there is any document that a filter may not match."""
    return filter is not EVERYTHING and filter != EVERYTHING


def clauses(filter: Filter) -> Iterator[Filter]:
    """Yield the clauses that must all hold, from nested ANDs too: an adapter decides about each of them separately."""
    if isinstance(filter, And):
        for clause in filter.clauses:
            yield from clauses(clause)
    else:
        yield filter


def conjunction(filters: list[Filter]) -> Filter:
    """Return one filter that holds if all the given ones do."""
    return filters[0] if len(filters) == 1 else And(tuple(filters)) if filters else EVERYTHING
