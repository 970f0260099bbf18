"""Removing much at once: a namespace, a user, what has expired. Each record is counted once, whatever is lost."""

from __future__ import annotations

import pytest

from datastore import (
    PermissionDeniedError,
)
from datastore.ids import IdRange
from datastore_couchdb.flags import is_flag
from datastore_couchdb.schema import EXPIRY_INDEX, RECORD_VIEWS
from tests.couchdb.faults import all_refused
from tests.servers import couchdb
from tests.servers.strict_couchdb import (
    meanwhile,
    reset_after,
    status,
)

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done


def test_forgetting_takes_2_per_thousand_and_1_more_for_flags(agent, store, proxy):
    for namespace in ("a", "b"):
        agent.use_namespace(namespace).set_many({f"k{i}": i for i in range(600)})
    agent.use_namespace("c").set_many({"x": 1}, ttl=0.001)
    proxy.requests.clear()
    assert store.forget("u") == (1_200, 1)
    records = ["GET _design", *["GET _all_docs", "POST _bulk_docs"] * 2, "POST _bulk_docs", "GET _all_docs"]
    tokens, reminders, system = ["GET _all_docs"], ["GET _all_docs"], ["GET _design", "GET _all_docs"]
    assert proxy.requests == [*tokens, *records, *reminders, *system]


@pytest.mark.parametrize("range", [IdRange("u:a:", "u:a;"), IdRange("u:a:", "u:b:"), IdRange("u:a:", "u:c:")], ids=str)
def test_a_purge_of_some_namespaces_leaves_all_others(agent, store, backend, range):
    """In those that it is for it also removes flags whose records are gone."""
    there = "ab" if range.end == "u:c:" else "a"
    for user, namespace in [*(("u", namespace) for namespace in "abc"), ("u%", "a"), ("t", "a")]:
        other = store.agent(user, "a", namespace)
        other.set_many({"old": 1, "deleted": 1}, ttl=0.001)
        other.set("new", 1, ttl=3_600)
        other.delete("deleted")
    assert backend.purge(store._core.now(), range) == len(there)
    flags = [row["id"] for row in backend._session.get("_all_docs")["rows"] if is_flag(row["id"])]
    assert len(flags) == len(there) + 3 * (5 - len(there))
    assert store.purge_expired("u") == 3 - len(there)
    assert store.purge_expired() == 2


def test_without_the_views_no_namespace_is_listed_in_which_all_is_expired(store):
    """Whichever namespaces are asked for."""
    for namespace in "abc":
        store.agent("u", "a", namespace).set("old", 1, ttl=0.001)
    couchdb.remove_design(store, RECORD_VIEWS)
    store.backend._schema.indexes -= {RECORD_VIEWS}
    assert store.agent("u", "a").list_namespaces(start="a", end="c") == []


def test_a_purge_works_without_its_index(agent, store):
    agent.set("gone", 1, ttl=0.001)
    couchdb.remove_design(store, EXPIRY_INDEX)
    store.backend._schema.indexes -= {EXPIRY_INDEX}
    assert store.purge_expired() == 1


def test_a_clear_whose_answer_was_lost_counts_what_it_removed(agent, proxy):
    agent.set_many({f"k{i}": i for i in range(50)})
    proxy.fail("POST _bulk_docs", reset_after)
    assert agent.clear() == 50


def test_an_error_in_the_last_step_of_a_removal_loses_no_count(agent, store, proxy):
    """Who repeated the whole would count what was left: nothing."""
    for remove in (agent.clear, lambda: store.forget("u").records):
        agent.set_many({f"k{i}": i for i in range(5)})
        proxy.fail("GET _all_docs", meanwhile(lambda: None), *[status(503)] * 3)
        assert remove() == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda agent, store: agent.clear(),
        lambda agent, store: store.forget("u"),
        lambda agent, store: store.purge_expired(),
    ],
    ids=["clear", "forget", "purge_expired"],
)
def test_what_the_server_refuses_to_remove_is_neither_removed_nor_waited_for(agent, store, proxy, call):
    agent.set("old", 1, ttl=0.000001)
    agent.set("k", 1)
    proxy.requests.clear()
    proxy.fail("POST _bulk_docs", all_refused)
    with pytest.raises(PermissionDeniedError, match="validation says no"):
        call(agent, store)
    assert proxy.requests.count("POST _bulk_docs") == 1
    assert agent.get("k") == 1
