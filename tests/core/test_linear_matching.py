"""Matching and sorting look at each element once for each step of a path, and check the clock often enough.

The tests count executed lines of Python, and never time.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from datastore import DeadlineExceededError, QueryError, deadlines
from datastore.queries.language import MAX_CONDITIONS, MAX_NESTING, parse, parse_query
from datastore.queries.matcher import compile_filter
from datastore.queries.ordering import equality_key, sort_key
from datastore.queries.shaping import parse_fields, parse_sort
from datastore.queries.tree import In, clauses
from datastore.queries.updates import compile_update


class Work:
    """Counts the lines that a function executes, and how many it executes at most without a look at the clock."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.lines = self.unchecked = self._last = 0
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            self.result = function(*arguments)
        finally:
            sys.settrace(before)
        self._looked()

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines += 1
        elif event == "call" and frame.f_code is deadlines.check.__code__:
            self._looked()
        return self._trace

    def _looked(self) -> None:
        self.unchecked = max(self.unchecked, self.lines - self._last)
        self._last = self.lines


def nested(depth: int) -> Any:
    """Return arrays of one element within objects within arrays."""
    value: Any = {"0": 1}
    for _ in range(depth):
        value = {"0": [value]}
    return value


def zeros(steps: int) -> str:
    return ".".join(["0"] * steps)


def within_each_other(depth: int) -> dict[str, Any]:
    """Return an $elemMatch within an $elemMatch, and so on, each of which could begin at many elements."""
    filter: dict[str, Any] = {"0.0": 5}
    for _ in range(depth):
        filter = {"0.0": {"$elemMatch": filter}}
    return filter


def numbers(count: int) -> list[int]:
    return list(range(count))


GROWING = {
    "a path through arrays in arrays": lambda size: ({zeros(2 * size): 5}, nested(size)),
    "a range at its end": lambda size: ({zeros(size): {"$gt": 5}}, nested(size)),
    "nothing that is there": lambda size: ({zeros(2 * size): {"$exists": False}}, nested(size)),
    "$elemMatch at its end": lambda size: ({zeros(size): {"$elemMatch": {"0": 5}}}, nested(size)),
    "$all at its end": lambda size: ({zeros(size): {"$all": [5, 6]}}, nested(size)),
    "$not": lambda size: ({zeros(size): {"$not": {"$gt": 0}}}, nested(size)),
}


@pytest.mark.parametrize("name", GROWING)
def test_there_are_as_many_looks_as_elements_and_steps_and_no_more(name):
    """The ways through them double with each array: from 30 arrays to 60 that would be a billion times as much."""

    def lines(size: int) -> int:
        filter, document = GROWING[name](size)
        return Work(compile_filter(parse(filter)), document).lines

    assert lines(60) < 5 * lines(30)  # twice the elements, twice the steps


def test_an_elem_match_within_others_looks_once_from_wherever_it_begins():
    def lines(depth: int) -> int:
        return Work(compile_filter(parse(within_each_other(depth))), nested(60)).lines

    assert lines(12) < 4 * lines(6)  # twice the conditions; the ways to them would be 3 ** 6 times as many


def test_what_an_elem_match_knows_is_about_one_document():
    matches = compile_filter(parse({"0.0": {"$elemMatch": {"0": {"$elemMatch": {"a": 5}}}}}))
    for _ in range(3):
        for number in (5, 6, 5):
            document = {"0": [{"0": [[[{"a": number}]]]}, [[[{"a": number}]]]]}
            assert matches(document) is (number == 5)
            del document  # so that the next one lies at the same place


@pytest.mark.parametrize(
    "filter",
    [
        lambda values: {"a": {"$all": values}},
        lambda values: {"$and": [{"a": value} for value in values]},
        lambda values: {"$or": [{"a": -value - 1} for value in values]},
        lambda values: {"$nor": [{"a": {"$eq": -value - 1}} for value in values]},
        lambda values: {"$or": [{"a": {"$in": [-value - 1, -1]}} for value in values]},
        lambda values: {"a": {"$in": [-value - 1 for value in values]}},
        lambda values: {"a.b": {"$all": values}},
    ],
    ids=["$all", "$and", "$or", "$nor", "$or of $in", "$in", "$all below"],
)
def test_many_values_are_looked_up_and_not_compared_one_by_one(filter):
    """Twice the values and twice the elements are twice the work, and not four times."""

    def lines(count: int) -> int:
        matches = compile_filter(parse(filter(numbers(count))))
        return Work(matches, {"a": [*numbers(count), *({"b": number} for number in numbers(count))]}).lines

    assert lines(800) < 2.5 * lines(400)


