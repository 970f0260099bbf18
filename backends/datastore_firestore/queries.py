"""From a query to Firestore's filters, which find a superset of what matches and need no composite index.

**Which filters.** Only ``==``, ``in``, ``array-contains`` and ``array-contains-any`` are used, with AND and OR, in the
order of ``__name__``. "You can combine constraints with a logical AND by chaining multiple equality operators (``==``
or ``array-contains``). However, you must create a composite index to combine equality operators with the inequality
operators" (https://cloud.google.com/firestore/docs/query-data/queries#compound_and_queries). Firestore merges the
automatic indexes of single fields for them
(https://cloud.google.com/firestore/docs/query-data/index-overview#use_index_merging). The limits are 30 disjunctions in
disjunctive normal form, and one array operator in each of them
(https://cloud.google.com/firestore/docs/query-data/queries#limits_on_or_queries).

**A superset.** A filter on ``value.a.b`` sees a field only if it is native and is reached through maps alone. It does
not look into arrays, neither on the way nor at the end, nor into JSON text. So each document lists where it has arrays
(``valueArrays``), and a query asks for three things: a plain value where there is no array; an array with such an
element; and documents in which it sees nothing, because of an array on the way or because they are text.

Some conditions are never pushed down: equality with ``null``, since a missing field matches it but is in no index; what
must *not* hold; positions in arrays; objects; and text that is longer than an index holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product
from math import prod
from typing import Any, NamedTuple, TypeAlias, TypeVar

from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.types import query as messages

from datastore.adapters.pushdown import UNSUPPORTED, About, Composed, Dialect, Translation, push
from datastore.queries.language import META_FIELDS
from datastore.queries.paths import is_position
from datastore.queries.tree import Compare, Condition, ElementMatches, In, Path, Query, Size
from datastore_firestore.client import Message
from datastore_firestore.codec import nameable, pair

_MOST_DISJUNCTIONS = 30
_MOST_CLAUSES = 20
"""The most clauses of an AND. More would narrow little, and Firestore accepts 100 filters in a query."""
_MOST_TERMS = 1_000
"""If an AND would have more terms than this before duplicates are removed, it is not tried."""
_LONGEST_TEXT = 1_400  # bytes of the 1,500 that an index holds of a value
_EXACT_INTEGERS = 2**53  # beyond this, integers and floating-point numbers are compared with care
_INT64 = 2**63

_Query: Any = messages.StructuredQuery.pb()
_OPERATORS = {
    "==": "EQUAL",
    "in": "IN",
    "array-contains": "ARRAY_CONTAINS",
    "array-contains-any": "ARRAY_CONTAINS_ANY",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
}
_BY_NUMBER = {"in", "array-contains-any"}
_PROVENANCE = {"createdByAgent", "key", "revision", "updatedByAgent"}.intersection(META_FIELDS)
"""Fields that hold text or are missing, and that counting an access does not change."""


_Part = TypeVar("_Part")


class Test(NamedTuple):
    """One of Firestore's field filters."""

    field: str
    operator: str
    operand: Any


Term: TypeAlias = tuple[Test, ...]
"""Tests that must all hold."""


class Place(NamedTuple):
    """Where a document may have an array: the field that lists its arrays, and the path."""

    list: str
    path: str


class Reach(NamedTuple):
    """The documents that can match: they satisfy one of the terms, or have an array at one of the hidden places."""

    plain: tuple[Term, ...]
    """For documents without an array at any of the paths."""
    arrays: tuple[tuple[Place, Term], ...]
    """For documents with an array at the place. Each term has one array operator."""
    hidden: frozenset[Place]

    def terms(self) -> list[Term]:
        """Return terms such that every document that can match satisfies at least one of them."""
        lists = {place.list for place in self.hidden}
        hidden = [
            _one_of(name, _CONTAINS, sorted(path for list, path in self.hidden if list == name)) for name in lists
        ]
        return _distinct([*self.plain, *(term for _, term in self.arrays), *((test,) for test in hidden)])

    def disjunctions(self) -> int:
        """Return the number of disjunctions in disjunctive normal form."""
        return sum(prod(len(test.operand) for test in term if test.operator in _BY_NUMBER) for term in self.terms())


