"""Finding on ministack: what the reference finds, each trap by name, pages and requests."""

import random
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore.backend import Fields
from datastore.conformance import query_strategies as make
from datastore.ids import key_range
from datastore.queries.language import parse_query
from datastore.queries.tree import EVERYTHING
from tests.dynamodb.queries import asked, check, plan_of
from tests.full import EXAMPLES_ON_SERVERS
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")


@settings(
    max_examples=EXAMPLES_ON_SERVERS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(make.documents, min_size=4, max_size=20), st.lists(make.filters, min_size=4, max_size=20))
def test_dynamodb_finds_what_the_reference_finds(agent, documents, filters):
    items = {f"k{number:02}": document for number, document in enumerate(documents)}
    check(agent.use_namespace(uuid.uuid4().hex), items, *filters)


@pytest.mark.server("dynamodb-dynalite")
def test_another_server_finds_the_same(monkeypatch):
    import datastore

    rng = random.Random(7)
    leaves = [None, True, False, 0, 1, 1.5, "", "a", "b", [], [1, ""], [False, "a"], {}, {"b": 1}, {"b": [1, {"c": 2}]}]
    items = {f"k{number:02}": {"a": rng.choice(leaves), "b": rng.choice(leaves)} for number in range(40)}
    conditions = [{"$eq": one} for one in leaves] + [{"$ne": one} for one in leaves]
    conditions += [{"$in": ["", 1, False]}, {"$type": "string"}, {"$type": "bool"}, {"$not": {"$type": "null"}}]
    conditions += [{"$size": 2}, {"$exists": False}, {"$regex": "^a"}, {"$gte": ""}, {"$lt": 1}, {"$gte": True}]
    with datastore.connect(dynamodb.DYNALITE.url()) as store:
        check(
            store.agent("u", "a"),
            items,
            *({path: condition} for path in ("a", "a.b", "a.b.c", "a.0") for condition in conditions),
        )


def test_a_value_that_is_not_native_is_never_lost(agent, items):
    texts = {
        "whole": {"n": 1.0, "s": "x"},
        "big": {"n": 10**40, "s": "x"},
        "long": {"n": 1, "s": "x", "pad": "y" * 400_000},
        "split": {"n": 1, "s": "x", "pad": random.Random(1).randbytes(400_000).hex()},
        "plain": {"n": 1, "s": "x"},
        "other": {"n": 2, "s": "z"},
    }
    check(
        agent, texts, {"s": "x"}, {"n": 1}, {"n": {"$gt": 10**39}}, {"n": 10**40}, {"n": {"$ne": 1}}, {"s": {"$in": []}}
    )
    assert {"valueJson", "valueZlib", "valueParts"} <= {name for item in items() for name in item}
    assert asked({"s": "x"}).startswith("attribute_not_exists(value) OR ")


def test_metadata_that_is_text_is_never_lost(agent):
    agent.set("whole", 1, {"n": 1.0, "s": "x"})
    agent.set("plain", 1, {"n": 1, "s": "x"})
    agent.set("none", 1)
    for meta, keys in (
        ({"metadata.s": "x"}, ["plain", "whole"]),
        ({"metadata.n": {"$gte": 1}}, ["plain", "whole"]),
        ({"metadata.s": {"$ne": "x"}}, ["none"]),
        ({"metadata.s": None}, ["none"]),
    ):
        assert [record.key for record in agent.find_records(meta=meta).records] == keys, meta


def test_arrays_on_the_way_and_at_the_end_are_gone_through(agent):
    items = {
        "end": {"a": {"b": [5, 7]}},
        "way": {"a": [{"b": 5}, {"b": 6}]},
        "both": {"a": [{"b": [5]}]},
        "empty": {"a": []},
        "nested": {"a": {"b": [[5]]}},
        "plain": {"a": {"b": 5}},
        "missing": {"a": {}},
        "list": [{"a": {"b": 5}}],
    }
    check(
        agent,
        items,
        *({"a.b": condition} for condition in (5, {"$ne": 5}, {"$gt": 6}, None, {"$ne": None}, {"$exists": False})),
        *({path: 5} for path in ("a.0.b", "a.b.0", "a.b.0.0", "a.0.b.0")),
        {"a.b": {"$size": 1}},
        {"a.b": {"$elemMatch": {"$eq": 5}}},
        {"a": {"$elemMatch": {"b": 6}}},
        {"a.b": {"$not": {"$in": [5, 7]}}},
        {"a.b": [5, 7]},
    )
    assert "attribute_type(value.a, 'L')" in asked({"a.b": 5})


@pytest.mark.parametrize("name", ["size", "value", "a-b", "a b", ":v0", "#n0", "é", "🔑", "0", "a'", "[0]", "(", "AND"])
def test_odd_and_reserved_names_are_names(agent, name):
    check(
        agent,
        {"a": {name: {name: 1}}, "b": {name: 2}, "c": {}},
        {name: 2},
        {f"{name}.{name}": 1},
        {name: {"$exists": False}},
    )


def test_a_name_with_a_dot_is_no_path(agent):
    check(agent, {"dot": {"a.b": 1}, "path": {"a": {"b": 1}}}, {"a.b": 1}, {"a.b": {"$ne": 1}})


