"""Databases and documents of other programs, and servers that refuse: said at connect, and nothing is touched."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from contextlib import closing

import pytest

import datastore
from datastore import ConfigurationError, DamagedRecordError, PermissionDeniedError
from datastore.moving import import_legacy
from datastore.urls import Url
from datastore_couchdb import open_legacy
from datastore_couchdb.schema import EXPIRY_INDEX, RECORD_VIEWS
from tests.couchdb.test_faults import proxy_request
from tests.servers.strict_couchdb import meanwhile, status

pytestmark = pytest.mark.server("couchdb")


def legacy(user, namespace, key, value):
    """A document as the platform wrote it that this store was specified after."""
    return {
        "_id": f"{user}:{namespace}:{b64encode(key.encode()).decode()}",
        "userId": user,
        "namespace": namespace,
        "key": key,
        "value": value,
        "metadata": {},
        "createdByAgent": "planner",
        "lastAccessedByAgent": None,
        "accessCount": 3,
        "createdAt": "2025-01-02T03:04:05.678901",
        "updatedAt": "2025-01-02T03:04:05.678901",
        "lastAccessedAt": None,
    }


LEGACY = [legacy("alice", "default", "k", 1), legacy("bob", "trips:2026", "rome", [3]), legacy("u", "n", "x", 2)]


def fill(proxy, name, documents):
    proxy_request(proxy, "PUT", f"/{name}")
    send(proxy, name, documents)


def send(proxy, name, documents):
    connection = proxy_connection(proxy)
    headers = {"Authorization": proxy.credentials, "Content-Type": "application/json"}
    connection.request("POST", f"/{name}/_bulk_docs", json.dumps({"docs": documents}), headers)
    assert connection.getresponse().status == 201
    connection.close()


def contents(proxy, name):
    connection = proxy_connection(proxy)
    connection.request("GET", f"/{name}/_all_docs?include_docs=true", headers={"Authorization": proxy.credentials})
    rows = json.loads(connection.getresponse().read())["rows"]
    connection.close()
    return {row["id"]: row["doc"] for row in rows}


def proxy_connection(proxy):
    return http.client.HTTPConnection("127.0.0.1", proxy.upstream)


INDEX = {"_id": "_design/by_user", "views": {"by_user": {"map": "function (doc) { emit(doc.userId); }"}}}


@pytest.mark.parametrize("more", [[], [INDEX]], ids=["", "with a design document"])
@pytest.mark.parametrize("parameters", ["", "?create=false"])
def test_another_programs_database_is_refused_before_anything_is_written(name, url, proxy, more, parameters):
    fill(proxy, name, LEGACY + more)
    before = contents(proxy, name)
    proxy.requests.clear()
    with pytest.raises(ConfigurationError, match=r"another program has written.*datastore import-legacy"):
        datastore.connect(url + parameters)
    assert all(request.startswith("GET") for request in proxy.requests)
    assert contents(proxy, name) == before


def test_what_is_there_is_moved_as_the_message_says(name, url, proxy):
    fill(proxy, name, LEGACY)
    with datastore.connect(f"{url}_new") as target, closing(open_legacy(Url(url))) as source:
        report = import_legacy(source, target)
        assert report.written == 3
        assert target.agent("bob", "a").use_namespace("trips:2026").get("rome") == [3]
    proxy_request(proxy, "DELETE", f"/{name}_new")


def test_a_database_that_is_empty_or_has_been_ours_without_indexes_is_taken(name, url, proxy):
    fill(proxy, name, [INDEX])
    with datastore.connect(url + "?create=false") as store:
        store.agent("u", "a").set("k", 1)
    for parameters in ("?create=false", ""):
        with datastore.connect(url + parameters) as store:
            assert store.agent("u", "a").get("k") == 1
            assert store.agent("u", "a").count() == 1


@pytest.fixture(params=["with the views", "without"])
def mixed(request, name, store, agent, proxy):
    """An agent of a store into whose database another program has written."""
    agent.set_many({"ours": 1, "ours too": 2})
    agent.set("gone", 1, ttl=0.001)
    send(proxy, name, [legacy("u", "default", "theirs", 7), {**legacy("u", "n", "x", 8), "namespace": "n"}])
    if request.param == "without":
        store.backend._session.remove(f"_design/{RECORD_VIEWS}")
    return agent


def theirs(proxy, name):
    return sorted(document["value"] for document in contents(proxy, name).values() if document.get("accessCount") == 3)


def test_their_documents_met_later_are_damaged_records(mixed):
    for call in (
        lambda: mixed.get("theirs"),
        lambda: mixed.get_record("theirs"),
        lambda: mixed.set("theirs", 1),
        lambda: mixed.add("theirs", 1),
        lambda: mixed.increment("theirs"),
        lambda: mixed.get_many(["ours", "theirs"]),
    ):
        with pytest.raises(DamagedRecordError):
            call()
    assert mixed.get_all() == {"ours": 1, "ours too": 2}
    assert [record.key for record in mixed.iter_records()] == ["ours", "ours too"]


def test_clearing_and_forgetting_leave_their_documents(mixed, store, name, proxy):
    assert mixed.clear() == 2
    assert theirs(proxy, name) == [7, 8]
    mixed.set("ours", 1)
    mixed.set("gone", 1, ttl=0.001)
    assert store.forget("u") == (1, 1)
    assert store.forget("u") == (0, 0)
    assert theirs(proxy, name) == [7, 8]


def test_clearing_a_prefix_leaves_their_documents(mixed, name, proxy):
    assert mixed.clear("ther") == 0  # ends within a group of base64, so that it is removed key by key
    assert mixed.clear("ou") == 2
    assert theirs(proxy, name) == [7, 8]


def test_purging_leaves_their_documents(mixed, store, name, proxy):
    expired = {**legacy("u", "n", "old", 9), "expiresAt": "2025-01-01T00:00:00.000000Z"}
    send(proxy, name, [expired])
    assert store.purge_expired() == 1
    assert theirs(proxy, name) == [7, 8, 9]


def test_one_that_is_asked_for_by_its_key_is_removed(mixed, name, proxy):
    assert mixed.delete("theirs") is True
    assert theirs(proxy, name) == [8]


@pytest.mark.parametrize("number", [0, 999, 1_000, 2_500])
def test_however_many_of_theirs_lie_among_ours(agent, name, proxy, number):
    agent.set_many({f"k{i}": i for i in range(30)})
    send(proxy, name, [legacy("u", "default", f"a{i}", -1) for i in range(number)])
    assert agent.clear() == 30
    assert len(theirs(proxy, name)) == number
    assert agent.get_all() == {}


# ------------------------------------------------------------------------------------------------------- who may what

NOT_ADMIN = status(500, "error_saving_ddoc", "Unknown error while saving the design document: forbidden")


def test_a_member_who_may_make_no_index_is_told_so_at_once(name, url, proxy):
    """CouchDB says it with a 500."""
    proxy_request(proxy, "PUT", f"/{name}")
    proxy.fail("POST _index", NOT_ADMIN)
    with pytest.raises(PermissionDeniedError, match=r"may not create .*let an administrator connect once"):
        datastore.connect(url)


def test_nor_does_a_declared_index_wait_for_what_lasts(store, proxy):
    proxy.requests.clear()
    proxy.fail("POST _index", *[NOT_ADMIN] * 9)
    with pytest.raises(PermissionDeniedError):
        store.ensure_index(["price"])
    assert proxy.requests == ["POST _index"]


def test_who_may_not_make_the_database_is_told_so(url, proxy):
    """A real server says that it is not there before it asks who wants to know."""
    proxy.fail("GET db", status(404, "not_found", "Database does not exist."))
    proxy.fail("PUT db", status(401, "unauthorized", "You are not a server admin."))
    with pytest.raises(PermissionDeniedError, match="may not create"):
        datastore.connect(url)


@pytest.mark.parametrize("made", ["", "?partitioned=true"])
def test_a_database_of_the_other_kind_is_refused_at_connect(url, proxy, made):
    datastore.connect(url + made).close()
    other, words = ("", "partitioned; connect with") if made else ("?partitioned=true", "leave out .partitioned=true")
    proxy.requests.clear()
    with pytest.raises(ConfigurationError, match=words):
        datastore.connect(url + other)
    assert proxy.requests == ["GET db"]


def test_an_error_in_the_last_step_of_a_removal_loses_no_count(agent, store, proxy):
    """Who repeated the whole would count what was left: nothing."""
    for remove in (agent.clear, lambda: store.forget("u").records):
        agent.set_many({f"k{i}": i for i in range(5)})
        proxy.fail("GET _all_docs", meanwhile(lambda: None), *[status(503)] * 3)
        assert remove() == 5


def test_forgetting_takes_2_per_thousand(agent, store, proxy):
    for namespace in ("a", "b"):
        agent.use_namespace(namespace).set_many({f"k{i}": i for i in range(600)})
    agent.use_namespace("c").set_many({"x": 1}, ttl=0.001)
    proxy.requests.clear()
    assert store.forget("u") == (1_200, 1)
    assert proxy.requests == ["GET _design", *["GET _all_docs", "POST _bulk_docs"] * 2, "GET _all_docs"]


def test_a_purge_works_without_its_index(agent, store):
    agent.set("gone", 1, ttl=0.001)
    store.backend._session.remove(f"_design/{EXPIRY_INDEX}")
    store.backend._schema.indexes -= {EXPIRY_INDEX}
    assert store.purge_expired() == 1
