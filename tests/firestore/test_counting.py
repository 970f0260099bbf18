"""Counting accesses when answers are lost, or requests refused: each is counted once."""

import pytest
from grpc import StatusCode

from datastore import (
    BackendUnavailableError,
)
from datastore.backend import Access
from datastore.ids import encode_key
from tests.firestore.recording import losing_the_answer, refusing_some

pytestmark = pytest.mark.server("firestore")


def test_counting_goes_on_beside_another_process(two):
    mine, theirs, _, first, second = two
    mine.set("k", 1)
    for _ in range(5):
        mine.get("k")
        theirs.get("k")
        first.flush()
        second.flush()
    assert mine.get_record("k").access_count == 10


def test_a_late_flush_does_not_turn_the_last_access_back(two):
    mine, theirs, _, first, second = two
    mine.set("k", 1)
    mine.get("k")
    theirs.get("k")
    second.flush()
    first.flush()
    record = theirs.get_record("k")
    assert (record.access_count, record.last_accessed_by_agent) == (2, "second")


def test_accesses_are_not_counted_twice_when_the_answer_is_lost(agent, store, recorder):
    agent.set_many({"a": 1, "b": 2})
    for _ in range(3):
        agent.get_many(["a", "b"])
    recorder.fail("BatchWrite", losing_the_answer())
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.flush()
    agent.get("a")
    agent.set("b", 3)  # changes the update time, but not the count
    store.flush()
    assert agent.get_record("a").access_count == 4
    assert agent.get_record("b").access_count == 3


def test_accesses_are_not_lost_when_the_request_never_arrived(agent, store, recorder):
    agent.set_many({"a": 1, "b": 2})
    for _ in range(3):
        agent.get_many(["a", "b"])
    recorder.fail("BatchWrite", StatusCode.UNAVAILABLE)
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.flush()
    agent.get("a")
    agent.set("b", 3)
    recorder.fail("BatchWrite", StatusCode.DEADLINE_EXCEEDED)
    recorder.fail("BatchGetDocuments", None, StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.flush()
    agent.get("a")
    store.flush()
    assert agent.get_record("a").access_count == 5
    assert agent.get_record("b").access_count == 3


def test_accesses_in_doubt_are_settled_in_any_mixture(agent, store, recorder):
    """Every flush fails, before or after it was applied; in the end the count is exact."""
    agent.set("a", 1)
    reads = 0
    for fault in [losing_the_answer(), StatusCode.UNAVAILABLE, losing_the_answer(), losing_the_answer(), None] * 3:
        for _ in range(reads % 3 + 1):
            agent.get("a")
            reads += 1
        recorder.fail("BatchWrite", fault)
        try:
            store.flush()
        except BackendUnavailableError:
            assert fault is not None
    store.flush()
    store.flush()
    assert agent.get_record("a").access_count == reads


def test_accesses_of_a_deleted_or_a_new_record_are_not_counted(agent, store):
    backend = store.backend
    agent.set_many({"gone": 1, "other": 2})
    created = agent.get_record("other").created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    prefix = "u:default:"
    agent.delete("gone")
    backend.record_access(
        [
            Access(prefix + encode_key("gone"), created, 5, "a", created),
            Access(prefix + encode_key("other"), "2000-01-01T00:00:00.000000Z", 5, "a", created),
        ]
    )
    assert not agent.exists("gone")
    assert agent.get_record("other").access_count == 0


def test_accesses_whose_status_is_lost_are_counted_once(agent, store, recorder):
    keys = [f"k{number}" for number in range(20)]
    agent.set_many(dict.fromkeys(keys, 1))
    for _ in range(3):
        agent.get_many(keys)
    recorder.fail("BatchWrite", refusing_some(StatusCode.UNAVAILABLE, lambda place: place % 2), None)
    store.flush()
    store.flush()
    assert {record.access_count for record in agent.iter_records()} == {3}


def test_the_memory_of_countings_in_doubt_is_bounded(agent, store, recorder, monkeypatch):
    monkeypatch.setattr(store.backend._counter, "_most_open", 5)
    agent.set_many({f"k{number}": number for number in range(20)})
    agent.get_all()
    recorder.fail("BatchWrite", losing_the_answer())
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.flush()
    assert len(store.backend._counter.accounts) == 5
