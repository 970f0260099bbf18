"""Declared indexes: which query they serve, and how one is made and waited for."""

import logging

import google.api_core.exceptions
import grpc
import pytest

import datastore
from datastore.backend import Fields
from datastore.errors import DataStoreError, PermissionDeniedError, QueryError
from datastore.ids import key_range
from datastore_firestore import building
from tests.firestore.queries import expected, fields_asked, plan_of

pytestmark = pytest.mark.server("firestore")


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
    monkeypatch.setattr(building, "admin_client", lambda settings: administration)
    monkeypatch.setattr(building, "_LOOK_SECONDS", 0.01)
    return administration


def test_an_index_that_is_not_there_is_created_and_waited_for(backend, recorder, administration, caplog):
    refused = grpc.StatusCode.FAILED_PRECONDITION
    recorder.fail("RunQuery", refused, refused, refused)
    with caplog.at_level(logging.INFO, "datastore"):
        backend.ensure_index([("a b", "c"), ("price",)], None)
    ((parent, index),) = administration.asked
    assert parent.endswith("/databases/(default)/collectionGroups/agent_data_store")
    assert [field.field_path for field in index.fields] == ["userId", "namespace", "value.`a b`.c", "value.price"]
    assert {field.order.name for field in index.fields} == {"ASCENDING"}
    assert recorder.requests == ["RunQuery"] * 4
    assert "--field-config='field-path=value.price,order=ascending'" in caplog.text


def test_an_index_that_is_being_built_is_waited_for(backend, recorder, administration):
    administration.error = google.api_core.exceptions.AlreadyExists("there")
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    assert backend.ensure_index([("price",)], None)


def test_one_who_may_not_create_an_index_is_told_the_command(backend, recorder, administration):
    administration.error = google.api_core.exceptions.PermissionDenied("no")
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    with pytest.raises(PermissionDeniedError, match=r"gcloud firestore indexes composite create .*value\.price"):
        backend.ensure_index([("price",)], None)
    assert not backend._indexes._declared


def test_another_failure_to_create_an_index_is_one(backend, recorder, administration):
    administration.error = google.api_core.exceptions.InvalidArgument("no")
    recorder.fail("RunQuery", grpc.StatusCode.FAILED_PRECONDITION)
    with pytest.raises(DataStoreError, match="INVALID_ARGUMENT"):
        backend.ensure_index([("price",)], None)


def test_an_index_that_takes_too_long_is_an_outage(backend, recorder, administration, monkeypatch):
    monkeypatch.setattr(building, "_BUILD_SECONDS", 0.0)
    recorder.fail("RunQuery", *[grpc.StatusCode.FAILED_PRECONDITION] * 3)
    with pytest.raises(datastore.BackendUnavailableError, match="still being built"):
        backend.ensure_index([("price",)], None)


@pytest.mark.parametrize("paths", [[], [("__x__",)], [("a", "0")], [("a",)] * 21], ids=str)
def test_what_cannot_be_indexed_is_refused(backend, recorder, paths):
    with pytest.raises(QueryError):
        backend.ensure_index(paths, None)
    assert recorder.requests == []


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