_EQUALS = ("==", "in")
_CONTAINS = ("array-contains", "array-contains-any")


def _one_of(field: str, operators: tuple[str, str], operands: Sequence[Any]) -> Test:
    one, any_of = operators
    return Test(field, one, operands[0]) if len(operands) == 1 else Test(field, any_of, tuple(operands))


NOTHING = Reach((), (), frozenset())


class Filters(Dialect[Reach]):
    """What Firestore can be asked without a composite index. A NOT would always need one."""

    nothing = NOTHING

    def condition(self, about: About, path: Path, condition: Condition) -> Translation[Reach]:
        """Return the documents that can match. This is exact if the field cannot lie in an array or in text."""
        found = _in_json("value", path, condition) if about == "value" else _in_meta(path, condition)
        if found is None:
            return UNSUPPORTED
        return Translation(found, not found.arrays and not found.hidden)

    def all_of(self, parts: Sequence[Reach]) -> Reach | None:
        """Return the documents that can match all parts, or ``None`` if that is too much to ask."""
        if NOTHING in parts:
            return NOTHING
        if len(parts) > _MOST_CLAUSES or prod(max(len(part.plain), 1) for part in parts) > _MOST_TERMS:
            return None
        return _if_it_fits(_all_of(parts))

    def any_of(self, parts: Sequence[Reach]) -> Reach | None:
        """Return the documents that can match at least one part, or ``None`` if that is too much to ask."""
        plain = tuple(term for part in parts for term in part.plain)
        arrays = tuple(entry for part in parts for entry in part.arrays)
        return _if_it_fits(Reach(plain, arrays, frozenset[Place]().union(*(part.hidden for part in parts))))

    def widens(self, part: Reach) -> bool:
        """Return whether a part also finds the documents with an array at a hidden place, which takes its own term."""
        return bool(part.hidden)

    def weight(self, part: Reach) -> int:
        """Return how many disjunctions a part takes."""
        return part.disjunctions()


_FILTERS = Filters()


def reach(query: Query) -> Composed[Reach, Reach] | None:
    """Return what to ask Firestore for a query, and what is left to check; ``None`` if no filter narrows it."""
    return push(
        query, _FILTERS, lambda pieces: _FILTERS.all_of([piece.expression for piece in pieces]) if pieces else None
    )


def _if_it_fits(found: Reach) -> Reach | None:
    return found if found.disjunctions() <= _MOST_DISJUNCTIONS else None


def _all_of(every: Sequence[Reach]) -> Reach:
    """Return the documents that can match all parts.

    If one part meets an array, the others must hold without one, since a term may have only one array operator. If two
    parts meet one, the document lists that pair of places.
    """
    if len(every) == 1:
        return every[0]
    plain = [_joined(terms) for terms in product(*(one.plain for one in every))]
    arrays: list[tuple[Place, Term]] = []
    hidden = set[Place]().union(*(one.hidden for one in every))
    for index, one in enumerate(every):
        others = [other.plain for number, other in enumerate(every) if number != index]
        arrays += [(place, _joined((term, *rest))) for place, term in one.arrays for rest in product(*others)]
    for one, other in combinations(every, 2):
        for (place, term), (second, _) in product(one.arrays, other.arrays):
            if place.list == second.list and place != second:
                hidden.add(Place(place.list, pair(place.path, second.path)))
            else:
                arrays.append((place, term))
    return Reach(tuple(plain), tuple(arrays), frozenset(hidden))


def _joined(terms: Iterable[Term]) -> Term:
    return tuple(_distinct(test for term in terms for test in term))


def _distinct(parts: Iterable[_Part]) -> list[_Part]:
    return list({repr(part): part for part in parts}.values())  # compared by their text: 1 and True are equal in Python


def _in_meta(path: Path, condition: Condition) -> Reach | None:
    if path[0] == "metadata" and len(path) > 1:
        return _in_json("metadata", path[1:], condition)
    if len(path) > 1 or path[0] not in _PROVENANCE:
        return None
    operands = _operands(condition)
    if operands is None:
        return None
    texts = [text for text in operands if isinstance(text, str)]
    return Reach(((_one_of(path[0], _EQUALS, texts),),), (), frozenset()) if texts else NOTHING


