"""What a process knows of documents saves requests, and never decides an answer."""

import threading

import pytest

from datastore import ConflictError, KeyExistsError, ValueTooLargeError

pytestmark = pytest.mark.server("firestore")


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
