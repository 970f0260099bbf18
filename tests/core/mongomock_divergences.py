"""Where mongomock 4.3 and MongoDB give different answers, and which source says what is right.

Each row has a condition for the pairs of a document and a filter that it concerns, and one such pair as an example. A
condition is about one field of a filter (a path, with operators or a value) and about a document. For a filter in
`$elemMatch`, the documents are the elements. Names and types that can be avoided, `$mod`, lists of types, and types
that mongomock does not know are not generated at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mongomock.filtering import NOTHING, iter_key_candidates

MANUAL = "https://www.mongodb.com/docs/manual/"
SOURCES = "https://github.com/mongodb/mongo/blob/master/"
_LOGIC = ("$and", "$or", "$nor")


@dataclass
class Leaf:
    """One field of a filter, and a document that it is asked about."""

    document: Any
    path: str
    operand: Any

    @cached_property
    def operators(self) -> dict[str, Any]:
        """The operators; a plain value as ``$eq``; ``$not`` taken apart."""
        return dict(self._pairs(self.operand))

    def _pairs(self, operand: Any) -> Iterator[tuple[str, Any]]:
        if not (isinstance(operand, dict) and any(name.startswith("$") for name in operand)):
            yield "$eq", operand
            return
        for name, value in operand.items():
            yield name, value
            if name == "$not":
                yield from self._pairs(value)

    @cached_property
    def candidates(self) -> list[Any]:
        """What mongomock finds at the path."""
        return list(iter_key_candidates(self.path, self.document))

    def operands(self, *names: str) -> list[Any]:
        """The operands of some operators, those of `$in` and the like one by one."""
        found = []
        for name, operand in self.operators.items():
            if name in names:
                found += operand if name in ("$in", "$nin", "$all") else [operand]
        return found


@dataclass
class Divergence:
    """One way in which mongomock is wrong."""

    name: str
    says: str
    """The page that says what is right."""
    about: Callable[[Leaf], bool]
    document: dict[str, Any]
    filter: dict[str, Any]
    right: bool
    """Whether the document matches the filter."""


def leaves(filter: dict[str, Any], document: Any) -> Iterator[Leaf]:
    """Yield every field of a filter with every document that it may be asked about."""
    for name, operand in filter.items():
        if name in _LOGIC:
            for inner in operand:
                yield from leaves(inner, document)
            continue
        leaf = Leaf(document, name, operand)
        yield leaf
        operators = leaf.operators
        within = [operators["$elemMatch"]] if "$elemMatch" in operators else []
        within += [one["$elemMatch"] for one in operators.get("$all", []) if _is(one, "$elemMatch")]
        for inner in within:
            for array in leaf.candidates:
                for element in array if isinstance(array, list) else []:
                    if _operators(inner):
                        yield Leaf({"field": element}, "field", inner)
                    else:
                        yield from leaves(inner, element)


def _is(value: Any, name: str) -> bool:
    return isinstance(value, dict) and name in value


def _operators(operand: Any) -> bool:
    return isinstance(operand, dict) and any(name.startswith("$") and name not in _LOGIC for name in operand)


def nodes(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it."""
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from nodes(child)


COMPARING = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$all")


def _bool_as_number(leaf: Leaf) -> bool:
    asked = [node for operand in leaf.operands(*COMPARING) for node in nodes(operand)]
    found = [node for candidate in leaf.candidates for node in nodes(candidate)]
    return _mixed(asked, found) or _mixed(found, asked)


def _mixed(one: list[Any], other: list[Any]) -> bool:
    return any(
        isinstance(flag, bool) and not isinstance(number, bool) and isinstance(number, int | float) and flag == number
        for flag in one
        for number in other
    )


