"""Filters that differ in their constants alone: what one of them was parsed to serves for the others.

Programs ask the same few questions again and again, with other constants. The *outline* of a filter is what is left of
it without them. Only plain filters have one: some fields of the value, each compared with one or a few scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias, cast

from datastore.queries.paths import parse_path
from datastore.queries.tree import Compare, Comparison, Field, Filter, In, Path, Query, conjunction
from datastore.turns import keep_newest

Outline: TypeAlias = tuple[tuple[str, str, Hashable], ...]
"""For each condition the name of the field, the operator, and the kind of the constant."""

MOST_VALUES = 12
"""A longer ``$in`` has no outline: each number of values would be another one."""
_SMALL = 2**45
"""Numbers below this are compared in the same way by every database, whatever they are."""
_MOST_CHARACTERS = 1_000
_MOST_CONDITIONS = 8
_MOST_OUTLINES = 1_000
_COMPARISONS = frozenset({"$eq", "$gt", "$gte", "$lt", "$lte"})

_known: dict[Outline, Callable[[Sequence[Any]], Filter]] = {}
"""The functions that make the filters that were parsed last from their constants."""


def kind_of_constant(value: Any) -> Hashable:
    """Return what a translation depends on of a scalar; ``None`` if that is more than a word."""
    kind = type(value)
    if kind is str:
        return "text" if len(value) <= _MOST_CHARACTERS and value.isascii() and "\0" not in value else None
    if kind is int or kind is float:
        return kind.__name__ if -_SMALL < value < _SMALL else None
    return str(value) if value is None or kind is bool else None


def outline_of(filter: Any) -> tuple[Outline, list[Any]] | None:
    """Return the outline of a filter that was not parsed, and its constants in order; ``None`` if it has none."""
    if type(filter) is not dict:
        return None
    outline: list[tuple[str, str, Hashable]] = []
    constants: list[Any] = []
    try:
        for name, operand in filter.items():
            if type(name) is not str or name[:1] == "$" or len(name) > _MOST_CHARACTERS:
                return None
            if type(operand) is not dict or not operand:
                kind = kind_of_constant(operand)
                if kind is None:
                    return None
                outline.append((name, "$eq", kind))
                constants.append(operand)
                continue
            for operator, constant in operand.items():
                if type(operator) is not str:
                    return None
                if operator == "$in" and type(constant) is list and len(constant) <= MOST_VALUES:
                    constant = tuple(constant)
                    kinds = tuple(map(kind_of_constant, constant))
                    kind = None if None in kinds else kinds
                else:
                    kind = kind_of_constant(constant) if operator in _COMPARISONS else None
                if kind is None:
                    return None
                outline.append((name, operator, kind))
                constants.append(constant)
    except RuntimeError:  # another thread changes it; the parser says so
        return None
    return (tuple(outline), constants) if 0 < len(outline) <= _MOST_CONDITIONS else None


def query_for(outline: Outline, constants: Sequence[Any]) -> Query | None:
    """Return the query for a filter with an outline that is known; ``None`` if it is not."""
    make = _known.get(outline)
    return None if make is None else Query.outlined(outline, constants, make)


def learn(outline: Outline, constants: Sequence[Any], parsed: Query) -> Query:
    """Keep what a filter was parsed to, if that of others with its outline can be made like it; return the query."""
    make = _maker(outline)
    query = Query.outlined(outline, constants, make)
    if query != parsed:
        return parsed
    _known[outline] = make
    keep_newest(_known, _MOST_OUTLINES)
    return query


def _maker(outline: Outline) -> Callable[[Sequence[Any]], Filter]:
    """Return the function that makes the filter with an outline from its constants."""
    by_name = groupby(outline, itemgetter(0))
    fields: list[list[tuple[Path, str]]] = [
        [(parse_path(name, "filter"), operator) for _, operator, _ in asked] for name, asked in by_name
    ]

    def make(constants: Sequence[Any]) -> Filter:
        values = iter(constants)
        return conjunction(
            [
                conjunction([Field(path, _condition(operator, next(values))) for path, operator in asked])
                for asked in fields
            ]
        )

    return make


def _condition(operator: str, constant: Any) -> Compare | In:
    return In(constant) if operator == "$in" else Compare(cast("Comparison", operator), constant)