def test_numbers_are_compared_exactly(agent):
    numbers = [0, -0.0, 1, 1.5, 0.1, 1e-7, 2**53, 2**53 + 1, float(2**53), 10**37, 10**37 + 1, 10**38 - 1, 10**38, 1e22]
    numbers += [-number for number in numbers] + [10**22, 1e23, int(1e23), 10**23, 1e300, 1e-200, -1e-200]
    items = {f"k{index:02}": {"n": number} for index, number in enumerate(numbers)}
    items["true"] = {"n": True}
    check(
        agent,
        items,
        *({"n": {operator: number}} for operator in ("$eq", "$ne", "$gt", "$lte") for number in numbers[::2]),
        {"n": {"$in": numbers[:20]}},
    )


def test_text_is_compared_by_code_points(agent):
    texts = ["", "a", "A", "b", "é", "\ud7ff", "\uffee", "🔑", "a\0b", "ab"]
    items = {f"k{index}": {"s": text} for index, text in enumerate(texts)}
    conditions = [{operator: text} for operator in ("$lt", "$gte") for text in texts]
    check(agent, items, *({"s": one} for one in conditions), {"s": {"$regex": "^\ud7ff"}}, {"s": {"$regex": "^a"}})


def test_types_are_kept_apart(agent):
    items = {
        f"k{index}": document
        for index, document in enumerate([{"v": one} for one in (True, 1, "1", None, False, 0, "", [], {})] + [{}, 1])
    }
    values = [True, 1, "1", None, False, 0, "", [], {}]
    check(
        agent,
        items,
        *({"v": {operator: one}} for operator in ("$eq", "$ne", "$gte", "$lt", "$gt") for one in values),
        *({"v": {"$type": name}} for name in ("bool", "int", "double", "string", "null", "array", "object", "number")),
        *({"v": {"$not": {"$type": name}}} for name in ("bool", "int", "string", "null", "array", "number")),
    )


@pytest.mark.parametrize("many", [0, 1, 8, 9, 100, 101, 260])
def test_any_number_of_values_can_be_asked_for(agent, many):
    items = {f"k{index}": {"v": index} for index in range(0, 300, 37)} | {"list": {"v": [4, 500]}, "null": {}}
    check(agent, items, {"v": {"$in": list(range(many))}}, {"v": {"$nin": [None, *range(many)]}})


def test_what_is_too_much_for_an_expression_is_checked_here(agent):
    check(
        agent,
        {"a": {"v": 3, "w": "x"}, "b": {"v": 3, "w": "y"}},
        {"w": "x", "$or": [{"v": {"$lt": number}} for number in range(200)]},
        {".".join("a" * 40): 1},
        {"v": 3, "w": {"$ne": "x" * 200_000}},
    )
    plan = plan_of({"w": "x", "$or": [{"v": {"$lt": number}} for number in range(200)]})
    assert plan.pushed.value == parse_query({"w": "x"}).value
    assert plan.residual.value != EVERYTHING
    assert plan_of({"$or": [{"v": {"$lt": number}} for number in range(200)]}) is None


@pytest.mark.parametrize(
    ("call", "requests"),
    [
        (lambda agent: agent.find({"n": 7}), 1),
        (lambda agent: agent.find({"n": {"$lt": 50}}, limit=3), 1),
        (lambda agent: agent.find({"n": 399}, limit=1), 4),
        (lambda agent: agent.count({"n": {"$gte": 0}}), 1),
        (lambda agent: agent.find_records(meta={"createdByAgent": "a"}, limit=5), 1),
        (lambda agent: agent.find_records(meta={"updatedByAgent": "a"}, limit=5), 1),
        (lambda agent: agent.explain({"n": 7}), 1),
        (lambda agent: agent.delete_where({"n": 7}), 2),
        (lambda agent: agent.update_where({"n": 7}, {"n": 8}), 2),
    ],
)
def test_a_query_sends_these_requests(agent, store, wire, call, requests):
    agent.set_many({f"k{number:03}": {"n": number} for number in range(400)})
    wire.requests.clear()
    call(agent)
    assert len(wire.operations) == requests, wire.operations
    assert wire.operations[0] == "Query"
    assert all(body["ConsistentRead"] is True for operation, body in wire.requests if operation == "Query")


def test_a_page_of_a_find_ends_at_its_limit_and_goes_on_behind(store, agent):
    agent.set_many({f"k{number:03}": {"n": number % 2} for number in range(100)})
    backend = store.backend
    whole, plan = key_range("u:default:", None), plan_of({"n": 1})
    found, after = [], None
    while True:
        page = backend.find(whole, plan, Fields.VALUE, 7, after)
        assert len(page.documents) <= 7
        found += [document.value["n"] for document in page.documents]
        after = page.after
        if after is None:
            break
    assert found == [1] * 50


def test_a_find_stays_in_its_namespace_and_shows_no_marker(agent, store):
    agent.set("large", {"n": 1, "pad": random.Random(2).randbytes(450_000).hex()})
    agent.use_namespace("default2").set("key", {"n": 1})
    store.agent("u2", "a").set("key", {"n": 1})
    assert list(agent.find({"n": {"$gte": 0}})) == ["large"]
    assert agent.count({"x": None}) == 1
