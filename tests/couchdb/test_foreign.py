"""Databases and documents of other programs: said at connect, and nothing of theirs is touched."""

from __future__ import annotations

from contextlib import closing

import pytest

import datastore
from datastore import ConfigurationError, DamagedRecordError
from datastore.moving import import_legacy
from datastore.urls import Url
from datastore_couchdb import open_legacy
from datastore_couchdb.schema import RECORD_VIEWS
from tests.couchdb.server import LEGACY, contents, fill, in_our_place, legacy, only_read, proxy_request, send
from tests.servers import couchdb

pytestmark = pytest.mark.server("couchdb")


INDEX = {"_id": "_design/by_user", "views": {"by_user": {"map": "function (doc) { emit(doc.userId); }"}}}


@pytest.mark.parametrize("more", [[], [INDEX]], ids=["", "with a design document"])
@pytest.mark.parametrize("parameters", ["", "?create=false"])
def test_another_programs_database_is_refused_before_anything_is_written(name, url, proxy, more, parameters):
    fill(proxy, name, LEGACY + more)
    message = r"another program has written.*datastore import-legacy"
    with only_read(proxy, name), pytest.raises(ConfigurationError, match=message):
        datastore.connect(url + parameters)


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
    send(proxy, name, [in_our_place(legacy("u", "default", "theirs", 7)), in_our_place(legacy("u", "n", "x", 8))])
    if request.param == "without":
        couchdb.remove_design(store, RECORD_VIEWS)
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
    assert mixed.clear("ther") == 0
    assert mixed.clear("ou") == 2
    assert theirs(proxy, name) == [7, 8]


def test_purging_leaves_their_documents(mixed, store, name, proxy):
    expired = {**in_our_place(legacy("u", "n", "old", 9)), "expiresAt": "2025-01-01T00:00:00.000000Z"}
    send(proxy, name, [expired])
    assert store.purge_expired() == 1
    assert theirs(proxy, name) == [7, 8, 9]


def test_one_that_is_asked_for_by_its_key_is_removed(mixed, name, proxy):
    assert mixed.delete("theirs") is True
    assert theirs(proxy, name) == [8]


@pytest.mark.parametrize("number", [0, 999, 1_000, 2_500])
def test_however_many_of_theirs_lie_among_ours(agent, name, proxy, number):
    agent.set_many({f"k{i}": i for i in range(30)})
    send(proxy, name, [in_our_place(legacy("u", "default", f"a{i}", -1)) for i in range(number)])
    assert agent.clear() == 30
    assert len(theirs(proxy, name)) == number
    assert agent.get_all() == {}