def test_alternatives_for_one_path_become_one():
    (only,) = clauses(parse({"$or": [{"a": number} for number in numbers(5_000)]}))
    assert only.condition == In(tuple(numbers(5_000)))
    mixed = parse({"$or": [{"a": 1}, {"b": {"$gt": 1}}, {"a": {"$in": [2, None]}}, {"c": 1}]})
    assert [repr(one.condition) for one in mixed.clauses] == [
        "In(values=(1, 2, None))", "Compare(operator='$gt', value=1)", "Compare(operator='$eq', value=1)",
    ]  # fmt: skip


def test_integers_that_python_hashes_alike_are_told_apart_without_comparing_them():
    alike = [number * (2**61 - 1) for number in range(1, 3_000)]
    assert len(set(map(hash, alike))) == 1
    assert len({hash(equality_key(number)) for number in alike}) > 2_900
    assert equality_key(2**70) == equality_key(float(2**70)) != equality_key(2**70 + 1)
    assert equality_key(1) == equality_key(1.0) != equality_key(True)
    assert equality_key([1, {"b": 2, "a": None}]) == equality_key([1.0, {"a": None, "b": 2}])
    assert len({equality_key(one) for one in (None, False, 0, "", [], {}, [None], {"": None}, [[]])}) == 9


@pytest.mark.parametrize("sort", [zeros(20), "a.b", "a.b.c", "a.0.b"])
def test_sorting_looks_at_each_element_once(sort):
    def lines(count: int) -> int:
        document = {"a": [{"b": [{"c": one} for one in range(10)]} for _ in range(count)], "0": nested(count // 10)}
        return Work(sort_key(parse_sort([(sort, 1)])), document).lines

    assert lines(400) < 2.5 * lines(200)


def test_pulling_looks_at_each_element_once():
    def lines(count: int) -> int:
        update = compile_update({"$pull": {"a": {"$in": [-one for one in range(1, count)]}, "b": {zeros(20): 5}}})
        return Work(update, {"a": numbers(count), "b": [nested(20) for _ in range(count)]}).lines

    assert lines(200) < 2.5 * lines(100)


def test_what_python_hashes_alike_is_added_to_an_array_without_comparing_all_of_it():
    alike = [number * (2**61 - 1) for number in range(1, 20_000)]
    value = compile_update({"$addToSet": {"a": {"$each": alike}}})({"a": list(alike)})
    assert value == {"a": alike}


@pytest.mark.parametrize("fields", [["a.b.c", "a.d"], {"a.b.c": 0, "a.d": 0}])
def test_choosing_fields_looks_at_each_element_once(fields):
    def lines(count: int) -> int:
        return Work(parse_fields(fields), {"a": [{"b": [{"c": 1, "e": 2}], "d": 1} for _ in range(count)]}).lines

    assert lines(400) < 2.5 * lines(200)


LARGE = {
    "arrays in arrays": [[[], []] for _ in range(2_000)],
    "objects": [{"0": [{"0": number}]} for number in range(2_000)],
    "numbers": numbers(6_000),
}
ELEMENTS = 6_000
EXPENSIVE: list[dict[str, Any]] = [
    {"a": {"$gt": [[[]]]}},
    {"a": {"$eq": [[], []]}},
    {"a": {"$in": [[[], []]]}},
    {"a.0.0.0": {"$gt": 1e9}},
    {"a": {"$elemMatch": {"0.0": {"$gt": 1e9}}}},
    {"$or": [{"a": {"$gt": 1e9 + number}} for number in range(40)]},
    {"$or": [{"a.b": {"$gt": 1e9 + number}} for number in range(40)]},
    {"$or": [{"a.0.0": {"$gt": 1e9 + number}} for number in range(40)]},
    {"a": {"$all": [-1, -2]}},
]


@pytest.mark.parametrize("filter", EXPENSIVE, ids=lambda one: str(one)[:40])
@pytest.mark.parametrize("name", LARGE)
def test_the_clock_is_looked_at_while_one_document_is_matched(filter, name):
    """Between two looks lies at most one condition on one document, which of 1 MB takes some tenths of a second."""
    work = Work(compile_filter(parse(filter)), {"a": LARGE[name]})
    assert work.unchecked < 25 * ELEMENTS


@pytest.mark.parametrize("filter", [*EXPENSIVE[3:5], {zeros(40): 5}], ids=lambda one: str(one)[:40])
def test_matching_ends_when_the_time_is_up(filter):
    matches = compile_filter(parse(filter))
    document = {"a": LARGE["objects"], **nested(30)}
    with pytest.raises(DeadlineExceededError), deadlines.within(-1):
        matches(document)


# ---------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({f"f{number}": 1 for number in range(MAX_CONDITIONS + 1)}, "filter: has 1,001 conditions"),
        ({"$or": [{"a": {"$gt": number}} for number in range(MAX_CONDITIONS + 1)]}, "filter: has 1,001 conditions"),
        (
            {"a": {"$elemMatch": {f"f{number}": 1 for number in range(MAX_CONDITIONS)}}},
            "filter: has 1,001 conditions; the limit is 1,000. To ask whether a field is one of many values, use $in",
        ),
        ({"x.y": {"$all": numbers(MAX_CONDITIONS + 1)}}, "x.y.$all: has 1,001 values; the limit is 1,000"),
        ({zeros(201): 1}, "filter: the path '0.0.0"),
        ({"$or": [{"b": 1}, {zeros(201): 1}]}, "$or[1]: the path '0.0.0"),
    ],
    ids=["fields", "alternatives", "$elemMatch", "$all", "a path", "a path below"],
)
def test_a_filter_that_is_too_large_is_refused(filter, message):
    with pytest.raises(QueryError) as refused:
        parse(filter)
    assert str(refused.value).startswith(message)