def _array_within_array(leaf: Leaf) -> bool:
    asked = leaf.operands("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    return any(isinstance(one, list) for one in asked) and any(map(_holds_array, leaf.candidates))


def _holds_array(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(element, list) for element in value)


def _array_in(leaf: Leaf) -> bool:
    asked = leaf.operands("$in", "$nin")
    return any(isinstance(one, list) for one in asked) and any(isinstance(one, list) for one in leaf.candidates)


def _may_hold_for_missing(leaf: Leaf) -> bool:
    """Whether a field has a condition that could depend on nothing being there."""
    operators = leaf.operators
    return (
        "$not" in operators
        or operators.get("$exists", True) is False
        or any(one is None for one in leaf.operands("$eq", "$ne", "$gte", "$lte", "$in", "$nin", "$all"))
    )


def _nothing_there(leaf: Leaf) -> bool:
    alone = leaf.operand == {"$exists": False}  # the one case that mongomock looks after
    return not leaf.candidates and not alone and _may_hold_for_missing(leaf)


def _null_bound(leaf: Leaf) -> bool:
    return any(one is None for one in leaf.operands("$gte", "$lte")) and NOTHING in leaf.candidates


def _several_conditions(leaf: Leaf) -> bool:
    several = isinstance(leaf.operand, dict) and _operators(leaf.operand) and len(set(leaf.operand) - {"$options"}) > 1
    return several and len(leaf.candidates) > 1


def _several_negated(leaf: Leaf) -> bool:
    return "$not" in leaf.operators and _several_conditions(Leaf(leaf.document, leaf.path, leaf.operators["$not"]))


def _some_missing(leaf: Leaf) -> bool:
    return leaf.operators.get("$exists", True) is False and len(leaf.candidates) > 1


def _no_array(leaf: Leaf) -> bool:
    return "$size" in leaf.operators and any(
        not isinstance(one, list) and one is not NOTHING for one in leaf.candidates
    )


def _type_33_bits(leaf: Leaf) -> bool:
    return bool({"int", "long"} & set(leaf.operands("$type"))) and any(
        (isinstance(node, int) and node.bit_length() == 32) or node == -(2**31)
        for candidate in leaf.candidates
        for node in nodes(candidate)
    )


def _all_odd(leaf: Leaf) -> bool:
    if "$all" not in leaf.operators:
        return False
    return any(one is None or isinstance(one, list) for one in leaf.operators["$all"]) or any(
        _holds_array(candidate) or len(leaf.candidates) > 1 for candidate in leaf.candidates
    )


def _all_elem_match(leaf: Leaf) -> bool:
    return any(_is(one, "$elemMatch") for one in leaf.operators.get("$all", []))


def _element_no_object(leaf: Leaf) -> bool:
    inner = leaf.operators.get("$elemMatch")
    return (
        isinstance(inner, dict)
        and not _operators(inner)
        and any(
            not isinstance(element, dict)
            for candidate in leaf.candidates
            if isinstance(candidate, list)
            for element in candidate
        )
    )


def _element_array(leaf: Leaf) -> bool:
    return _operators(leaf.operators.get("$elemMatch")) and any(map(_holds_array, leaf.candidates))


def _numeric_step(leaf: Leaf) -> bool:
    """Whether a number in the path meets an array in which it is not just the position of a scalar or an object.

    It is also a field of the objects in the array, which lack it or not; and an array that it picks stays whole.
    """
    lacking_matters = _may_hold_for_missing(leaf)
    values = [leaf.document]
    for step in leaf.path.split("."):
        found = []
        for one in values:
            if isinstance(one, dict):
                found += [one[step]] if step in one else []
            elif isinstance(one, list) and not step.isdigit():
                found += [element[step] for element in one if isinstance(element, dict) and step in element]
            elif isinstance(one, list):
                picked = one[int(step) : int(step) + 1]
                if any(isinstance(element, dict) and (lacking_matters or step in element) for element in one):
                    return True
                if picked and isinstance(picked[0], list):
                    return True
                found += picked
        values = found
    return False


DIVERGENCES = [
    Divergence(
        "a boolean is taken for the number 0 or 1",
        MANUAL + "reference/bson-type-comparison-order/",
        _bool_as_number,
        {"a": True},
        {"a": 1},
        False,
    ),
    Divergence(
        "an array is not compared with the arrays in an array",
        MANUAL + "reference/operator/query/eq/#array-element-equals-a-value",
        _array_within_array,
        {"a": [[1], 2]},
        {"a": {"$eq": [1]}},
        True,
    ),
    Divergence(
        "an array as a whole is not found by $in",
        MANUAL + "reference/operator/query/in/#use-the--in-operator-to-match-values-in-an-array",
        _array_in,
        {"a": [1, 2]},
        {"a": {"$in": [[1, 2]]}},
        True,
    ),
    Divergence(
        "a path that leads nowhere is not missing",
        SOURCES + "jstests/core/null_query_semantics.js",  # testDottedEqualsNull: a_number
        _nothing_there,
        {"a": 5},
        {"a.b": None},
        True,
    ),
    Divergence(
        "an empty object equals what is missing",
        MANUAL + "tutorial/query-for-null-fields/#equality-filter",
        lambda leaf: leaf.operand == {} and all(one is NOTHING for one in leaf.candidates),
        {"b": 1},
        {"a": {}},
        False,
    ),
    Divergence(
        "what is missing is not $gte null, nor $lte null",
        SOURCES + "jstests/core/null_query_semantics.js",  # testBasicNotEqualsGTENullQuery: no_a
        _null_bound,
        {},
        {"a": {"$gte": None}},
        True,
    ),
    Divergence(
        "one element must satisfy all conditions",
        MANUAL + "tutorial/query-array-of-documents/#combination-of-elements-satisfies-the-criteria",
        _several_conditions,
        {"a": [{"b": 1}, {"b": 9}]},
        {"a.b": {"$gt": 5, "$lt": 3}},
        True,
    ),
    Divergence(
        "one element must satisfy all conditions below $not",
        MANUAL + "tutorial/query-array-of-documents/#combination-of-elements-satisfies-the-criteria",
        _several_negated,
        {"a": [{"b": 1}, {"b": 9}]},
        {"a.b": {"$not": {"$gt": 5, "$lt": 3}}},
        False,
    ),
    Divergence(
        "a field that one of several objects lacks does not exist",
        SOURCES + "jstests/core/exists.js",
        _some_missing,
        {"a": [{"b": 1}, {}]},
        {"a.b": {"$exists": False}},
        False,
    ),
    Divergence(
        "an object has a size, and so has a scalar",
        MANUAL + "reference/operator/query/size/",
        _no_array,
        {"a": {"b": 1}},
        {"a": {"$size": 1}},
        False,
    ),
    Divergence(
        "an int has 33 bits",
        MANUAL + "reference/bson-types/",
        _type_33_bits,
        {"a": 2**31},
        {"a": {"$type": "int"}},
        False,
    ),
    Divergence(
        "an empty $all matches everything",
        MANUAL + "reference/operator/query/all/#empty-array",
        lambda leaf: leaf.operators.get("$all") == [],
        {"a": 1},
        {"a": {"$all": []}},
        False,
    ),
    Divergence(
        "$all does not mean $and of $eq for null, arrays, and paths through arrays",
        MANUAL + "reference/operator/query/all/#equivalent-to--and-operation",
        _all_odd,
        {"a": ["x", "y"]},
        {"a": {"$all": [["x", "y"]]}},
        True,
    ),
    Divergence(
        "$all with $elemMatch looks at an object that is in no array",
        MANUAL + "reference/operator/query/all/#use--all-with--elemmatch",
        _all_elem_match,
        {"a": {"b": 1}},
        {"a": {"$all": [{"$elemMatch": {"b": 1}}]}},
        False,
    ),
    Divergence(
        "$elemMatch with a filter takes scalars for objects, and arrays for nothing",
        SOURCES + "jstests/core/null_query_semantics.js",  # testElemMatchObject: scalars never, a_double_array does
        _element_no_object,
        {"a": [5]},
        {"a": {"$elemMatch": {"b": {"$ne": 1}}}},
        False,
    ),
    Divergence(
        "$elemMatch with operators looks into arrays in the array",
        MANUAL + "reference/operator/query/elemMatch/#array-of-embedded-documents",
        _element_array,
        {"a": [[7]]},
        {"a": {"$elemMatch": {"$gt": 5}}},
        False,
    ),
    Divergence(
        "a number in a path is a position, or nothing",
        SOURCES + "jstests/core/match_numeric_components.js",
        _numeric_step,
        {"a": [{"0": 42}]},
        {"a.0": 42},
        True,
    ),
    Divergence(
        "$options cannot stand below $not",
        MANUAL + "reference/operator/query/not/#-not-and-regular-expressions",
        lambda leaf: _is(leaf.operators.get("$not"), "$options"),
        {"a": "B"},
        {"a": {"$not": {"$regex": "b", "$options": "i"}}},
        False,
    ),
    Divergence(
        "$not in $elemMatch, in the first place, holds for everything",
        MANUAL + "reference/operator/query/not/",
        lambda leaf: next(iter(leaf.operators.get("$elemMatch") or {}), "") == "$not",
        {"a": [7]},
        {"a": {"$elemMatch": {"$not": {"$gt": 5}}}},
        False,
    ),
]


def divergences_of(document: Any, filter: dict[str, Any]) -> list[str]:
    """Return the names of the divergences that a pair is about."""
    found = list(leaves(filter, document))
    return [one.name for one in DIVERGENCES if any(map(one.about, found))]
