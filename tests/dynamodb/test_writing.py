"""What one conditional request cannot settle: expired records, stale knowledge, competitors."""

import os
import threading
import time

import pytest

import datastore
from datastore import BackendUnavailableError, ConflictError, KeyExistsError, ThrottledError
from datastore.adapters.contention import contention
from tests.dynamodb.answers import refusal
from tests.dynamodb.wire import Wire

pytestmark = pytest.mark.server("dynamodb")


@pytest.fixture
def later(url, store):
    """The agent two hours later."""
    with datastore.connect(url, flush_interval=3_600, clock=lambda: time.time() + 7_200) as later:
        yield later.agent("u", "later")


@pytest.mark.parametrize("metadata", [None, {"new": 1}])
@pytest.mark.parametrize("call", ["set", "add", "set_many"])
def test_an_expired_record_is_replaced_whole(agent, store, later, items, call, metadata):
    agent.set("k", "old", {"old": 1}, ttl=60)
    agent.get("k")
    store.flush()
    if call == "set_many":
        later.set_many({"k": "new", "l": 1}, metadata)
    else:
        getattr(later, call)("k", "new", metadata)
    record = later.get_record("k")
    assert (record.value, record.metadata, record.created_by_agent) == ("new", metadata or {}, "later")
    assert (record.access_count, record.last_accessed_by_agent) == (0, None)
    (item,) = [item for item in items() if item["key"]["S"] == "k"]
    assert not {"expiresAt", "expiresAtEpoch"} & set(item)


def test_an_expired_split_record_is_replaced_with_its_parts(agent, later, items):
    agent.set("k", os.urandom(495_000).hex(), ttl=60)
    later.set("k", "new")
    assert later.get("k") == "new"
    assert [item for item in items() if item["pk"]["S"].endswith(":")] == []


def test_stale_knowledge_of_metadata_costs_a_request_and_nothing_else(agent, stranger, wire):
    agent.set("k", 1, {"a": 1})
    stranger.set("k", 2, {"b": 2})
    wire.requests.clear()
    agent.set("k", 3, {"c": 3})
    assert wire.operations == ["UpdateItem", "UpdateItem"]
    assert agent.get_record("k").metadata == {"a": 1, "b": 2, "c": 3}


def test_a_value_changes_its_form_and_leaves_no_other(agent, items):
    forms = {"value", "valueJson", "valueZlib", "valueParts"}
    for value in (1, 1.0, "x" * 900_000, {"a": 1}, 2.0, "small"):
        agent.set("k", value)
        (item,) = [item for item in items() if "key" in item]
        assert len(forms & set(item)) == 1
        assert agent.get("k") == value


def test_batches_of_several_threads_on_the_same_keys_are_complete(agent):
    errors = []

    def write(number):
        try:
            assert agent.set_many({f"k{i}": number for i in range(30)}, {f"by{number}": True}) == 30
        except Exception as error:  # noqa: BLE001  # the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(len(record.metadata) == 4 for record in agent.iter_records())


def test_deletes_in_batches_report_what_was_live(agent, later, store):
    agent.set_many({"live": 1, "other": 1})
    agent.set("expired", 1, ttl=60)
    assert later.delete_many(["live", "expired", "missing"]) == 1
    assert later.list_keys() == ["other"]


def test_batches_without_transactions_mean_the_same(url, agent, store):
    with datastore.connect(url, transactions="false", flush_interval=3_600) as other:
        data_store = other.agent("u", "b")
        agent.set("k1", 0, {"a": 1})
        assert data_store.set_many({f"k{i}": i for i in range(40)}, {"b": 2}) == 40
        assert agent.get_record("k1").metadata == {"a": 1, "b": 2}
        data_store.get_all()
        other.flush()
        assert agent.get_record("k1").access_count == 1
        assert data_store.delete_many(["k1", "k2", "missing"]) == 2


def test_eventual_consistency_is_asked_for(url, store, wire):
    with datastore.connect(url, consistency="eventual") as other:
        seen = Wire(other.backend._connection.client)
        data_store = other.agent("u", "b")
        data_store.set("k", 1)
        assert data_store.get("k") == 1
        data_store.list_keys()
        assert [body.get("ConsistentRead") for operation, body in seen.requests if operation != "UpdateItem"] == [
            False,
            False,
        ]


@pytest.mark.parametrize("again", [False, True])
def test_an_add_with_metadata_asks_whether_the_record_is_still_there(agent, stranger, again):
    agent.set("k", 1, {"m": 1})
    stranger.delete("k")
    if again:
        stranger.add("k", 3)
        with pytest.raises(KeyExistsError):
            agent.add("k", 2, {"n": 1})
    else:
        agent.add("k", 2, {"n": 1})
        assert agent.get_record("k").metadata == {"n": 1}


def test_a_set_at_a_revision_with_metadata_goes_by_what_is_there(agent, stranger):
    agent.set("k", 1, {"m": 1})
    theirs = stranger.set("k", 2, {"n": 1})
    agent.set("k", 3, {"o": 1}, if_revision=theirs)
    assert agent.get_record("k").metadata == {"m": 1, "n": 1, "o": 1}
    stranger.delete("k")
    with pytest.raises(ConflictError) as caught:
        agent.set("k", 4, {"p": 1}, if_revision=theirs)
    assert caught.value.revision is None


def test_metadata_that_has_become_smaller_meanwhile_has_room_for_more(agent, stranger):
    agent.set("k", 1, {"a": "x" * 10_000})
    stranger.set("k", 1, {"a": None})
    agent.set("k", 2, {"b": "x" * 10_000})
    assert agent.get_record("k").metadata == {"b": "x" * 10_000}


def test_a_record_that_was_seen_expired_may_live_again(agent, stranger):
    agent.set("k", 1, {"m": 1}, ttl=0.01)
    stranger.set("k", 2)
    with pytest.raises(KeyExistsError):
        agent.add("k", 3, {"n": 1})
    assert agent.get("k") == 2


def test_who_comes_too_late_each_time_is_told_so_and_not_sent_again(agent, wire, monkeypatch):
    monkeypatch.setattr("datastore.adapters.writing.contention", lambda: contention(0.05))
    agent.set("k", 1, {"m": 1})
    refused = refusal("ConditionalCheckFailedException", Item=None)
    wire.fail(refused, operation="UpdateItem", forever=True)
    with pytest.raises(BackendUnavailableError, match="other writers changed the record") as caught:
        agent.set("k", 2)
    assert caught.value.waited
    assert not isinstance(caught.value, ThrottledError)
