"""What a filter was parsed to serves for others with its outline, and gives what parsing them gives."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.errors import QueryError
from datastore.queries.language import _parsed, parse_query
from datastore.queries.outlines import outline_of

names = st.sampled_from(["a", "b.c", "d.0", "title", "$key", "$createdAt", "$nor", ""])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.integers(2**44, 2**46)
    | st.text(max_size=3)
    | st.just("a\0b")
)
operands = (
    scalars
    | st.dictionaries(st.sampled_from(["$eq", "$gt", "$lte", "$ne", "$wrong", "plain"]), scalars, max_size=3)
    | st.fixed_dictionaries({"$in": st.lists(scalars, max_size=14)})
    | st.lists(scalars, max_size=2)
)


def outcome(parse, filter):
    try:
        return parse(filter, None)
    except QueryError as error:
        return str(error)


@given(st.lists(st.dictionaries(names, operands, max_size=3), min_size=1, max_size=4))
def test_a_known_outline_changes_nothing(filters):
    for filter in filters + filters:
        assert repr(outcome(parse_query, filter)) == repr(outcome(_parsed, filter))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": "x", "b": True}, {"a": "y", "b": True}),
        ({"a": {"$gt": 1, "$lt": 2}, "b": 1.5}, {"a": {"$gt": 8, "$lt": 9}, "b": 2.5}),
        ({"a": {"$in": ["x", None]}}, {"a": {"$in": ["y", None]}}),
    ],
    ids=str,
)
def test_constants_make_no_difference_to_it(one, other):
    assert parse_query(one).outline == parse_query(other).outline is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": True}, {"a": False}),
        ({"a": {"$gt": 1}}, {"a": {"$gte": 1}}),
        ({"a": {"$in": [1, 2]}}, {"a": {"$in": [1, 2, 3]}}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
    ids=str,
)
def test_everything_else_does(one, other):
    assert parse_query(one).outline != parse_query(other).outline


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"a": {}},
        {"a": []},
        {"a": float("nan")},
        {"a": "\ud800"},
        {"a": "é"},
        {"a": 2**45},
        {"a": {"$ne": 1}},
        {"$key": "k"},
        {f"a{number}": number for number in range(9)},
        {"x" * 1_001: 1},
        [("a", 1)],
        None,
    ],
    ids=lambda one: str(one)[:20].encode("ascii", "replace").decode(),
)
def test_only_plain_filters_have_one(filter):
    assert outline_of(filter) is None


def test_a_query_made_of_another_one_does_not_take_it_over():
    query = parse_query({"a": 1})
    assert query.outline is not None
    assert replace(query, meta=query.value).outline is None


def test_names_and_values_of_other_classes_are_left_to_the_parser():
    class Text(str):
        def __eq__(self, other):
            raise AssertionError

        __hash__ = str.__hash__

    for filter in ({Text("a"): 1}, {"a": Text("x")}, {"a": {Text("$eq"): 1}}):
        assert outline_of(filter) is None