def _in_json(name: str, path: Path, condition: Condition) -> Reach | None:
    """Return the documents in which a path into a JSON value can lead to something that satisfies a condition."""
    if any(map(is_position, path[1:])):
        return None
    place = Place(f"{name}Arrays", ".".join(path))
    hidden = frozenset(Place(place.list, ".".join(path[:steps])) for steps in range(1, len(path))) | {
        Place(place.list, "")
    }
    if not nameable(path):
        return Reach((), (), hidden) if _needs_presence(condition) else None
    field = FieldPath(name, *path).to_api_repr()  # type: ignore[no-untyped-call, unused-ignore]  # no types in some versions of the client
    has_array = Test(place.list, "array-contains", place.path)
    operands = _operands(condition)
    if operands is not None:
        if not operands:
            return Reach((), (), hidden)  # no native value can match
        inside = (
            _one_of(field, _CONTAINS, operands) if 2 * len(operands) + len(hidden) <= _MOST_DISJUNCTIONS else has_array
        )
        return Reach(((_one_of(field, _EQUALS, operands),),), ((place, (inside,)),), hidden)
    if isinstance(condition, ElementMatches):
        for holds, one in condition.conditions:
            elements = _operands(one) if holds else None
            if elements:
                return Reach((), ((place, (_one_of(field, _CONTAINS, elements),)),), hidden)
    if isinstance(condition, ElementMatches | Size) or (
        isinstance(condition, In) and all(isinstance(value, list) for value in condition.values)
    ):
        return Reach((), ((place, (has_array,)),), hidden)
    return None


def _needs_presence(condition: Condition) -> bool:
    return isinstance(condition, ElementMatches | Size) or _operands(condition) is not None


def _operands(condition: Condition) -> list[Any] | None:
    """Return the native values that a condition compares for equality, or ``None`` if it is another condition."""
    if isinstance(condition, Compare) and condition.operator == "$eq":
        values: Sequence[Any] = (condition.value,)
    elif isinstance(condition, In):
        values = condition.values
    else:
        return None
    found = list[Any]()
    for value in values:
        natives = natives_of(value)
        if natives is None:
            return None
        found += natives
    return found


def natives_of(value: Any) -> tuple[Any, ...] | None:
    """Return the native values that a scalar equals, or ``None`` if Firestore's equality differs from ours."""
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        return (value,) if len(value.encode()) <= _LONGEST_TEXT else None
    if not isinstance(value, int | float):
        return None
    if -_EXACT_INTEGERS <= value <= _EXACT_INTEGERS:
        return (value or 0,)  # -0.0 is never native
    integers = [int(value)] if -_INT64 <= value < _INT64 else []
    return (*integers, value) if isinstance(value, float) else (*integers, *_floats_of(value))


def _floats_of(value: int) -> list[float]:
    try:
        near = float(value)
    except OverflowError:
        return []
    return [near] if near == value else []


def fill_filter(target: Message, terms: Sequence[Term]) -> None:
    """Write terms, one of which must be satisfied, into the filter of a query."""
    _fill_composite(target, "OR", terms, _fill_term)


def _fill_term(target: Message, term: Term) -> None:
    _fill_composite(target, "AND", term, _fill_test)


def _fill_composite(target: Message, operator: str, parts: Sequence[Any], fill: Callable[[Message, Any], None]) -> None:
    if len(parts) == 1:
        fill(target, parts[0])
        return
    target.composite_filter.op = _Query.CompositeFilter.Operator.Value(operator)
    for part in parts:
        fill(target.composite_filter.filters.add(), part)


def _fill_test(target: Message, test: Test) -> None:
    field, operator, operand = test
    target.field_filter.field.field_path = field
    target.field_filter.op = _Query.FieldFilter.Operator.Value(_OPERATORS[operator])
    if operator in _BY_NUMBER:
        for one in operand:
            set_scalar(target.field_filter.value.array_value.values.add(), one)
    else:
        set_scalar(target.field_filter.value, operand)


def set_scalar(target: Message, value: Any) -> None:
    """Write text, a boolean or a number into a Firestore value."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.boolean_value = value
    elif isinstance(value, int):
        target.integer_value = value
    else:
        target.double_value = value
