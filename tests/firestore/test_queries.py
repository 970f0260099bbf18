"""Queries by Firestore: what is pushed, and what it is asked, which needs no index of anybody's."""

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore.conformance.documents import apply, put
from datastore.queries.language import parse_query
from datastore_firestore.queries import reach
from tests.firestore.documents import plant
from tests.firestore.queries import fields_asked, filters, plan_of

pytestmark = pytest.mark.server("firestore")


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


def test_provenance_is_decided_by_firestore_alone(agent, store, backend):
    agent.set("mine", {"a": 1})
    store.agent("u", "b").set("other", {"a": 1})
    plan = plan_of(backend, None, {"createdByAgent": "b"})
    assert not plan.residual
    assert sorted(agent.find(meta={"createdByAgent": "b"})) == ["other"]
    assert sorted(agent.find(meta={"createdByAgent": {"$in": ["b", "c", None]}, "key": "other"})) == ["other"]
    assert agent.count({"a": 1}, meta={"createdByAgent": "b"}) == 1
    assert sorted(agent.find(meta={"createdByAgent": "b", "accessCount": {"$gte": 1}})) == ["other"]
    store.agent("u", "c").set("other", {"a": 2})
    assert not plan_of(backend, None, {"updatedByAgent": "c"}).residual
    assert sorted(agent.find(meta={"createdByAgent": "b", "updatedByAgent": "c"})) == ["other"]
    assert agent.find(meta={"updatedByAgent": "b"}) == {}


def test_the_host_has_no_name_and_is_found_by_that(agent, backend):
    apply(backend, [put("of the host", 1, user="u", namespace="default", agent="")])
    agent.set("mine", 1)
    for field in ("createdByAgent", "updatedByAgent"):
        assert not plan_of(backend, None, {field: ""}).residual
        assert sorted(agent.find(meta={field: ""})) == ["of the host"]
        assert sorted(agent.find(meta={field: {"$ne": ""}})) == ["mine"]


def test_a_record_that_does_not_say_who_wrote_it_last_is_found_by_that(agent, store):
    agent.set_many({"old": 1, "new": 1})
    plant(store, agent.get_record("old").id, {"updatedByAgent": None})
    assert sorted(agent.find(meta={"updatedByAgent": None})) == ["old"]
    assert sorted(agent.find(meta={"updatedByAgent": {"$in": [None, "b"]}})) == ["old"]
    assert sorted(agent.find(meta={"updatedByAgent": {"$ne": "a"}})) == ["old"]
    assert sorted(agent.find(meta={"updatedByAgent": "a"})) == ["new"]


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
