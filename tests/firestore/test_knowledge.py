"""What a process knows of documents saves requests, and never decides an answer."""

import os
import sys
import threading

import pytest

import datastore
from datastore import ConflictError, KeyExistsError, ValueTooLargeError

pytestmark = pytest.mark.server("firestore")


class Clock:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        self.now += 1e-6
        return self.now


@pytest.fixture(name="two")
def open_two(url):
    """Two processes' stores on one database, on one clock."""
    clock = Clock()
    with (
        datastore.connect(url, flush_interval=3_600, clock=clock) as first,
        datastore.connect(url, flush_interval=3_600, clock=clock) as second,
    ):
        yield first.agent("u", "first"), second.agent("u", "second"), clock, first, second


def test_a_set_sees_the_metadata_that_another_process_wrote(two):
    mine, theirs, *_ = two
    mine.set("k", 1, {"a": 1})
    theirs.set("k", 2, {"b": 2})
    mine.set("k", 3, {"c": 3})
    assert mine.get_record("k").metadata == {"a": 1, "b": 2, "c": 3}
    theirs.set("k", 4)
    assert theirs.get_record("k").metadata == {"a": 1, "b": 2, "c": 3}


def test_metadata_that_another_process_removed_make_no_set_too_large(two):
    mine, theirs, *_ = two
    mine.set("k", 1, {"a": "x" * 10_000})
    theirs.set("k", 2, {"a": None})
    mine.set("k", 3, {"b": "x" * 10_000})
    assert theirs.get_record("k").metadata == {"b": "x" * 10_000}
    with pytest.raises(ValueTooLargeError):
        theirs.set("k", 4, {"a": "x" * 10_000})


def test_a_set_over_what_another_process_deleted_begins_a_new_record(two):
    mine, theirs, *_ = two
    mine.set("k", 1, {"a": 1})
    theirs.delete("k")
    theirs.set("k", 2)
    theirs.delete("k")
    mine.set("k", 3)
    record = theirs.get_record("k")
    assert (record.value, record.metadata, record.created_by_agent) == (3, {}, "first")


def test_a_set_over_what_another_process_created_keeps_its_creator(two):
    mine, theirs, *_ = two
    assert mine.get("k") is None
    theirs.set("k", 1, {"a": 1})
    mine.set("k", 2)
    record = mine.get_record("k")
    assert (record.created_by_agent, record.metadata) == ("second", {"a": 1})


def test_an_expiry_that_another_process_set_is_seen(two):
    mine, theirs, clock, *_ = two
    mine.set("k", 1, {"a": 1})
    theirs.set("k", 2, ttl=10)
    clock.now += 11
    mine.set("k", 3)
    record = mine.get_record("k")
    assert (record.value, record.metadata, record.created_by_agent) == (3, {}, "first")
    theirs.set("k", 4, ttl=10)
    clock.now += 11
    assert mine.delete("k") is False
    assert mine.add("k", 5)


def test_an_expiry_that_another_process_removed_is_seen(two):
    mine, theirs, clock, *_ = two
    mine.set("k", 1, {"a": 1}, ttl=10)
    theirs.set("k", 2)
    clock.now += 11
    with pytest.raises(KeyExistsError):
        mine.add("k", 3)
    mine.set("k", 4)
    assert mine.get_record("k").metadata == {"a": 1}
    assert mine.delete("k") is True


@pytest.mark.parametrize("known", [True, False])
def test_a_delete_says_whether_a_live_record_existed(two, known):
    mine, theirs, clock, *_ = two
    for ttl, advance, live in ((None, 0, True), (10, 0, True), (10, 11, False)):
        (mine if known else theirs).set("k", 1, ttl=ttl)
        clock.now += advance
        assert mine.delete("k") is live
        assert mine.delete("k") is False
        (mine if known else theirs).set_many({"a": 1, "b": 2}, ttl=ttl)
        clock.now += advance
        assert mine.delete_many(["a", "b", "c"]) == (2 if live else 0)
        assert theirs.list_keys() == []


def test_conditions_are_decided_by_what_is_stored(two):
    mine, theirs, *_ = two
    old = mine.set("k", 1)
    new = theirs.set("k", 2)
    with pytest.raises(ConflictError) as caught:
        mine.set("k", 3, if_revision=old)
    assert caught.value.revision == new
    newer = mine.set("k", 3, if_revision=new)
    with pytest.raises(ConflictError):
        theirs.delete("k", if_revision=new)
    assert theirs.delete("k", if_revision=newer)
    assert mine.add("k", 4)
    with pytest.raises(KeyExistsError):
        theirs.add("k", 5)


def test_purging_removes_nothing_that_was_written_again_meanwhile(two, monkeypatch):
    mine, theirs, clock, first, _ = two
    mine.set_many({"a": 1, "b": 2}, ttl=10)
    clock.now += 11
    reader = first.backend._reader
    expired = reader.expired

    def writing_between(*arguments):
        found = expired(*arguments)
        if found:
            theirs.set("b", 3)
        return found

    monkeypatch.setattr(reader, "expired", writing_between)
    assert first.purge_expired() == 1
    assert mine.get_all() == {"b": 3}


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


def test_eight_threads_lose_no_increment(agent):
    def increment():
        for _ in range(25):
            agent.increment("n")

    threads = [threading.Thread(target=increment) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert agent.get("n") == 200


FORKED = """
import os, sys, datastore
store = datastore.connect(sys.argv[1])
agent = store.agent("u", "a")
agent.set("parent", 1)
child = os.fork()
if not child:
    agent.set("child", agent.get("parent") + 1)
    os._exit(0 if agent.get("child") == 2 else 1)
_, status = os.waitpid(child, 0)
agent.set("parent", agent.get("child"))
store.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_a_channel_of_its_own(url, agent):
    import subprocess

    run = subprocess.run([sys.executable, "-c", FORKED, url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert agent.get("parent") == 2
