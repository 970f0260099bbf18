"""Counting accesses when answers are lost, or requests refused: each is counted once."""

import pytest

import datastore
from datastore import (
    BackendUnavailableError,
)
from tests.couchdb.faults import STALL, all_refused, hurry
from tests.servers.strict_couchdb import (
    meanwhile,
    reset,
    reset_after,
)

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done


@pytest.mark.parametrize("fault", [reset_after, STALL, reset], ids=["answer lost", "stall", "reset"])
def test_accesses_are_counted_once_whatever_happened_to_the_answer(url, proxy, fault):
    with datastore.connect(url, flush_interval=3_600, retry_seconds=0) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"k{i}": i for i in range(5)})
        agent.get_all()
        proxy.fail("POST _bulk_docs", fault)
        hurry(store, fault, 1, "_bulk_docs")
        proxy.fail("POST _bulk_get", meanwhile(lambda: None), reset)  # the first look, and the one after the failure
        with pytest.raises(BackendUnavailableError):
            store.flush()
        proxy.clear_faults()
        agent.get("k0")
        store.flush()
        counts = {record.key: record.access_count for record in agent.iter_records()}
        assert counts == {"k0": 2, "k1": 1, "k2": 1, "k3": 1, "k4": 1}


def test_a_set_between_a_lost_answer_and_the_next_flush_keeps_the_count_exact(url, proxy, stranger):
    with datastore.connect(url, flush_interval=3_600, retry_seconds=0) as store:
        agent = store.agent("u", "a")
        agent.set("applied", 1)
        agent.set("lost", 1)
        for key, fault in (("applied", reset_after), ("lost", reset)):
            agent.get(key)
            proxy.fail("POST _bulk_docs", fault)
            proxy.fail("GET db/doc|POST _bulk_get", meanwhile(lambda: None), reset)
            with pytest.raises(BackendUnavailableError):
                store.flush()
            proxy.clear_faults()
        stranger.set("applied", 2)
        stranger.set("lost", 2)
        store.flush()
        assert stranger.get_record("applied").access_count == 1
        assert stranger.get_record("lost").access_count == 1
        assert stranger.get_all() == {"applied": 2, "lost": 2}


def test_a_count_that_the_server_refuses_holds_no_other_up(agent, store, proxy, caplog):
    agent.set("k", 1)
    agent.get("k")
    proxy.fail("POST _bulk_docs", all_refused)
    store.flush()
    assert "lost the access count of a record" in caplog.text
    agent.get("k")
    store.flush()
    assert agent.get_record("k").access_count == 1


def test_a_value_written_between_the_two_halves_of_a_flush_stands(store, agent, stranger, proxy):
    agent.set("changed", 1)
    agent.set("deleted", 1)
    agent.get_all()
    proxy.fail("POST _bulk_docs", meanwhile(lambda: (stranger.set("changed", 2), stranger.delete("deleted"))))
    proxy.fail("POST _bulk_docs", *[meanwhile(lambda: None)] * 2)
    store.flush()
    assert agent.get_all() == {"changed": 2}
    assert stranger.get_record("changed").access_count == 1
