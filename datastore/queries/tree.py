"""The parsed form of a filter: a small tree, which adapters translate and the matcher compiles.

`$ne`, `$nin`, `$nor` and `$all` are not in it: the parser expresses them with `Not`, `Or` and `And`, as MongoDB's
manual defines them. So an adapter that knows four kinds of nodes and eight conditions knows the whole language.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Query:
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
        return asks(self.value) or asks(self.meta) or asks(self.both)


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
