"""Queries: what Firestore finds is what the reference finds, and what it is asked needs no index of anybody's."""

import ast
import logging
import re
import uuid
from math import prod
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datastore
from datastore.backend import Fields
from datastore.errors import DataStoreError, PermissionDeniedError, QueryError, UnsupportedError
from datastore.ids import encode_key, key_range
from datastore.queries.language import parse_query
from datastore.queries.matcher import compile_filter
from datastore_firestore import indexes
from datastore_firestore.codec import arrays_in
from datastore_firestore.queries import reach

pytestmark = pytest.mark.server("firestore")

_BIG = [2**53, 2**53 + 1, -(2**53) - 1, 2.0**53, 2**60, 2.0**60, 2**63 - 1, 2**63, 2.0**63, 2**70, 2.0**70, 10**400]


def long_text(number):
    """Text around the 1,500 bytes that an index holds; made here, so that it is not in the strategy's own name."""
    return ["x" * 1_400, "x" * 1_401, "x" * 1_600, "x" * 1_600 + "y", "é" * 700][number]


_scalars = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2, 1.0, 0.5, -0.0, 0.0, "", "a", "b", "1", "é", "\uffff", "🔑"]),
    st.sampled_from(_BIG),
    st.integers(0, 4).map(lambda number: long_text(number)),
)
_steps = st.sampled_from(["a", "b", "c", "a.b", "__x__", "0", "1", "`", "$n"])
values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_steps, inner, max_size=3)),
    max_leaves=8,
)
documents = st.one_of(st.dictionaries(_steps, values, max_size=3), values)

