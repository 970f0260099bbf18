"""Removing much at once: a user, what has expired, a collection. Each document is counted once, whatever is lost."""

import pytest
from google.cloud.firestore_v1.types import firestore as messages
from grpc import StatusCode

import datastore
from datastore import BackendUnavailableError, ThrottledError
from datastore.backend import Fields, IdRange
from datastore.conformance.clock import Clock
from datastore.ids import encode_key
from datastore.times import format_time
from tests.firestore.documents import plant
from tests.firestore.recording import Answered, Fault, breaking_after, losing_the_answer, refusing_some
from tests.firestore.test_damage import DAMAGE

pytestmark = pytest.mark.server("firestore")


@pytest.fixture(name="clock")
def make_clock():
    return Clock()


@pytest.fixture(name="timed")
def open_timed(url, recorder, clock):
    """A store whose time the test moves, with 1,200 live records of one user, 4 expired and one that is damaged."""
    with datastore.connect(
        url, clock=clock, flush_interval=3_600, max_pending=100_000, interceptors=[recorder]
    ) as store:
        agent = store.agent("ann", "a")
        agent.set_many({f"k{number}": number for number in range(1_190)})
        agent.use_namespace("n2").set_many({f"k{number}": number for number in range(9)})
        agent.use_namespace("gone").set_many({f"k{number}": number for number in range(4)}, ttl=10)
        store.agent("anna", "a").set_many({"key": 1, "expired": 2}, ttl=10)
        store.agent("anna", "a").set("key", 1)
        plant(store, f"ann:n3:{encode_key('bad')}", {**DAMAGE["bytes"], "revision": {"string_value": "r"}})
        clock.advance(11)
        recorder.clear()
        yield store


def left(store):
    """Return the ids of everything that the collection holds."""
    return [id for id, _ in store.backend._reader.all_states(IdRange("", "\U0010ffff"), 10_000, None)[0]]


def test_forgetting_takes_one_request_per_500_documents(timed, recorder):
    assert timed.forget("ann") == (1_200, 4)
    # The first one for tokens, the last ones for reminders and system records.
    assert recorder.requests == ["RunQuery", "RunQuery"] + ["BatchWrite"] * 3 + ["RunQuery"] * 2
    assert [id.partition(":")[0] for id in left(timed)] == ["anna", "anna"]
    assert timed.forget("ann") == (0, 0)
    assert timed.agent("anna", "a").get_all() == {"key": 1}


@pytest.mark.parametrize(
    "faults",
    [
        {"BatchWrite": [losing_the_answer()]},
        {"BatchWrite": [None, losing_the_answer(), None, losing_the_answer(StatusCode.DEADLINE_EXCEEDED)]},
        {"BatchWrite": [losing_the_answer(), StatusCode.UNAVAILABLE], "RunQuery": [None, StatusCode.UNAVAILABLE]},
        {"BatchWrite": [losing_the_answer()], "BatchGetDocuments": [StatusCode.UNAVAILABLE, breaking_after(100)]},
        {"BatchWrite": [None, StatusCode.RESOURCE_EXHAUSTED]},
        {"BatchWrite": [refusing_some(StatusCode.UNAVAILABLE, lambda place: place % 7 == 0)] * 2},
        {"BatchWrite": [refusing_some(StatusCode.RESOURCE_EXHAUSTED, lambda place: False), StatusCode.ABORTED]},
        {"RunQuery": [breaking_after(700), breaking_after(1)]},
    ],
    ids=[
        "lost",
        "lost twice",
        "lost, then down",
        "lost, and the look fails",
        "throttled",
        "some lost",
        "late",
        "broken",
    ],
)
def test_whatever_is_lost_forgetting_counts_each_once(timed, recorder, faults):
    for request, ways in faults.items():
        recorder.fail(request, *ways)
    assert timed.forget("ann") == (1_200, 4)
    assert timed.agent("ann", "a").list_namespaces() == []
    assert len(left(timed)) == 2


def test_forgetting_that_fails_goes_on_when_it_is_called_again(url, timed, recorder):
    """What it removed is not counted again. What it may have removed it asks for."""
    recorder.fail("BatchWrite", None, StatusCode.PERMISSION_DENIED)
    with pytest.raises(datastore.PermissionDeniedError):
        timed.forget("ann")
    assert timed.forget("ann") == (700, 4)
    assert len(left(timed)) == 2


def test_what_another_process_writes_again_meanwhile_goes_and_counts_once(url, clock, timed, recorder):
    with datastore.connect(url, clock=clock) as other:

        def replaced(proceed):
            proceed().result()
            other.agent("ann", "b").set("k1", "new")
            raise Fault(StatusCode.UNAVAILABLE)

        recorder.fail("BatchWrite", replaced)
        assert timed.forget("ann") == (1_200, 4)
        assert other.agent("ann", "b").list_namespaces() == []


@pytest.mark.parametrize("fault", [losing_the_answer(), StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED])
def test_whatever_is_lost_purging_counts_each_once(timed, recorder, fault):
    recorder.fail("BatchWrite", fault)
    assert timed.purge_expired() == 5
    assert timed.purge_expired() == 0


def test_purging_counts_nothing_that_was_written_again_while_its_answer_was_lost(url, clock, timed, recorder):
    with datastore.connect(url, clock=clock) as other:

        def renewed(proceed):
            other.agent("ann", "b", "gone").set_many({"k0": 1, "k1": 2})
            losing_the_answer()(proceed)

        recorder.fail("BatchWrite", renewed)
        assert timed.purge_expired() == 3
        assert other.agent("ann", "b", "gone").get_all() == {"k0": 1, "k1": 2}


