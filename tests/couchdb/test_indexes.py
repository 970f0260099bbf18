"""Declared indexes: which query they serve, and how one is made and waited for."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

import datastore
from datastore import PermissionDeniedError
from datastore.errors import BackendUnavailableError, UnsupportedError
from datastore.ids import key_range
from datastore.queries.language import parse_query
from datastore_couchdb.indexes import declare
from datastore_couchdb.schema import NAMESPACE_INDEX
from tests.couchdb import queries
from tests.couchdb.faults import NOT_ADMIN, STALL, hurry
from tests.servers.strict_couchdb import status

pytestmark = pytest.mark.server("couchdb")


def _remove_index(backend, name):
    rev = backend._session.get(f"_design/{name}")["_rev"]
    backend._session.post("_bulk_docs", {"docs": [{"_id": f"_design/{name}", "_rev": rev, "_deleted": True}]})


def test_a_declared_index_is_used_and_shown(agent, backend, asked):
    queries.numbered(agent, 50)
    agent.set_many({"float": {"n": 7.0}, "list": {"n": [7, 100]}, "none": {"n": None}, "missing": {}})
    name = backend.ensure_index([("n",)], None)
    with asked() as requests:
        assert set(agent.find({"n": {"$gte": 7, "$lt": 9}})) == {"k0007", "k0008", "float", "list"}
    assert requests == ["POST _find"] * 2, "the index, and the rest that it cannot hold"
    shown = agent.explain({"n": {"$gte": 7, "$lt": 9}})
    assert shown["index"] == name
    assert shown["documents_read"] == 4
    assert shown["native"][0]["selector"]["value.n"] == {"$gte": 7, "$lt": 9}
    assert set(agent.find({"n": {"$in": [3, 4]}})) == {"k0003", "k0004"}
    assert set(agent.find({"n": None})) == {"none", "missing"}
    assert agent.explain({"n": None})["index"] != name


def test_declaring_an_index_again_costs_nothing_and_others_see_it(url, backend, asked):
    with asked() as requests:
        name = backend.ensure_index([("a", "b"), ("c",)], "n%3A1")
    assert requests == ["POST _index", "POST _index", "POST _find", "POST _find"]
    with asked() as requests:
        assert backend.ensure_index([("a", "b"), ("c",)], "n%3A1") == name
    assert requests == []
    with datastore.connect(url) as other, asked() as requests:
        assert other.backend.ensure_index([("a", "b"), ("c",)], "n%3A1") == name
        query = parse_query({"a.b": 1, "c": {"$gt": 2}})
        assert other.backend.plan(key_range("u:n%3A1:", None), query).index == name
        assert other.backend.plan(key_range("u:n:", None), query).index != name
    assert requests == []


def test_an_index_needs_a_condition_on_each_of_its_fields(backend):
    name = backend.ensure_index([("a",), ("b",)], None)
    for filter, used in (
        ({"a": 1, "b": 2}, True),
        ({"a": {"$gt": 1}, "b": {"$in": [True, "x"]}}, True),
        ({"a": 1}, False),
        ({"a": 1, "b": "x", "c": 3}, True),
        ({"a": 1, "b": {"$gt": "x"}}, False),
        ({"a": 1, "b": {"$in": list(range(9))}}, False),
        ({"a": 1, "b": {"$in": ["é", "e\u0301"]}}, False),
        ({"a": 1, "b": {"$exists": True}}, False),
        ({"$or": [{"a": 1, "b": 1}]}, True),
        ({"$or": [{"a": 1, "b": 1}, {"a": 2, "b": 1}]}, False),
    ):
        assert (backend.plan(queries.OF_AGENT, parse_query(filter)).index == name) is used, filter


@pytest.mark.parametrize("path", [("0",), ("a", "12"), ("back\\slash",), ("constructor",), ("__proto__",)])
def test_what_mango_cannot_tell_from_other_things_cannot_be_indexed(backend, path):
    with pytest.raises(UnsupportedError):
        backend.ensure_index([path], None)


@pytest.mark.parametrize("part", ["", "_rest"])
def test_an_index_that_was_removed_is_not_asked_again_and_explain_says_so(agent, backend, asked, part):
    queries.numbered(agent, 20)
    agent.set_many({"list": {"n": [7, 100]}, "float": {"n": 7.0}, "text": {"n": 7, "m": 2**60}})
    filter, found = {"n": 7}, {"k0007", "list", "float", "text"}
    name = backend.ensure_index([("n",)], None)
    assert agent.explain(filter)["index"] == name
    _remove_index(backend, name + part)
    shown = agent.explain(filter)
    assert (shown["index"], shown["documents_returned"]) == (None, len(found))
    with asked() as requests:
        assert set(agent.find(filter)) == found
    assert requests == ["POST _find"]
    assert agent.explain(filter)["index"] == NAMESPACE_INDEX
    _remove_index(backend, NAMESPACE_INDEX)
    assert set(agent.find(filter)) == found
    with asked() as requests:
        assert set(agent.find(filter)) == found
    assert requests == ["GET _all_docs"]
    assert agent.explain(filter)["index"] is None
    assert backend.ensure_index([("n",)], None) == name
    assert agent.explain(filter)["index"] == name


def test_that_an_index_leaves_much_to_look_at_is_no_reason_not_to_use_it(agent, backend, proxy):
    """CouchDB warns of that as well."""
    queries.numbered(agent, 20)
    name = backend.ensure_index([("n",)], None)

    def warning(handler, request):
        code, body = handler.forward(request)
        text = "The number of documents examined is high in proportion to the number of results returned."
        answer = json.loads(body) | {"warning": text}
        handler.answer(code, json.dumps(answer).replace('"docs": [', '"docs":[').encode())
        return True

    proxy.fail("POST _find", warning, warning)
    assert agent.explain({"n": 7})["index"] == name
    assert agent.explain({"n": 7})["index"] == name


def test_names_of_indexes_differ_where_the_indexes_do():
    made = [
        declare([("a", "b")], None),
        declare([("a",), ("b",)], None),
        declare([("a", "b")], "n"),
        declare([("a_b",)], None),
        declare([("b",), ("a",)], None),
    ]
    assert len({index.name for index in made}) == len(made)


def test_creators_at_the_same_time_do_not_disturb_each_other(url, store, proxy):
    """CouchDB answers the one that comes second with an error of its own."""
    proxy.fail("POST _index", status(500, "error_saving_ddoc", "conflict"))
    with datastore.connect(url) as other, ThreadPoolExecutor(2) as threads:
        names = set(threads.map(lambda one: one.ensure_index(["a.b"], namespace="n"), (store, other)))
    assert len(names) == 1


def test_an_index_is_waited_for_as_long_as_building_it_takes(url, proxy, asked):
    with datastore.connect(url, retry_seconds=0) as store:
        proxy.fail("POST _find", STALL, STALL)
        hurry(store, STALL, 2, "_find")
        with asked() as requests:
            store.ensure_index(["a"])
    assert requests == ["POST _index"] * 2 + ["POST _find", "GET _design"] * 2 + ["POST _find"] * 2


def test_a_server_that_is_down_is_not_waited_for(store, proxy):
    backend = store.backend
    proxy.fail("POST _find", status(503))
    proxy.fail("GET _design", status(503))
    with pytest.raises(BackendUnavailableError):
        backend.ensure_index([("a",)], None)


def test_nor_does_a_declared_index_wait_for_what_lasts(store, proxy):
    proxy.requests.clear()
    proxy.fail("POST _index", *[NOT_ADMIN] * 9)
    with pytest.raises(PermissionDeniedError):
        store.ensure_index(["price"])
    assert proxy.requests == ["POST _index"]
