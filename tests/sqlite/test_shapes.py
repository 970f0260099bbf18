"""Plans kept by the shape of a query: what they give for other constants is what translating the query anew gives."""

from __future__ import annotations

import datetime
import sqlite3
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore.ids import key_range
from datastore.queries.language import parse_query
from datastore.queries.tree import Compare, Exists, Field, In
from datastore_sqlite.indexes import declare, key_binding_of, keys_by_path, points_of, range_of
from datastore_sqlite.opened import LOOK_SECONDS
from datastore_sqlite.planning import make_plan
from datastore_sqlite.shapes import Shapes, shape_of
from tests.sqlite.files import connect

RANGE = key_range("u:notes:")
INDEXES = [
    declare([("price",)], "notes"),
    declare([("kind",), ("price",)], "notes"),
    declare([("a", "b")], None),
    declare([("other",)], "elsewhere"),
]

numbers = st.integers(-(2**46), 2**46) | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
constants = scalars | st.just("x" * 300) | st.just("a\0b") | st.just([1]) | st.just({"a": 1})
comparing = st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"])
conditions = (
    constants.filter(lambda value: not isinstance(value, dict))
    | st.dictionaries(comparing, scalars, min_size=1, max_size=2)
    | st.fixed_dictionaries({"$in": st.lists(constants, max_size=20)})
    | st.fixed_dictionaries({"$exists": st.booleans()})
    | st.just({"$regex": "a"})
)
filters = st.dictionaries(st.sampled_from(["price", "kind", "a.b", "free", 'quo"ted']), conditions, max_size=3)
metas = st.dictionaries(
    st.sampled_from(["createdByAgent", "metadata.topic", "accessCount", "key"]), conditions, max_size=2
)


def other_constants(value):
    """Return a strategy for what has the form of a filter or a part of it, with constants of the same types."""
    if isinstance(value, dict):
        return st.fixed_dictionaries({name: other_constants(child) for name, child in value.items()})
    if isinstance(value, list):
        return st.tuples(*map(other_constants, value)).map(list)
    if isinstance(value, str):
        return st.text("abc", min_size=1, max_size=250)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return st.integers(-1_000, 1_000).map(type(value)) | st.just(value)
    return st.just(value)


@given(st.data(), filters, metas)
def test_a_plan_of_the_same_shape_is_the_one_that_translating_gives(data, filter, meta):
    shapes = Shapes()
    for _ in range(3):
        query = parse_query(filter, meta)
        fresh = make_plan(RANGE, query, lambda: INDEXES)
        assert make_plan(RANGE, query, lambda: INDEXES, shapes) == fresh
        filter, meta = data.draw(other_constants(filter)), data.draw(other_constants(meta))


@given(st.lists(scalars | constants, max_size=4))
def test_the_keys_for_constants_are_those_of_their_condition(values):
    conditions = [Compare("$eq", value) for value in values] + [In(tuple(values))]
    for condition, constant in zip(conditions, [*values, tuple(values)], strict=True):
        keys = points_of(condition)(constant)
        assert frozenset(keys) == keys_by_path([Field(("price",), condition)])["price",].points
        assert len(set(keys)) == len(keys)


@given(st.integers() | st.integers(-(2**46), 2**46))
def test_an_integer_is_the_only_key_of_what_equals_it_where_real_numbers_are_rounded_to_integers(value):
    try:
        as_real = float(value)
    except OverflowError:
        return
    if as_real == value:
        whole = set(points_of(Compare("$eq", 1))(value))
        assert whole == set(points_of(Compare("$eq", 1.5))(as_real))


@pytest.mark.parametrize("operator", ["$gt", "$gte", "$lt", "$lte"])
@given(st.integers(-(2**46), 2**46) | st.sampled_from([2**20 - 1, 2**20, 2**45 - 1, 2**45]))
def test_what_bounds_an_integer_bounds_the_real_number_that_equals_it(operator, value):
    whole, real = Compare(operator, 1), Compare(operator, 1.5)
    assert range_of(whole)(value) == range_of(real)(float(value))
    assert key_binding_of(whole)(value) == key_binding_of(real)(float(value))