ANN, GONE = IdRange("ann:", "ann;"), IdRange("ann:gone:", "ann:gone;")


@pytest.mark.parametrize("range", [ANN, GONE], ids=["user", "namespace"])
@pytest.mark.parametrize("page", [1, 3, 4, 10_000])
def test_purging_a_range_leaves_what_is_not_in_it(timed, clock, monkeypatch, range, page):
    monkeypatch.setattr("datastore_firestore.removing._PAGE", page)
    assert timed.backend.purge(format_time(clock()), range) == 4
    assert timed.backend.purge(format_time(clock()), range) == 0
    assert timed.agent("ann", "a").count() + timed.agent("ann", "a", "n2").count() == 1_199
    assert timed.purge_expired() == 1


def test_what_has_expired_and_goes_between_the_two_requests_of_a_count_is_not_counted(url, timed, clock, recorder):
    """As Firestore's own policy may do at any time: both requests show the same moment."""

    def removed_before(proceed):
        with datastore.connect(url, clock=clock) as other:
            assert other.purge_expired() == 5
        return proceed()

    recorder.fail("RunQuery", removed_before)
    assert timed.agent("ann", "a", "gone").count() == 0
    assert recorder.requests == ["RunAggregationQuery", "RunQuery"]
    assert timed.agent("ann", "a", "gone").count() == 0


@pytest.mark.parametrize("fault", [losing_the_answer(), StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED])
def test_whatever_is_lost_purging_a_range_counts_each_once(timed, clock, recorder, fault):
    """The call is repeated as the store repeats it: with the same time."""
    recorder.fail("BatchWrite", fault)
    moment = format_time(clock())
    with pytest.raises(BackendUnavailableError):
        timed.backend.purge(moment, ANN)
    assert timed.backend.purge(moment, ANN) == 4
    assert timed.backend.purge(moment, ANN) == 0
    assert timed.purge_expired() == 1


def test_purging_a_range_looks_again_at_what_was_not_as_it_was_seen(url, timed, clock, recorder):
    """One was written meanwhile and stays, and the others were only held up."""
    with datastore.connect(url, clock=clock) as other:
        theirs = other.agent("ann", "b", "gone")

        def held_up(proceed):
            theirs.set("k0", "new")
            aborted = messages.BatchWriteResponse.pb()()
            for _ in range(4):
                aborted.write_results.add()
                aborted.status.add(code=StatusCode.ABORTED.value[0])
            return Answered(aborted)

        recorder.fail("BatchWrite", held_up)
        assert timed.backend.purge(format_time(clock()), ANN) == 3
        assert theirs.get_all() == {"k0": "new"}


def test_dropping_removes_everything_whoever_wrote_it(url, timed, recorder):
    backend = timed.backend
    plant(timed, "somebody-elses", {"other": {"string_value": "x"}})
    recorder.clear()
    recorder.fail("BatchWrite", None, losing_the_answer(), StatusCode.RESOURCE_EXHAUSTED)
    backend.drop()
    assert recorder.requests == [
        *["RunQuery", "BatchWrite", "BatchWrite"],  # the second one's answer is lost
        *["BatchGetDocuments", "RunQuery", "BatchWrite"],  # refused
        *["RunQuery", "BatchWrite"],
    ]
    with datastore.connect(url) as again:
        assert left(again) == []
        assert again.backend.document_count() == 0
    with pytest.raises(datastore.ClosedError):
        backend.read(["u:n:a"], Fields.KEY)


def test_dropping_that_may_not_is_an_error(timed, recorder):
    recorder.fail("BatchWrite", StatusCode.PERMISSION_DENIED)
    with pytest.raises(datastore.PermissionDeniedError):
        timed.backend.drop()


def test_dropping_the_collection_of_a_tenant_says_whether_there_was_one(url, recorder):
    with datastore.connect(url, isolation="database", interceptors=[recorder]) as store:
        store.agent("ann", "a").set_many({f"k{number}": number for number in range(600)})
        store.agent("bob", "a").set("k", 1)
        recorder.clear()
        recorder.fail("BatchWrite", losing_the_answer(), losing_the_answer())
        assert store.backend.drop_tenant("ann") is True
        assert store.backend.drop_tenant("ann") is False
        assert store.agent("bob", "a").get_all() == {"k": 1}
        store.agent("ann", "a").set("k", 1)
        assert store.forget("ann") == (1, 0)
        store.backend.drop()
    with datastore.connect(url, isolation="database") as store:
        assert store.backend.tenants() == []


def test_a_throttled_forgetting_that_lasts_is_one(url, recorder):
    with datastore.connect(url, retry_seconds=0, interceptors=[recorder]) as store:
        store.agent("ann", "a").set("k", 1)
        for code, error in [
            (StatusCode.RESOURCE_EXHAUSTED, ThrottledError),
            (StatusCode.UNAVAILABLE, BackendUnavailableError),
        ]:
            recorder.fail("BatchWrite", code)
            with pytest.raises(error):
                store.forget("ann")
        assert store.forget("ann") == (1, 0)


def test_the_memory_of_calls_that_failed_is_bounded(url, recorder, monkeypatch):
    with datastore.connect(url, retry_seconds=0, interceptors=[recorder]) as store:
        removals = store.backend._remover._removals
        monkeypatch.setattr(removals, "_most", 3)
        for number in range(9):
            store.agent("ann", "a").set("k", number)
            recorder.fail("BatchWrite", StatusCode.UNAVAILABLE)
            with pytest.raises(BackendUnavailableError):
                store.forget("ann")
        assert len(removals) == 3


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