_paths = st.sampled_from(
    ["a", "b", "c", "a.b", "a.a", "b.c", "a.b.c", "__x__", "a.__x__", "0", "a.0", "a.0.b", "`", "b.`"]
)
_filter_values = st.one_of(
    _scalars, st.lists(_scalars, max_size=2), st.dictionaries(st.sampled_from("abc"), _scalars, max_size=2)
)
_conditions = st.one_of(
    _scalars,
    _filter_values.map(lambda value: {"$eq": value}),
    _filter_values.map(lambda value: {"$ne": value}),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), _scalars),
    st.builds(lambda low, high: {"$gte": low, "$lt": high}, _scalars, _scalars),
    st.builds(
        lambda name, some: {name: some}, st.sampled_from(["$in", "$nin", "$all"]), st.lists(_filter_values, max_size=4)
    ),
    st.integers(0, 40).map(lambda many: {"$in": [*range(many), "a"]}),
    st.booleans().map(lambda there: {"$exists": there}),
    st.integers(0, 3).map(lambda length: {"$size": length}),
    st.builds(lambda value: {"$elemMatch": {"$eq": value}}, _scalars),
    st.builds(lambda path, value: {"$elemMatch": {path: value}}, _paths, _scalars),
    st.just({"$type": "array"}),
    st.just({"$not": {"$gt": 0}}),
)
_filters = st.dictionaries(_paths, _conditions, min_size=1, max_size=3)
filters = st.recursive(
    _filters,
    lambda inner: st.builds(
        lambda name, some: {name: some},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


def expected(items, filter):
    matches = compile_filter(parse_query(filter).value)
    return {key: items[key] for key in sorted(items, key=encode_key) if matches(items[key])}


def plan_of(backend, filter=None, meta=None, namespace="default"):
    return backend.plan(key_range(f"u:{namespace}:", None), parse_query(filter, meta))


@pytest.fixture(name="backend")
def get_backend(store):
    return store.backend


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(documents, min_size=1, max_size=30), st.lists(filters, min_size=1, max_size=25))
def test_firestore_finds_what_the_reference_finds(agent, store, some, wanted):
    items = {f"k{number:02}": value for number, value in enumerate(some)}
    agent = agent.use_namespace(uuid.uuid4().hex)
    agent.set_many(items)
    for path in ("a",), ("a", "b"):  # ranges are pushed as well
        store.backend.ensure_index([path], None)
    for filter in wanted:
        assert list(agent.find(filter).items()) == list(expected(items, filter).items()), filter


@settings(max_examples=500, deadline=None, database=None)
@given(filters, st.one_of(st.none(), filters))
def test_a_query_asks_no_more_than_the_automatic_indexes_serve(filter, meta):
    """On the built query; the emulator would take more."""
    found = reach(parse_query(filter, None if meta is None else {"metadata.a": 1, "$or": [_about(meta)]}))
    if found is not None:
        check_allowed(found.request.terms())


def _about(filter):
    """The same filter, on metadata."""
    if isinstance(filter, dict):
        return {
            name if name.startswith("$") else f"metadata.{name}": _about_operand(name, one)
            for name, one in filter.items()
        }
    return filter


def _about_operand(name, operand):
    return [_about(one) for one in operand] if name in ("$and", "$or", "$nor") else operand


def check_allowed(terms):
    disjunctions = 0
    for term in terms:
        operators = [test.operator for test in term]
        assert set(operators) <= {"==", "in", "array-contains", "array-contains-any"}
        assert sum(operator.startswith("array") for operator in operators) <= 1
        for test in term:
            if test.operator in ("in", "array-contains-any"):
                assert 1 < len(test.operand) <= 30
        disjunctions += prod(len(test.operand) for test in term if test.operator in ("in", "array-contains-any"))
    assert disjunctions <= 30


def fields_asked(query):
    """Every field filter of a query, as text."""

    def walk(filter):
        if filter.HasField("field_filter"):
            one = filter.field_filter
            yield f"{one.field.field_path} {one.Operator.Name(one.op)}"
        for inner in filter.composite_filter.filters:
            yield from walk(inner)

    return list(walk(query.where)) if query.HasField("where") else []


@pytest.mark.parametrize(
    "filter",
    [
        {"price": {"$gt": 5}},
        {"price": {"$gte": 5, "$lt": 7}},
        {"price": {"$ne": 5}},
        {"price": None},
        {"price": {"$in": [1, None]}},
        {"price": {"$nin": [1]}},
        {"price": {"$exists": True}},
        {"price": {"$exists": False}},
        {"price": {"$regex": "^a"}},
        {"price": {"$not": {"$gt": 5}}},
        {"price": {"a": 1}},
        {"price": {"$type": "string"}},
        {"price": {"$mod": [2, 0]}},
        {"price": "x" * 1_401},
        {"items.0": 1},
        {"items.0.price": 1},
        {"$or": [{"price": 1}, {"price": {"$gt": 5}}]},
        {"$nor": [{"price": 1}]},
        {"price": {"$in": list(range(31))}},
    ],
    ids=str,
)
def test_what_firestore_cannot_decide_or_needs_an_index_for_is_not_pushed(backend, filter):
    assert plan_of(backend, filter) is None


@pytest.mark.parametrize(
    "meta",
    [
        {"accessCount": 1},
        {"lastAccessedByAgent": "a"},
        {"lastAccessedAt": None},
        {"createdAt": {"$gt": "2026"}},
        {"metadata": {"a": 1}},
        {"createdByAgent": {"$ne": "a"}},
        {"createdByAgent.x": "a"},
        {"$or": [{"createdByAgent": "a"}, {"accessCount": 1}]},
    ],
    ids=str,
)
def test_what_is_counted_behind_and_what_is_not_equality_is_not_pushed(backend, meta):
    assert plan_of(backend, None, meta) is None


def test_a_pushed_query_is_a_page_of_equalities_in_the_order_of_names(agent, recorder):
    agent.set("k", {"status": "open", "tags": ["x"]})
    recorder.clear()
    assert agent.find({"status": "open", "tags": "x", "done": {"$ne": True}}) == agent.get_all()
    query = recorder.messages[0].structured_query
    assert [order.field.field_path for order in query.order_by] == ["__name__"]
    assert query.start_at.values[0].reference_value.endswith("/u:default:")
    assert query.end_at.values[0].reference_value.endswith("/u:default;")
    assert set(fields_asked(query)) == {
        "value.status EQUAL",
        "value.status ARRAY_CONTAINS",
        "value.tags EQUAL",
        "value.tags ARRAY_CONTAINS",
        "valueArrays ARRAY_CONTAINS_ANY",
    }


def test_a_find_is_one_stream(agent, recorder):
    agent.set_many({f"k{number:03}": {"n": number % 10, "of": {"it": number}} for number in range(200)})
    for call in (
        lambda: agent.find({"n": 3}),
        lambda: agent.find({"of.it": 3}),
        lambda: agent.count({"n": 3}),
        lambda: agent.find({"n": 3}, meta={"createdByAgent": "a"}),
        lambda: agent.find({"n": {"$gt": 3}}),
    ):
        recorder.clear()
        call()
        assert recorder.requests == ["RunQuery"]


def test_only_what_is_found_is_read(agent):
    agent.set_many({f"k{number:03}": {"n": number % 10, "tags": [f"t{number % 20}"]} for number in range(200)})
    for filter, read in [
        ({"n": 3}, 20),
        ({"n": {"$in": [3, 4]}}, 40),
        ({"tags": "t3"}, 10),
        ({"n": 3, "tags": "t3"}, 10),
        ({"n": 4, "tags": "t3"}, 0),
        ({"tags": {"$all": ["t3", "t4"]}}, 10),
        ({"$or": [{"n": 3}, {"tags": "t5"}]}, 30),
        ({"n": 3, "n2": {"$gt": 5}}, 20),
        ({"tags": {"$elemMatch": {"$eq": "t3", "$ne": "x"}}}, 10),
    ]:
        explained = agent.explain(filter)
        assert explained["documents_read"] == read, filter
        assert explained["native"]["order"] == ["__name__"]
        assert "(automatic)" in explained["index"]


def test_a_limit_stops_reading_early(agent, recorder):
    agent.set_many({f"k{number:03}": {"n": number % 2} for number in range(200)})
    recorder.clear()
    assert len(agent.find({"n": 1}, limit=3)) == 3
    (message,) = recorder.messages
    assert 3 <= message.structured_query.limit.value < 10  # a superset is found: some to spare


def test_pages_go_on_behind_each_other(agent):
    agent.set_many({f"k{number:03}": {"n": number % 2, "text": "x" * 200_000} for number in range(100)})
    assert len(agent.find({"n": 1})) == 50  # of 10 MB, which is more than a page
    keys, cursor = [], None
    while True:
        page = agent.find_records({"n": 1}, limit=7, cursor=cursor)
        keys += [record.key for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(keys) == [f"k{number:03}" for number in range(1, 100, 2)]


def test_what_arrays_hold_is_found_though_equality_does_not_look_into_them(agent):
    items = {
        "plain": {"tags": "x"},
        "array": {"tags": ["y", "x"]},
        "other": {"tags": ["y"]},
        "none": {},
    }
    agent.set_many(items)
    assert sorted(agent.find({"tags": "x"})) == ["array", "plain"]
    assert sorted(agent.find({"tags": ["y"]})) == ["other"]
    assert sorted(agent.find({"tags": {"$size": 2}})) == ["array"]


def test_an_array_on_the_way_hides_nothing(agent):
    items = {
        "maps": {"a": {"b": 1}},
        "array": {"a": [{"b": 2}, {"b": 1}]},
        "last": {"a": {"b": [1, 2]}},
        "deep": {"a": [{"b": [1]}]},
        "other": {"a": [{"b": 2}]},
        "scalars": {"a": [1]},
    }
    agent.set_many(items)
    assert sorted(agent.find({"a.b": 1})) == ["array", "deep", "last", "maps"]
    assert sorted(agent.find({"a": {"$elemMatch": {"b": 1}}})) == ["array", "deep"]


def test_two_arrays_in_one_document_are_met(agent):
    agent.set_many(
        {
            "both": {"a": ["x"], "b": ["y"]},
            "one": {"a": ["x"], "b": "y"},
            "none": {"a": "x", "b": "y"},
            "half": {"a": ["x"], "b": ["z"]},
        }
    )
    assert sorted(agent.find({"a": "x", "b": "y"})) == ["both", "none", "one"]
    assert sorted(agent.find({"a": {"$all": ["x", "y"]}})) == []
    assert agent.count({"a": "x", "b": "y"}, meta={"metadata.c": 1}) == 0


def test_arrays_of_value_and_metadata_are_met_together(agent):
    for number, (tags, kinds) in enumerate([("x", "m"), (["x"], "m"), ("x", ["m"]), (["x"], ["m"]), (["x"], ["n"])]):
        agent.set(f"k{number}", {"tags": tags}, {"kinds": kinds})
    assert sorted(agent.find({"tags": "x"}, meta={"metadata.kinds": "m"})) == ["k0", "k1", "k2", "k3"]


def test_what_is_stored_as_text_is_never_lost(agent):
    items = {
        "nested": {"a": 1, "grid": [[1]]},
        "big": {"a": 1, "n": 2**70},
        "reserved": {"a": 1, "__x__": 5},
        "zero": {"a": -0.0},
        "native": {"a": 1},
        "other": {"a": 2, "n": 2**70},
    }
    agent.set_many(items)
    assert sorted(agent.find({"a": 1})) == ["big", "native", "nested", "reserved"]
    assert sorted(agent.find({"a": 0})) == ["zero"]
    assert sorted(agent.find({"__x__": 5})) == ["reserved"]
    assert sorted(agent.find({"n": 2**70})) == ["big", "other"]
    assert sorted(agent.find({"grid": [1]})) == ["nested"]
    agent.set("big", {"a": 1})
    agent.set("native", {"a": 1, "n": 2**70})
    assert sorted(agent.find({"n": 2**70})) == ["native", "other"]


def test_metadata_that_is_text_is_never_lost(agent):
    agent.set("k1", 1, {"a": 1, "b": 2**70})
    agent.set("k2", 2, {"a": 1})
    agent.set("k3", 3, {"a": 2})
    assert sorted(agent.find(meta={"metadata.a": 1})) == ["k1", "k2"]
    agent.set("k3", 3, {"a": 1, "c": [[1]]})
    agent.set("k1", 1, {"b": None})
    assert sorted(agent.find(meta={"metadata.a": 1})) == ["k1", "k2", "k3"]


def test_null_and_missing_are_equal(agent):
    agent.set_many({"null": {"a": None}, "missing": {}, "zero": {"a": 0}, "text": "a"})
    assert sorted(agent.find({"a": None})) == ["missing", "null", "text"]


def test_numbers_are_equal_across_types_and_booleans_are_none(agent):
    items = {"int": {"a": 1}, "float": {"a": 1.0}, "true": {"a": True}, "text": {"a": "1"}}
    agent.set_many(items)
    assert sorted(agent.find({"a": 1})) == ["float", "int"]
    assert sorted(agent.find({"a": 1.0})) == ["float", "int"]
    assert sorted(agent.find({"a": True})) == ["true"]
    assert sorted(agent.find({"$or": [{"a": 1}, {"a": True}]})) == ["float", "int", "true"]
    agent.set_many({"large": {"a": 2**60}, "large float": {"a": 2.0**60}, "near": {"a": 2**60 + 1}})
    assert sorted(agent.find({"a": 2**60})) == ["large", "large float"]
    assert sorted(agent.find({"a": 2.0**60})) == ["large", "large float"]
    assert sorted(agent.find({"a": 2**60 + 1})) == ["near"]


def test_text_that_an_index_cuts_off_is_compared_whole(agent):
    long = "x" * 1_600
    agent.set_many({"a": {"t": long + "a"}, "b": {"t": long + "b"}, "c": {"t": "x" * 1_400}, "d": {"t": [long + "a"]}})
    assert sorted(agent.find({"t": long + "a"})) == ["a", "d"]
    assert sorted(agent.find({"t": "x" * 1_400})) == ["c"]


def test_field_names_are_escaped(agent):
    names = ["a b", "a-b", "`", "\\", "$n", "é", "1", "a\\`b"]
    for name in names:
        agent.set(name, {name: {"in": 1}})
    for name in names:
        if not name.startswith("$"):
            assert sorted(agent.find({f"{name}.in": 1})) == [name]
    agent.set("dotted", {"a.b": 1})
    agent.set("nested", {"a": {"b": 1}})
    assert sorted(agent.find({"a.b": 1})) == ["nested"]


def test_expired_records_are_hidden(url, recorder):
    now = [1_790_000_000.0]
    with datastore.connect(url, clock=lambda: now[0]) as store:
        agent = store.agent("u", "a")
        agent.set("k1", {"a": 1}, ttl=10)
        agent.set("k2", {"a": 1})
        assert agent.count({"a": 1}) == 2
        now[0] += 11
        assert sorted(agent.find({"a": 1})) == ["k2"]
        assert agent.count({"a": 1}) == 1


def test_provenance_is_decided_by_firestore_alone(agent, store, backend):
    agent.set("mine", {"a": 1})
    store.agent("u", "b").set("other", {"a": 1})
    plan = plan_of(backend, None, {"createdByAgent": "b"})
    assert not plan.residual
    assert sorted(agent.find(meta={"createdByAgent": "b"})) == ["other"]
    assert sorted(agent.find(meta={"createdByAgent": {"$in": ["b", "c", None]}, "key": "other"})) == ["other"]
    assert agent.count({"a": 1}, meta={"createdByAgent": "b"}) == 1
    assert sorted(agent.find(meta={"createdByAgent": "b", "accessCount": {"$gte": 1}})) == ["other"]


@pytest.mark.parametrize(
    ("filter", "meta"),
    [({"a": {"$all": []}}, None), ({"a": {"$gt": None}, "b": 1}, None), ({"a": 1}, {"createdByAgent": 5})],
    ids=str,
)
def test_a_filter_that_nothing_can_match_asks_nothing(agent, recorder, filter, meta):
    agent.set("k", {"a": 1})
    recorder.clear()
    assert agent.find(filter, meta=meta) == {}
    assert recorder.requests == []


def test_names_of_other_namespaces_and_users_are_not_found(agent, store):
    for user in ("u", "u:", "u1", "t"):
        for namespace in ("default", "default:", "default1"):
            store.agent(user, "a", namespace).set("k", {"a": f"{user} {namespace}", "n": 1})
    store.backend.ensure_index([("n",)], None)
    for filter in ({"n": 1}, {"n": {"$gt": 0}}):
        assert agent.find(filter) == {"k": {"a": "u default", "n": 1}}
        assert store.agent("u:", "a", "default:").find(filter) == {"k": {"a": "u: default:", "n": 1}}


def test_documents_list_their_arrays():
    assert arrays_in({"a": 1, "b": {"c": {}}}) == []
    assert arrays_in({"a": [], "b": {"c": [{"d": [1]}]}}) == ["a", "b.c", "a\nb.c"]
    assert arrays_in([1, {"a": []}]) == []
    assert arrays_in({str(number): [] for number in range(11)}) == [""]
    assert arrays_in({"x" * 600: []}) == [""]


def test_a_value_with_many_arrays_is_read_by_every_query(agent):
    agent.set("many", {"a": 1} | {f"x{number}": [number] for number in range(40)})
    agent.set("few", {"a": 1})
    assert sorted(agent.find({"x7": 7})) == ["many"]
    assert sorted(agent.find({"a": 1})) == ["few", "many"]


# From the last key to the first.


def test_a_filter_is_asked_in_the_order_of_names_and_its_answer_turned_round(agent, recorder):
    """Equality together with an order that is not that of names would need a composite index."""
    agent.set_many({f"k{number:03}": {"n": number % 10} for number in range(100)})
    recorder.clear()
    assert list(agent.find({"n": 3}, sort="-$key", limit=2)) == ["k093", "k083"]
    assert list(agent.find({"n": 3}, start="k050", end="k080", sort="-$key")) == ["k073", "k063", "k053"]
    assert recorder.requests == ["RunQuery"] * 2
    assert recorder.handed_over == 10 + 3
    for message in recorder.messages:
        (order,) = message.structured_query.order_by
        assert order.field.field_path == "__name__"
        assert order.direction == message.structured_query.Direction.Value("ASCENDING")
    explained = agent.explain({"n": 3}, sort="-$key", limit=2)
    assert explained["sorted_here"]
    assert explained["documents_read"] == 10
    assert not agent.explain({"n": 3}, limit=2)["sorted_here"]


def test_what_no_index_decides_is_read_from_the_last_and_no_further_than_wanted(agent, recorder):
    agent.set_many({f"k{number:03}": {"n": number % 10} for number in range(100)})
    recorder.clear()
    assert list(agent.find({"n": {"$gte": 5}}, sort="-$key", limit=3)) == ["k099", "k098", "k097"]
    assert recorder.requests == ["RunQuery"]
    assert recorder.handed_over <= 6


@pytest.mark.parametrize("sort", ["$key", "-$key"])
def test_pages_of_a_filter_in_either_direction_hold_everything_once(agent, recorder, sort):
    agent.set_many({f"k{number:03}": {"n": number % 10} for number in range(100)})
    cursor, keys = None, []
    while True:
        page = agent.find_records({"n": 3}, sort=sort, limit=4, cursor=cursor)
        keys += [record.key for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert keys == sorted((f"k{number:03}" for number in range(3, 100, 10)), reverse=sort == "-$key")


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT])
def test_without_the_index_of_ids_a_listing_from_the_last_names_the_command(agent, store, recorder, code):
    agent.set("k", 1)
    recorder.fail("RunQuery", code)
    with pytest.raises(UnsupportedError, match=r"gcloud firestore indexes fields update _id .*order=descending"):
        agent.list_keys(reverse=True)
    recorder.fail("RunAggregationQuery", code)
    assert store.backend.document_count() is None
    recorder.fail("RunQuery", grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(PermissionDeniedError):
        agent.list_keys(reverse=True)


# A query that is refused: the rest of the world has indexes, and administrators.


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT])
def test_without_the_index_a_find_reads_the_range_and_says_so_once(agent, recorder, caplog, code):
    agent.set_many({"k1": {"a": 1}, "k2": {"a": 2}})
    recorder.fail("RunQuery", code)
    recorder.clear()
    with caplog.at_level(logging.WARNING, "datastore"):
        assert sorted(agent.find({"a": 1})) == ["k1"]
        assert sorted(agent.find({"a": 2})) == ["k2"]
    assert recorder.requests == ["RunQuery"] * 3
    assert len(caplog.records) == 1
    assert "value.a" in caplog.text
    assert not any(fields_asked(message.structured_query) for message in recorder.messages[1:])


