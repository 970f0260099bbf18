"""The reference: what a filter means, as plain Python. Every database must agree with it.

A filter is compiled once to closures, so that nothing is interpreted again for each document.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from datastore.queries.ordering import RANKS, order_key
from datastore.queries.paths import MISSING, leads_to
from datastore.queries.patterns import compile_pattern
from datastore.queries.tree import (
    And,
    Compare,
    Condition,
    ElementMatches,
    Exists,
    Field,
    Filter,
    HasType,
    In,
    Matches,
    Modulo,
    Not,
    Path,
    Size,
)

Predicate: TypeAlias = Callable[[Any], bool]

_COMPARISONS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
_INT32 = range(-(2**31), 2**31)


def compile_filter(filter: Filter) -> Predicate:
    """Return the function that says whether a document (a value, or a record's fields) matches.

    A document that is no object has no fields: every path is missing in it.
    """
    if isinstance(filter, Field):
        return _field(filter.path, filter.condition)
    if isinstance(filter, Not):
        inner = compile_filter(filter.clause)
        return lambda document: not inner(document)
    parts = [compile_filter(clause) for clause in filter.clauses]
    if len(parts) == 1:
        return parts[0]
    if isinstance(filter, And):
        return lambda document: all(part(document) for part in parts)
    return lambda document: any(part(document) for part in parts)


def _field(path: Path, condition: Condition) -> Predicate:
    holds = compile_condition(condition)
    into_leaf = not isinstance(condition, Size | ElementMatches)
    steps, last = path[:-1], path[-1]

    def match(document: Any) -> bool:
        value = document
        for step in steps:  # the short way, which most documents have: objects in objects
            if type(value) is not dict:
                break
            value = value.get(step, MISSING)
        else:
            if type(value) is dict:
                value = value.get(last, MISSING)
                if type(value) is not list or not into_leaf:
                    return holds(value)
        root = document if type(document) is dict else MISSING
        return any(map(holds, leads_to(root, path, into_leaf=into_leaf)))

    return match


def compile_condition(condition: Condition) -> Predicate:
    """Return the function that says whether a condition holds for one value, or for `MISSING`."""
    match condition:
        case Compare("$eq", value):
            return _equals(value)
        case Compare(name, value):
            return _compares(name, value)
        case In(values):
            return _is_in(values)
        case Exists():
            return lambda value: value is not MISSING
        case HasType(names):
            wanted = frozenset(names)
            return lambda value: value is not MISSING and not wanted.isdisjoint(types_of(value))
        case Size(length):
            return lambda value: type(value) is list and len(value) == length
        case Modulo(divisor, remainder):
            return partial(_leaves, abs(divisor), remainder)
        case Matches():
            found = compile_pattern(condition)
            return lambda value: type(value) is str and found(value)
        case ElementMatches():
            is_wanted = compile_element(condition)
            return lambda value: type(value) is list and any(map(is_wanted, value))


def _equals(wanted: Any) -> Predicate:
    kind = type(wanted)
    if wanted is None:
        return lambda value: value is None or value is MISSING
    if kind is str or kind is bool:
        return lambda value: type(value) is kind and value == wanted
    if kind is int or kind is float:
        return lambda value: value == wanted and type(value) is not bool
    key = order_key(wanted)
    return lambda value: type(value) is kind and order_key(value) == key


def _compares(name: str, wanted: Any) -> Predicate:
    if wanted is None:  # null equals null, and what is missing; nothing is greater or less
        return _equals(None) if name in ("$gte", "$lte") else lambda value: False
    compare = _COMPARISONS[name]
    kind = type(wanted)
    if kind is str:
        return lambda value: type(value) is str and compare(value, wanted)
    if kind is int or kind is float:
        return lambda value: (type(value) is int or type(value) is float) and compare(value, wanted)
    key, rank = order_key(wanted), RANKS[kind]
    return lambda value: value is not MISSING and RANKS[type(value)] == rank and compare(order_key(value), key)


def _is_in(values: tuple[Any, ...]) -> Predicate:
    keys = frozenset(order_key(value) for value in values)
    if None not in values:
        return lambda value: value is not MISSING and order_key(value) in keys
    return lambda value: value is MISSING or order_key(value) in keys


def _leaves(divisor: int, remainder: int, value: Any) -> bool:
    """Return whether a number leaves a remainder, which has the sign of the number, as in C; fractions are cut off."""
    if type(value) is not int and type(value) is not float:
        return False
    rest = abs(int(value)) % divisor
    return (-rest if value < 0 else rest) == remainder


def types_of(value: Any) -> tuple[str, ...]:
    """Return MongoDB's names for the type of a value of JSON."""
    kind = type(value)
    if kind is int:
        return ("int", "number") if value in _INT32 else ("long", "number")
    return _TYPES[kind]


_TYPES: dict[type, tuple[str, ...]] = {
    float: ("double", "number"),
    str: ("string",),
    dict: ("object",),
    list: ("array",),
    bool: ("bool",),
    type(None): ("null",),
}


def compile_element(condition: ElementMatches) -> Predicate:
    """Return the function that says whether one element of an array is one that `$elemMatch` looks for."""
    if condition.filter is not None:
        inner = compile_filter(condition.filter)
        return lambda element: type(element) in (dict, list) and inner(_as_object(element))
    checks = [(compile_condition(one), wanted) for wanted, one in condition.conditions]
    return lambda element: all(holds(element) is wanted for holds, wanted in checks)


def _as_object(element: Any) -> Any:
    """Return an array as the object of its positions: so MongoDB looks at arrays within arrays here."""
    return element if type(element) is dict else {str(index): child for index, child in enumerate(element)}
