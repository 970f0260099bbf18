"""The reference: the meaning of a filter in plain Python. Every database must agree with it.

A filter is compiled once to closures, so that it is not interpreted again for each document.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, cast

from datastore.deadlines import check
from datastore.queries.ordering import RANKS, equality_key, order_key
from datastore.queries.paths import MISSING, Known, holds_at, is_ambiguous
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
    Or,
    Path,
    Size,
)

Predicate: TypeAlias = Callable[[Any], bool]

_COMPARISONS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
_INT32 = range(-(2**31), 2**31)
_LONG = 1_000
"""An array of this many elements takes a tenth of a millisecond: the deadline is checked before."""


class _Answers(threading.local):
    """Remembers answers about the current document, for the conditions within an ``$elemMatch``.

    With arrays within arrays, a path may reach the same element in several ways. A path inside the ``$elemMatch`` then
    starts again each time, so that without these answers the number of ways would multiply.
    """

    def __init__(self) -> None:
        self.to: dict[object, Known] = {}


def compile_filter(filter: Filter) -> Predicate:
    """Return a function that tells whether a document (a value, or a record's fields) matches.

    A document that is not an object has no fields: every path is missing in it. The function raises
    `DeadlineExceededError` when the current call has taken too long.
    """
    return _compile(filter, None)


def _compile(filter: Filter, answers: _Answers | None) -> Predicate:
    if isinstance(filter, Field):
        return _field(filter.path, filter.condition, answers)
    if isinstance(filter, Not):
        inner = _compile(filter.clause, answers)
        return lambda document: not inner(document)
    if isinstance(filter, Or):
        parts = [_compile(clause, answers) for clause in filter.clauses]
        return parts[0] if len(parts) == 1 else lambda document: any(part(document) for part in parts)
    together, others = _equal_to_all(filter) if answers is None else ({}, filter.clauses)
    parts = [_compile(clause, answers) for clause in others]
    parts += [_all_of(path, values) for path, values in together.items()]
    return parts[0] if len(parts) == 1 else lambda document: all(part(document) for part in parts)


def _equal_to_all(filter: And) -> tuple[dict[Path, list[Any]], list[Filter]]:
    """Return the paths that must equal several values at once, as with ``$all``, and the other clauses."""
    equal: dict[Path, list[Field]] = {}
    others: list[Filter] = []
    for clause in filter.clauses:
        if isinstance(clause, Field) and isinstance(clause.condition, Compare) and clause.condition.operator == "$eq":
            equal.setdefault(clause.path, []).append(clause)
        else:
            others.append(clause)
    together = {}
    for path, fields in equal.items():
        if len(fields) == 1:
            others += fields
        else:
            together[path] = [cast("Compare", field.condition).value for field in fields]
    return together, others


def _all_of(path: Path, values: list[Any]) -> Predicate:
    """Return a function that tells whether a path leads to each of several values, in one pass for all of them."""
    wanted = frozenset(map(equality_key, values))
    ambiguous = is_ambiguous(path)

    def match(document: Any) -> bool:
        check()
        left = set(wanted)

        def completes(value: Any) -> bool:
            left.discard(None if value is MISSING else equality_key(value))
            return not left

        return holds_at(_fields_of(document), path, completes, known={} if ambiguous else None)

    return match


def _field(path: Path, condition: Condition, answers: _Answers | None) -> Predicate:
    into_leaf = not isinstance(condition, Size | ElementMatches)
    ambiguous = is_ambiguous(path)
    if answers is None and ambiguous and isinstance(condition, ElementMatches):
        return _first_of_several(path, condition)
    holds = _compile_condition(condition, answers)
    question = object()
    steps, last = path[:-1], path[-1]

    def match(document: Any) -> bool:
        value = document
        for step in steps:  # the fast path for most documents: objects in objects
            if type(value) is not dict:
                break
            value = value.get(step, MISSING)
        else:
            if type(value) is dict:
                value = value.get(last, MISSING)
                if type(value) is not list or not into_leaf:
                    return holds(value)
                if len(value) < _LONG:
                    return any(map(holds, value)) or holds(value)
        check()
        known: Known | None = None
        if ambiguous:
            known = {} if answers is None else answers.to.setdefault(question, {})
        return holds_at(_fields_of(document), path, holds, into_leaf=into_leaf, known=known)

    return match


def _first_of_several(path: Path, condition: ElementMatches) -> Predicate:
    """Return the function for an ``$elemMatch`` that may look at arrays within arrays: it remembers answers."""
    answers = _Answers()
    holds = _compile_condition(condition, answers)

    def match(document: Any) -> bool:
        answers.to = {}  # the old answers are about another document
        try:
            return holds_at(_fields_of(document), path, holds, into_leaf=False, known={})
        finally:
            answers.to = {}

    return match


def _fields_of(document: Any) -> Any:
    return document if type(document) is dict else MISSING


def compile_condition(condition: Condition) -> Predicate:
    """Return a function that tells whether a condition holds for one value, or for `MISSING`."""
    return _compile_condition(condition, None)


def _compile_condition(condition: Condition, answers: _Answers | None) -> Predicate:
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
            is_wanted = _compile_element(condition, answers)
            return lambda value: type(value) is list and any(map(is_wanted, value))


def _equals(wanted: Any) -> Predicate:
    kind = type(wanted)
    if wanted is None:
        return lambda value: value is None or value is MISSING
    if kind is str or kind is bool:
        return lambda value: type(value) is kind and value == wanted
    if kind is int or kind is float:
        return lambda value: value == wanted and type(value) is not bool
    key, length = equality_key(wanted), len(wanted)

    def equal(value: Any) -> bool:
        if type(value) is not kind or len(value) != length:
            return False
        check()  # it may be large
        return equality_key(value) == key

    return equal


def _compares(name: str, wanted: Any) -> Predicate:
    if wanted is None:  # null equals null and a missing field; nothing is greater or less
        return _equals(None) if name in ("$gte", "$lte") else lambda value: False
    compare = _COMPARISONS[name]
    kind = type(wanted)
    if kind is str:
        return lambda value: type(value) is str and compare(value, wanted)
    if kind is int or kind is float:
        return lambda value: (type(value) is int or type(value) is float) and compare(value, wanted)
    key, rank = order_key(wanted), RANKS[kind]

    def compares(value: Any) -> bool:
        if value is MISSING or RANKS[type(value)] != rank:
            return False
        check()  # it may be large
        return bool(compare(order_key(value), key))

    return compares


def _is_in(values: tuple[Any, ...]) -> Predicate:
    keys = frozenset(map(equality_key, values))
    shapes = frozenset((type(value), len(value)) for value in values if type(value) in (dict, list))
    with_null = None in values

    def is_in(value: Any) -> bool:
        kind = type(value)
        if kind is str:
            return value in keys
        if value is MISSING:
            return with_null
        if kind is dict or kind is list:
            if (kind, len(value)) not in shapes:
                return False
            check()  # it may be large
        return equality_key(value) in keys

    return is_in


def _leaves(divisor: int, remainder: int, value: Any) -> bool:
    """Return whether a number, without its fraction, leaves a remainder, which has the number's sign, as in C."""
    if type(value) is not int and type(value) is not float:
        return False
    rest = abs(int(value)) % divisor
    return (-rest if value < 0 else rest) == remainder


def types_of(value: Any) -> tuple[str, ...]:
    """Return MongoDB's names for the type of a JSON value."""
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


def _compile_element(condition: ElementMatches, answers: _Answers | None) -> Predicate:
    """Return a function that tells whether one element of an array matches `$elemMatch`."""
    if condition.filter is not None:
        inner = _compile(condition.filter, answers)
        return lambda element: type(element) in (dict, list) and inner(_as_object(element))
    checks = [(_compile_condition(one, answers), wanted) for wanted, one in condition.conditions]
    return lambda element: all(holds(element) is wanted for holds, wanted in checks)


def _as_object(element: Any) -> Any:
    """Return an array as an object with its positions as fields: MongoDB treats arrays within arrays like this here."""
    return element if type(element) is dict else {str(index): child for index, child in enumerate(element)}