def test_a_path_has_as_many_steps_as_values_are_deep():
    for call in (lambda text: parse_sort([(text, 1)]), lambda text: parse_fields([text])):
        call(zeros(200))
        with pytest.raises(QueryError, match=r"201 steps; a value is nested 200 deep at most"):
            call(zeros(201))


def test_what_people_ask_for_is_taken():
    parse({"a": {"$in": numbers(50_000)}, "b": {"$nin": [str(number) for number in range(50_000)]}})
    parse({"$or": [{"key": number} for number in range(20_000)]})
    parse({"tags": {"$all": numbers(MAX_CONDITIONS)}})
    parse({f"f{number}": 1 for number in range(MAX_CONDITIONS)})


def deep(operator: str, depth: int) -> dict[str, Any]:
    filter: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        filter = {"a": {"$elemMatch": filter}} if operator == "$elemMatch" else {operator: [filter]}
    return filter


def deep_not(depth: int) -> dict[str, Any]:
    operators: dict[str, Any] = {"$gt": 1}
    for _ in range(depth):
        operators = {"$not": operators}
    return {"a": operators}


@pytest.mark.parametrize("operator", ["$and", "$or", "$nor", "$elemMatch", "$not"])
def test_operators_are_nested_so_deep_and_no_deeper(operator):
    build = deep_not if operator == "$not" else lambda depth: deep(operator, depth)
    document: Any = 1
    for _ in range(MAX_NESTING + 1):
        document = {"a": [document]}
    compile_filter(parse(build(MAX_NESTING)))(document)
    for depth in (MAX_NESTING + 1, 90):
        with pytest.raises(QueryError, match=r"nested more than 50 deep"):
            parse(build(depth))
    with pytest.raises(QueryError, match=r"^meta\..*nested more than 50 deep"):
        parse_query(None, build(90))


@pytest.mark.parametrize("shape", [lambda value: [value], lambda value: {"0": value}, lambda value: [{"0": value}]])
def test_the_deepest_document_and_the_deepest_filter_leave_room_on_the_stack(shape):
    """A store is called from deep within frameworks: half of Python's stack is theirs."""
    document: Any = 1
    depth = 0
    while depth < 196:
        document, depth = shape(document), depth + (2 if shape(1) == [{"0": 1}] else 1)
    limit = sys.getrecursionlimit()
    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1
    sys.setrecursionlimit(used + 500)
    try:
        for steps in (1, 100, 199):
            for condition in ({"$gt": 5}, {"$eq": document}, {"$in": [document]}, {"$exists": False}):
                compile_filter(parse({zeros(steps): condition}))({"0": document})
            sort_key(parse_sort([(zeros(steps), 1)]))({"0": document})
        compile_filter(parse(deep("$and", MAX_NESTING)))({"a": document})
        compile_filter(parse(within_each_other(MAX_NESTING)))({"0": document})
    finally:
        sys.setrecursionlimit(limit)