@pytest.mark.parametrize("condition", [Compare("$gt", 1), Compare("$lte", "a"), Exists()], ids=repr)
def test_what_has_a_range_of_keys_is_not_merely_looked_up(condition):
    assert points_of(condition) is None


def test_equal_questions_with_other_constants_have_one_shape():
    def shape(filter):
        found = shape_of(parse_query(filter))
        return found and found[0]

    assert shape({"price": 1}) == shape({"price": 2}) != shape({"price": 2.5})
    assert shape({"kind": "a"}) == shape({"kind": "b" * 900}) != shape({"other": "a"})
    assert shape({"price": {"$gte": 1, "$lt": 5}}) == shape({"price": {"$gte": 3, "$lt": 4}})
    assert shape({"kind": {"$in": ["a", "b"]}}) == shape({"kind": {"$in": ["c", "d"]}}) != shape({"kind": {"$in": []}})
    assert shape({"done": True}) != shape({"done": False}) != shape({"done": None})


def test_a_query_of_a_known_shape_is_planned_without_its_tree():
    shapes = Shapes()
    for price in (1, 2):
        query = parse_query({"price": price})
        plan = make_plan(RANGE, query, lambda: INDEXES, shapes)
    with pytest.raises(AttributeError):
        object.__getattribute__(query, "value")
    assert plan.pushed.value == Field(("price",), Compare("$eq", 2))


@pytest.mark.parametrize(
    "filter",
    [
        {"kind": "a\0b"},
        {"price": 2**60},
        {"price": 1e300},
        {"price": [1]},
        {"price": {"$in": list(range(100))}},
        {"kind": {"$regex": "a"}},
        {"$or": [{"price": 1}, {"kind": "a"}]},
        {"price": {"$ne": 1}},
        {"$key": "k", "price": 1},
    ],
    ids=str,
)
def test_what_its_constants_can_change_has_no_shape_or_is_asked_like_others(filter):
    shapes = Shapes()
    query = parse_query(filter)
    for _ in range(2):
        assert make_plan(RANGE, query, lambda: INDEXES, shapes) == make_plan(RANGE, query, lambda: INDEXES)


def test_plans_are_not_kept_beyond_the_indexes_that_they_were_made_for(path):
    with connect(path) as store, datastore.connect(f"sqlite:///{path}") as other:
        agent = store.agent("u", "a")
        agent.set_many({f"k{number}": {"price": number} for number in range(5)})
        assert [agent.explain({"price": number})["index"] for number in (1, 2)] == [None, None]
        name = other.ensure_index(["price"])
        time.sleep(2 * LOOK_SECONDS)  # for that long, the indexes that were there are trusted
        assert [agent.explain({"price": number})["index"] for number in (1, 2)] == [name, name]
        assert agent.find({"price": 3}) == {"k3": {"price": 3}}
        connection = sqlite3.connect(path)
        connection.execute(f'DROP INDEX "{name}"')
        connection.close()
        assert agent.find({"price": 3}) == {"k3": {"price": 3}}
        time.sleep(2 * LOOK_SECONDS)
        assert [agent.explain({"price": number})["index"] for number in (1, 2)] == [None, None]
        assert agent.find({"price": 3}) == {"k3": {"price": 3}}


def test_a_plan_made_for_one_namespace_is_not_used_in_another(path):
    with connect(path) as store:
        notes, drafts = store.agent("u", "a", "notes"), store.agent("u", "a", "drafts")
        name = store.ensure_index(["price"], namespace="notes")
        for agent in (notes, drafts):
            agent.set("k", {"price": 1, "of": agent.namespace})
        assert notes.explain({"price": 1})["index"] == name
        assert drafts.explain({"price": 1})["index"] is None
        assert drafts.find({"price": 1}) == {"k": {"price": 1, "of": "drafts"}}
        assert notes.find({"price": 1}) == {"k": {"price": 1, "of": "notes"}}


def test_times_are_constants_like_others(path):
    with connect(path) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        past = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        assert agent.count(meta={"createdAt": {"$gt": past}}) == 1
        assert agent.count(meta={"createdAt": {"$gt": past.replace(year=2999)}}) == 0
