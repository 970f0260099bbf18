"""Transient errors: repeated where that is safe, within the budget; then the typed error, with its context."""

import pytest

from datastore import (
    BackendUnavailableError,
    BatchError,
    ConflictError,
    DataStore,
    KeyExistsError,
    PermissionDeniedError,
    ThrottledError,
)
from tests.core.faults import FaultyBackend, losing_the_answer, refusing

down = BackendUnavailableError("no route to host")
denied = PermissionDeniedError("wrong password")


@pytest.fixture
def backend():
    return FaultyBackend()


@pytest.fixture
def store(backend):
    with DataStore(backend, retry_seconds=5) as store:
        yield store


@pytest.fixture
def hasty(backend):
    """An agent whose store does not wait for better times."""
    with DataStore(backend, retry_seconds=0) as store:
        yield store.agent("u", "a")


@pytest.fixture
def agent(store):
    return store.agent("u", "a")


def test_a_read_is_repeated_until_it_succeeds(backend, agent):
    agent.set("k", 1)
    backend.fail("read", down, ThrottledError("slow down"))
    assert agent.get("k") == 1


def test_a_listing_goes_on_where_it_was_interrupted(backend, agent):
    agent.set_many({f"k{i}": i for i in range(2_500)})
    backend.fail("scan", lambda method, *arguments: method(*arguments), down)
    assert len(agent.list_keys()) == 2_500


def test_when_the_budget_is_spent_the_error_says_what_was_attempted_and_where(backend, hasty):
    backend.fail("read", down)
    with pytest.raises(BackendUnavailableError, match="reading 'k' of namespace 'default' on memory: no route"):
        hasty.get("k")


def test_what_will_not_get_better_is_not_repeated(backend, agent):
    backend.fail("read", denied)
    with pytest.raises(PermissionDeniedError):
        agent.get("k")
    assert backend.calls == ["read"]


def test_a_write_whose_answer_was_lost_is_not_taken_for_somebody_elses(backend, agent):
    backend.fail("write", losing_the_answer(down))
    revision = agent.add("k", 1)
    backend.fail("write", losing_the_answer(down))
    agent.set("k", 2, if_revision=revision)
    backend.fail("write", losing_the_answer(down))
    assert agent.increment("k") == 3
    assert agent.get("k") == 3


def test_a_conflict_after_a_lost_answer_is_still_found(backend, agent):
    revision = agent.set("k", 1)
    agent.set("k", 2)
    backend.fail("write", losing_the_answer(down))
    with pytest.raises(ConflictError):
        agent.set("k", 3, if_revision=revision)
    backend.fail("write", losing_the_answer(down))
    with pytest.raises(KeyExistsError):
        agent.add("k", 3)
    assert agent.get("k") == 2


def test_throttled_items_of_a_batch_are_sent_again_alone(backend, agent):
    sent = []
    refuse = refusing({"b", "d"}, ThrottledError("slow down"))

    def record(method, writes):
        sent.append([write.key for write in writes])
        return method(writes)

    backend.fail("write", refuse, record)
    assert agent.set_many({"a": 1, "b": 2, "c": 3, "d": 4}) == 4
    assert sent == [["b", "d"]]
    assert agent.get_all() == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_batch_that_fails_in_part_says_so_for_each_key_and_stores_the_rest(backend, hasty):
    backend.fail("write", refusing({"b"}, ThrottledError("slow down")))
    with pytest.raises(BatchError, match=r"set_many in namespace 'default' on memory: 1 of 3 .* 'b'") as caught:
        hasty.set_many({"a": 1, "b": 2, "c": 3})
    assert caught.value.succeeded == ["a", "c"]
    assert list(caught.value.failed) == ["b"]
    assert isinstance(caught.value.failed["b"], ThrottledError)
    assert hasty.get_all() == {"a": 1, "c": 3}


def test_a_database_that_goes_down_while_a_part_is_sent_again_is_a_batch_error_too(backend):
    with DataStore(backend, retry_seconds=0.2) as store:
        agent = store.agent("u", "a")
        backend.fail("write", refusing({"b"}, ThrottledError("slow down")), *[down] * 1_000)
        with pytest.raises(BatchError) as caught:
            agent.set_many({"a": 1, "b": 2})
        assert caught.value.succeeded == ["a"]
        assert "no route" in str(caught.value.failed["b"])


def test_a_batch_cut_off_half_way_says_which_part_is_stored(backend, hasty):
    backend.fail("write", lambda method, writes: method(writes), down)
    with pytest.raises(BatchError) as caught:
        hasty.set_many({f"k{i:04}": i for i in range(2_400)})
    size = backend.capabilities.write_batch
    assert len(caught.value.succeeded) == size
    assert len(caught.value.failed) == 2_400 - size
    assert hasty.count() == size


def test_a_batch_of_which_nothing_was_done_raises_the_error_itself(backend, hasty):
    backend.fail("write", down)
    with pytest.raises(BackendUnavailableError, match="writing 'a' of namespace 'default' and 1 others on memory"):
        hasty.set_many({"a": 1, "b": 2})


def test_a_clear_cut_off_half_way_is_no_smaller_count(backend, hasty):
    hasty.set_many({f"k{i:04}": i for i in range(2_400)})
    backend.fail("write", lambda method, writes: method(writes), down)
    with pytest.raises(BackendUnavailableError):
        hasty.clear("k")
    assert hasty.count() == 2_400 - backend.capabilities.write_batch, "the first batch was a whole one"


def test_a_listing_that_breaks_is_no_shorter_listing(backend, hasty):
    hasty.set_many({f"k{i}": i for i in range(2_500)})
    for call in (hasty.list_keys, hasty.get_all, hasty.count, lambda: list(hasty.iter_records()), hasty.scan):
        backend.fail("scan", lambda method, *arguments: method(*arguments), down)
        with pytest.raises(BackendUnavailableError, match="listing on memory: no route"):
            call()
