"""Counting accesses when answers are lost, or requests refused: each is counted once."""

import pytest

import datastore
from datastore import (
    ThrottledError,
)
from datastore.backend import Access
from datastore.conformance.documents import at, id_of
from datastore.conformance.faults import backend_of
from datastore.ids import encode_key
from datastore.scope import scope_of
from tests.dynamodb.answers import LOST, THROTTLING, refusal
from tests.dynamodb.wire import Wire, after_each_answer

pytestmark = pytest.mark.server("dynamodb")


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("keys", [["a"], ["a", "b", "c"]])
def test_what_stays_in_doubt_is_settled_by_the_next_flush(agent, store, wire, keys, carried_out):
    """And counted once, with what has been read meanwhile."""
    agent.set_many(dict.fromkeys("abc", 1))
    agent.get_many(keys)
    lost = refusal("InternalServerError", 500)
    if carried_out:
        with (
            after_each_answer(lambda _, request, __: lost(request, None)),
            pytest.raises(datastore.BackendUnavailableError),
        ):
            store.flush()
    else:
        wire.fail(lost, lost)
        with pytest.raises(datastore.BackendUnavailableError):
            store.flush()
        wire.heal()
    agent.get(keys[0])
    store.flush()
    assert [agent.get_record(key).access_count for key in keys] == [2, *[1] * (len(keys) - 1)]
    store.flush()
    assert backend_of(store)._counter.accounts == {}


KEYS = [f"k{number:03}" for number in range(150)]  # are counted in two transactions
ONE = f"default:{encode_key(KEYS[0])}"  # its id


@pytest.fixture
def having_read(url, judge):
    """A store whose agent has just read the keys, and what passes between its client and the server."""
    judge.set_many(dict.fromkeys(KEYS, 1))
    store = datastore.connect(url, flush_interval=3_600)
    wire = Wire(backend_of(store)._connection.client)
    store.agent("u", "a").get_many(KEYS)
    return store, wire


def counts(judge):
    return [judge.get_record(key).access_count for key in KEYS]


def test_what_was_counted_beside_what_stays_in_doubt_is_not_counted_again(having_read, judge):
    """What stays in doubt is settled at the latest at the end."""
    store, wire = having_read

    def fails_with_one(request, body):
        return refusal("InternalServerError", 500)(request, body) if ONE in str(body) else None

    wire.fail(fails_with_one, operation="TransactWriteItems", forever=True)
    with pytest.raises(datastore.BackendUnavailableError):
        store.flush()
    assert counts(judge).count(1) in (50, 100)
    wire.heal()
    store.close()
    assert counts(judge) == [1] * 150


def test_what_stays_in_doubt_beside_what_was_refused_is_not_counted_again(having_read, judge):
    """One error for all of them would have to be true of each."""
    store, wire = having_read

    def refuses_one(request, body):
        return refusal("ProvisionedThroughputExceededException")(request, body) if ONE in str(body) else None

    wire.fail(refuses_one, forever=True)
    lost = refusal("InternalServerError", 500)
    with after_each_answer(lambda _, request, __: lost(request, None)), pytest.raises(datastore.DataStoreError):
        store.flush()
    assert counts(judge).count(1) == 50
    wire.heal()
    store.close()
    assert counts(judge) == [1] * 150


@pytest.mark.parametrize("keys", [["a"], ["a", "b", "c"]])
def test_an_interrupt_while_the_answer_is_on_its_way_counts_nothing_twice(agent, store, keys):
    agent.set_many(dict.fromkeys("abc", 1))
    agent.get_many(keys)

    def interrupt(*_):
        raise KeyboardInterrupt

    with after_each_answer(interrupt), pytest.raises(KeyboardInterrupt):
        store.flush()
    store.flush()
    assert [agent.get_record(key).access_count for key in keys] == [1] * len(keys)


@pytest.fixture
def judge(url):
    with datastore.connect(url, tracking="off") as judge:
        yield judge.agent("u", "judge")


def test_what_is_kept_for_the_next_counting_is_bounded(store, wire, monkeypatch):
    backend = backend_of(store)
    monkeypatch.setattr(backend._counter, "_most_open", 3)
    wire.fail(refusal("InternalServerError", 500), forever=True)
    for number in range(5):
        with pytest.raises(datastore.BackendUnavailableError):
            backend.record_access([Access(id_of(f"k{number}"), at(0), 1, "a", at(1))])
    assert len(backend._counter.accounts) == 3
    wire.heal()


def test_a_counting_that_is_refused_as_a_whole_is_halved(agent, store, wire):
    """As one of a hundred records of 50 KB, which would take more than 4 MB."""
    keys = [f"k{number:03}" for number in range(100)]
    agent.set_many(dict.fromkeys(keys, 1))
    agent.get_many(keys)

    def too_large(request, body):
        return refusal("ValidationException")(request, body) if len(body["TransactItems"]) > 60 else None

    wire.requests.clear()
    wire.fail(too_large, operation="TransactWriteItems", forever=True)
    store.flush()
    assert wire.operations == ["TransactWriteItems"] * 3
    assert [record.access_count for record in agent.iter_records()] == [1] * 100


def test_one_record_that_cannot_be_counted_does_not_keep_others_from_it(agent, store, wire, caplog):
    keys = [f"k{number}" for number in range(8)]
    agent.set_many(dict.fromkeys(keys, 1))
    agent.get_many(keys)
    bad = f"default:{encode_key('k3')}"

    def refused(request, body):
        return refusal("ValidationException")(request, body) if bad in str(body) else None

    wire.fail(refused, forever=True)
    store.flush()
    wire.heal()
    assert "lost the access count of a record" in caplog.text
    assert [agent.get_record(key).access_count for key in keys] == [1, 1, 1, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("fault", LOST[:2])
def test_counts_whose_answer_is_lost_are_never_added_twice(agent, store, wire, fault):
    agent.set("one", 1)
    agent.get("one")

    def carried_out_and_lost(request, body):
        wire.heal()
        # What the server does, without the answer coming back.
        connection = store.backend._connection
        connection.client.update_item(**body)
        raise fault

    wire.fail(carried_out_and_lost, operation="UpdateItem")
    store.flush()
    store.flush()
    assert agent.get_record("one").access_count == 1


def test_a_transaction_of_counts_is_repeated_with_its_token(agent, store, wire):
    agent.set_many({"k1": 1, "k2": 2})
    agent.get_many(["k1", "k2"])
    wire.requests.clear()
    wire.fail(LOST[0], operation="TransactWriteItems")
    store.flush()
    (_, first), (_, second) = wire.requests
    assert first == second
    assert agent.get_record("k1").access_count == 1


def test_counting_skips_what_is_gone_and_creates_nothing(agent, store, wire):
    agent.set_many({f"k{i}": i for i in range(5)})
    agent.get_all()
    agent.delete("k1")
    agent.delete("k3")
    agent.set("k3", "made again")
    store.flush()
    assert agent.list_keys() == ["k0", "k2", "k3", "k4"]
    assert [record.access_count for record in agent.iter_records()] == [1, 1, 0, 1]


def test_what_is_throttled_is_counted_later(hasty):
    agent, wire = hasty
    agent.get_many(["k1", "k2"])
    store = scope_of(agent).core
    wire.fail(refusal(THROTTLING[0]))
    with pytest.raises(ThrottledError):
        store.flush()
    store.flush()
    assert agent.get_record("k1").access_count == 1
