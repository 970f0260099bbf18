"""What a filter is once it is parsed: a small tree, which adapters translate and the matcher compiles.

`$ne`, `$nin`, `$nor` and `$all` are not in it: the parser writes them with `Not`, `Or` and `And`, as MongoDB's manual
defines them. So an adapter that knows four kinds of nodes and eight conditions knows the language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """The clause does not hold; a field that is not there makes no exception."""

    clause: Filter


@dataclass(frozen=True, slots=True)
class Field:
    """A condition holds for what a path leads to.

    Through an array a path leads into each element; at its end, to the array and (unless the condition is about arrays,
    `Size` and `ElementMatches`) to each element. The condition must hold for one of them. Where the path leads
    nowhere, it is asked about *missing*, which equals ``null`` and is of no type.
    """

    path: Path
    condition: Condition


Filter: TypeAlias = And | Or | Not | Field

EVERYTHING = And(())
"""The filter that matches every document."""

Comparison: TypeAlias = Literal["$eq", "$gt", "$gte", "$lt", "$lte"]


@dataclass(frozen=True, slots=True)
class Compare:
    """Compares with a value of the same type (a boolean is no number); other types never match.

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
    """Is there at all. Its opposite is written with `Not`."""


@dataclass(frozen=True, slots=True)
class HasType:
    """Is of one of several types, by MongoDB's names (``"int"`` is up to 32 bits, ``"long"`` beyond)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """Is an array of this length."""

    length: int


@dataclass(frozen=True, slots=True)
class Modulo:
    """Is a number that leaves a remainder, with the sign of the number, when it is divided."""

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
    """What a find asks for."""

    value: Filter = EVERYTHING
    """About the record's value."""
    meta: Filter = EVERYTHING
    """About its metadata and provenance, as the document names them: ``metadata.source``, ``createdByAgent``."""
    both: Filter = EVERYTHING
    """Clauses in which the two cannot be told apart, such as the `Or` of one of each: paths about the record begin with
    ``$`` there (``$key``). The store checks them; no adapter is given them."""

    def __bool__(self) -> bool:
        """Return whether it asks for anything at all."""
        return self.value != EVERYTHING or self.meta != EVERYTHING or self.both != EVERYTHING


def clauses(filter: Filter) -> Iterator[Filter]:
    """Yield what must all hold, with nested ANDs taken apart: an adapter decides about each on its own."""
    if isinstance(filter, And):
        for clause in filter.clauses:
            yield from clauses(clause)
    else:
        yield filter


def conjunction(filters: list[Filter]) -> Filter:
    """Return one filter for several that must all hold."""
    return filters[0] if len(filters) == 1 else And(tuple(filters))