def test_other_failures_of_a_find_are_failures(agent, recorder):
    recorder.fail("RunQuery", grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(PermissionDeniedError):
        agent.find({"a": 1})


# Declared indexes.


def test_the_adapter_finds_and_declares_indexes(backend):
    assert {"find", "ensure_index"} <= backend.capabilities.abilities


def fill_prices(agent):
    items = {f"k{number:03}": {"price": number, "kind": f"t{number % 4}"} for number in range(100)}
    items |= {
        "array": {"price": [200, 95], "kind": "t1"},
        "far": {"price": [200], "kind": "t1"},
        "text": {"price": 95, "kind": "t1", "grid": [[1]]},
        "float": {"price": 95.5, "kind": "t1"},
        "word": {"price": "95", "kind": "t1"},
        "true": {"price": True, "kind": "t1"},
        "missing": {"kind": "t1"},
        "kinds": {"price": 95, "kind": ["t1"]},
        "many": {"price": 95, "kind": "t1"} | {f"x{number}": [] for number in range(11)},
    }
    agent.set_many(items)
    return items


def test_a_declared_index_serves_ranges(agent, backend, recorder):
    items = fill_prices(agent)
    filter = {"price": {"$gte": 95, "$lt": 98}}
    assert agent.explain(filter)["documents_read"] == len(items)
    recorder.clear()
    name = backend.ensure_index([("price",)], None)
    assert name == "userId,namespace,value.price"
    assert backend.ensure_index([("price",)], None) == name
    assert recorder.requests == ["RunQuery"]  # it asks whether the index is there, once
    recorder.clear()
    assert list(agent.find(filter)) == list(expected(items, filter))
    assert recorder.requests == ["RunQuery"] * 2
    explained = agent.explain(filter)
    assert explained["index"] == name
    assert explained["sorted_here"]
    assert explained["documents_read"] == 9
    assert agent.count(filter) == len(expected(items, filter))


def test_a_range_of_an_index_is_ordered_by_its_last_field(agent, backend, recorder):
    backend.ensure_index([("kind",), ("price",)], None)
    recorder.clear()
    agent.find({"kind": "t1", "price": {"$gt": 95}})
    query, rest = (message.structured_query for message in recorder.messages)
    assert [order.field.field_path for order in query.order_by] == ["value.price", "__name__"]
    assert fields_asked(query) == [
        "userId EQUAL",
        "namespace EQUAL",
        "value.kind EQUAL",
        "value.price GREATER_THAN",
    ]
    assert [order.field.field_path for order in rest.order_by] == ["__name__"]
    assert fields_asked(rest) == ["valueArrays ARRAY_CONTAINS_ANY"]


def test_keys_go_before_an_index(agent, backend, recorder):
    """Firestore cannot narrow an index of values by keys: a range of few keys reads these."""
    agent.set_many({f"k{number:03}": {"price": number} for number in range(100)})
    backend.ensure_index([("price",)], None)
    recorder.clear()
    assert list(agent.find({"price": {"$gt": 10}}, prefix="k05")) == [f"k05{number}" for number in range(10)]
    assert list(agent.find({"price": {"$gt": 10}}, start="k09", sort="-$key", limit=2)) == ["k099", "k098"]
    assert recorder.requests == ["RunQuery"] * 2
    assert recorder.handed_over <= 10 + 5
    assert agent.explain({"price": {"$gt": 10}}, prefix="k05")["index"] is None
    assert agent.explain({"price": {"$gt": 10}})["index"] == "userId,namespace,value.price"


def test_the_next_page_uses_an_index_in_another_process_too(url, agent, backend, recorder):
    agent.set_many({f"k{number:03}": {"price": number} for number in range(100)})
    backend.ensure_index([("price",)], None)
    first = agent.find_records({"price": {"$gt": 95}}, limit=2)
    assert [record.key for record in first.records] == ["k096", "k097"]
    recorder.clear()
    with datastore.connect(url, interceptors=[recorder]) as other:
        other.ensure_index(["price"])
        recorder.clear()
        rest = other.agent("u", "a").find_records({"price": {"$gt": 95}}, limit=2, cursor=first.cursor)
        assert [record.key for record in rest.records] == ["k098", "k099"]
        assert "value.price GREATER_THAN" in fields_asked(recorder.messages[0].structured_query)


def test_an_index_of_two_fields_goes_before_equality_and_one_field_does_not(agent, backend):
    items = fill_prices(agent)
    filter = {"kind": "t1", "price": {"$gt": 95}}
    backend.ensure_index([("price",)], None)
    assert "automatic" in agent.explain(filter)["index"]
    backend.ensure_index([("kind",), ("price",)], None)
    assert agent.explain(filter)["index"] == "userId,namespace,value.kind,value.price"
    assert list(agent.find(filter)) == list(expected(items, filter))


def test_of_several_indexes_the_one_with_most_equality_is_used_whichever_was_declared_first(agent, backend):
    fill_prices(agent)
    filter = {"kind": "t1", "place": "x", "price": {"$gt": 95}, "age": {"$gt": 1}}
    for fields in (["price"], ["kind", "price"], ["kind", "place", "price"], ["kind", "age"]):
        backend.ensure_index([(field,) for field in fields], None)
    assert agent.explain(filter)["index"] == "userId,namespace,value.kind,value.place,value.price"
    filter.pop("place")
    assert agent.explain(filter)["index"] == "userId,namespace,value.kind,value.age"


def test_an_index_of_one_namespace_serves_that_one(backend):
    backend.ensure_index([("price",)], "other%3A")
    assert plan_of(backend, {"price": {"$gt": 1}}) is None
    assert plan_of(backend, {"price": {"$gt": 1}}, namespace="other%3A").index == "userId,namespace,value.price"


@pytest.mark.parametrize(
    "filter",
    [
        {"price": {"$gt": "a", "$lt": 5}},
        {"price": {"$gt": 2**53 + 1}},
        {"price": {"$gt": True}},
        {"price": {"$gt": [1]}},
        {"price": {"$gt": "x" * 1_401}},
        {"other": {"$gt": 1}},
        {"$or": [{"price": {"$gt": 1}}, {"other": 1}]},
    ],
    ids=lambda wanted: str(wanted)[:40],
)
def test_ranges_that_an_index_would_cut_short_are_not_pushed(backend, filter):
    backend.ensure_index([("price",)], None)
    assert plan_of(backend, filter) is None


def test_pages_of_an_index_go_on_behind_each_other_at_one_moment(agent, backend, recorder):
    items = fill_prices(agent)
    backend.ensure_index([("price",)], None)
    range = key_range("u:default:", None)
    plan = plan_of(backend, {"price": {"$gte": 90}})
    found, after = [], None
    recorder.clear()
    while True:
        page = backend.find(range, plan, Fields.KEY, 3, after)
        found += [document.id for document in page.documents]
        agent.set("k099", {"price": 91})  # moves within the index
        agent.set("k098", {"price": [98]})  # moves out of it
        after = page.after
        if after is None:
            break
    assert len(found) == len(set(found))
    superset = {datastore.ids.decode_id(id).key for id in found}
    assert superset >= set(expected(items, {"price": {"$gte": 90}}))
    asked = [message for name, message in zip(recorder.requests, recorder.messages, strict=True) if name == "RunQuery"]
    moments = {str(message.read_time) for message in asked if message.HasField("read_time")}
    assert len(moments) == 1


def test_records_of_an_index_come_in_pages(agent, backend):
    items = fill_prices(agent)
    backend.ensure_index([("price",)], None)
    keys, cursor = [], None
    while True:
        page = agent.find_records({"price": {"$gte": 90}}, limit=4, cursor=cursor)
        keys += [record.key for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert keys == list(expected(items, {"price": {"$gte": 90}}))


def test_an_index_that_was_dropped_is_used_no_longer(agent, backend, recorder, caplog):
    items = fill_prices(agent)
    backend.ensure_index([("price",)], None)
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    with caplog.at_level(logging.WARNING, "datastore"):
        assert list(agent.find({"price": {"$gte": 95}})) == list(expected(items, {"price": {"$gte": 95}}))
    assert "value.price" in caplog.text
    assert plan_of(backend, {"price": {"$gte": 95}}) is None


class Administration:
    """Stands for the administration API, which the emulator does not have."""

    def __init__(self, error=None):
        self.error = error
        self.asked = []

    def create_index(self, parent, index):
        self.asked.append((parent, index))
        if self.error is not None:
            raise self.error


@pytest.fixture(name="administration")
def make_administration(monkeypatch):
    administration = Administration()
    monkeypatch.setattr(indexes, "admin_client", lambda settings: administration)
    monkeypatch.setattr(indexes, "_LOOK_SECONDS", 0.01)
    return administration


def test_an_index_that_is_not_there_is_created_and_waited_for(backend, recorder, administration, caplog):
    refused = grpc.StatusCode.FAILED_PRECONDITION
    recorder.fail("RunQuery", refused, refused, refused)
    with caplog.at_level(logging.INFO, "datastore"):
        backend.ensure_index([("a b", "c"), ("price",)], None)
    ((parent, index),) = administration.asked
    assert parent.endswith("/databases/(default)/collectionGroups/agent_data_store")
    assert [field.field_path for field in index.fields] == ["userId", "namespace", "value.`a b`.c", "value.price"]
    assert recorder.requests == ["RunQuery"] * 4
    assert '{"fieldPath": "value.price", "order": "ASCENDING"}' in caplog.text


def test_an_index_that_is_being_built_is_waited_for(backend, recorder, administration):
    administration.error = indexes.google.api_core.exceptions.AlreadyExists("there")
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    assert backend.ensure_index([("price",)], None)


def test_one_who_may_not_create_an_index_is_told_the_command(backend, recorder, administration):
    administration.error = indexes.google.api_core.exceptions.PermissionDenied("no")
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    with pytest.raises(PermissionDeniedError, match=r"gcloud firestore indexes composite create .*value\.price"):
        backend.ensure_index([("price",)], None)
    assert not backend._indexes._declared


def test_another_failure_to_create_an_index_is_one(backend, recorder, administration):
    administration.error = indexes.google.api_core.exceptions.InvalidArgument("no")
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    with pytest.raises(DataStoreError, match="INVALID_ARGUMENT"):
        backend.ensure_index([("price",)], None)


def test_an_index_that_takes_too_long_is_an_outage(backend, recorder, administration, monkeypatch):
    monkeypatch.setattr(indexes, "_BUILD_SECONDS", 0.0)
    recorder.fail("RunQuery", *[grpc.StatusCode.FAILED_PRECONDITION] * 3)
    with pytest.raises(datastore.BackendUnavailableError, match="still being built"):
        backend.ensure_index([("price",)], None)


@pytest.mark.parametrize("paths", [[], [("__x__",)], [("a", "0")], [("a",)] * 21], ids=str)
def test_what_cannot_be_indexed_is_refused(backend, recorder, paths):
    with pytest.raises(QueryError):
        backend.ensure_index(paths, None)
    assert recorder.requests == []


def test_what_the_page_on_firestore_shows_is_true(agent, store):
    page = (Path(__file__).parents[2] / "docs/backends/firestore.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```$", page.partition("## Queries and indexes")[2], re.MULTILINE | re.DOTALL)
    names = {"data_store": agent, "store": store}
    checked = 0
    for block in shown[:2]:
        statements = ast.parse(block).body
        for statement, end in zip(statements, [*[one.lineno - 1 for one in statements[1:]], None], strict=True):
            text = ast.unparse(statement)
            said = "\n".join(block.splitlines()[statement.lineno - 1 : end]).partition("# -> ")[2]
            if said:
                assert repr(eval(text, names)) == said
                checked += 1
            else:
                exec(text, names)
    assert checked == 6
