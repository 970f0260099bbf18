"""Every third answer is lost while eight writers work: everything is done exactly once.

They work in rounds, and in each round every writer writes a record once. So at most seven other writes come between a
write whose answer is lost and its repetition, and a record knows its last eight.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain

import grpc
import pytest
from grpc import StatusCode

import datastore
from datastore import (
    BackendUnavailableError,
    ConflictError,
    KeyExistsError,
    ThrottledError,
)
from datastore.adapters.remembering import REMEMBERED
from datastore.backend import Delete, Outcome, Touch
from datastore.conformance.documents import at, put
from datastore.errors import OutcomeUnknownError
from datastore.ids import encode_id, encode_key
from datastore.times import format_time
from tests.firestore.recording import Fault, breaking_after, losing_the_answer
from tests.patience import PATIENCE

pytestmark = pytest.mark.server("firestore")

WRITERS, ROUNDS = 8, 4


class LosesEveryThird(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Lets each request be carried out, and loses the answer of every third, whoever asked."""

    def __init__(self):
        self.lost = 0
        self._number = 0
        self._lock = threading.Lock()

    def intercept_unary_unary(self, proceed, details, request):
        answer = proceed(details, request)
        if self._loses():
            answer.result()
            raise Fault(grpc.StatusCode.UNAVAILABLE)
        return answer

    def intercept_unary_stream(self, proceed, details, request):
        answers = proceed(details, request)
        if self._loses():
            list(answers)
            raise Fault(grpc.StatusCode.DEADLINE_EXCEEDED)
        return answers

    def _loses(self):
        with self._lock:
            self._number += 1
            if self._number % 3:
                return False
            self.lost += 1
            return True


@pytest.fixture(name="stores")
def open_stores(url, short_pauses):
    """A store for each writer, which knows nothing of the others."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(datastore.connect(url, flush_interval=3_600, interceptors=[loses]))
            for loses in [LosesEveryThird()] * WRITERS
        ]


@pytest.fixture(name="direct")
def open_direct(url):
    """The same database, where no answer is lost."""
    with datastore.connect(url, tracking="off") as store:
        yield store.agent("u", "judge")


@pytest.fixture(name="short_pauses")
def make_short_pauses(monkeypatch):
    monkeypatch.setattr("datastore.core._FIRST_DELAY", 0.001)
    monkeypatch.setattr("datastore.core._LONGEST_DELAY", 0.01)


def each(stores, work):
    """Let each writer work at the same time, round by round, and return what they say, by writer."""
    begin = threading.Barrier(len(stores))

    def rounds(store, writer):
        agent, said = store.agent("u", f"a{writer}"), []
        for number in range(ROUNDS):
            begin.wait(PATIENCE)
            try:
                said.append(work(agent, writer, number, store))
            except BaseException as error:
                failures.append(error)
                begin.abort()
                raise
        return said

    failures = []
    with ThreadPoolExecutor(len(stores)) as pool:
        writers = [pool.submit(rounds, store, writer) for writer, store in enumerate(stores)]
    if failures:
        raise failures[0]
    return [writer.result() for writer in writers]


def test_increments_and_appends_are_exact(stores, direct):
    direct.set_many({"counter": 0, "list": []})

    def work(agent, writer, number, store):
        agent.increment("counter")
        agent.append("list", f"{writer}-{number}")

    each(stores, work)
    assert direct.get("counter") == WRITERS * ROUNDS
    assert sorted(direct.get("list")) == sorted(f"{w}-{n}" for w in range(WRITERS) for n in range(ROUNDS))


def test_updates_at_a_revision_are_exact(stores, direct):
    """Each that was said to be done is there, once, and none that was said to be refused."""
    direct.set("k", [])

    def work(agent, writer, number, store):
        refused = 0
        while True:
            record, item = agent.get_record("k"), f"{writer}-{number}-{refused}"
            try:
                agent.set("k", [*record.value, item], if_revision=record.revision)
            except ConflictError:
                refused += 1
            else:
                return item

    said = each(stores, work)
    assert sorted(direct.get("k")) == sorted(chain.from_iterable(said))


def test_who_adds_and_deletes_is_alone(stores, direct):
    """Each addition is followed by the deletion of just that record, and no two writers have it at once."""
    holders, most = set(), []

    def work(agent, writer, number, store):
        revision = added(agent, writer)
        holders.add(writer)
        most.append(len(holders))
        holders.discard(writer)
        assert agent.delete("token", if_revision=revision if number % 2 else None) is True
        agent.set(f"own-{writer}", number)
        assert agent.delete(f"own-{writer}") is True
        assert agent.delete(f"own-{writer}") is False

    each(stores, work)
    assert set(most) == {1}
    assert direct.list_keys() == []


def test_accesses_are_counted_exactly(stores, direct):
    """Of records that everybody reads, while they are written to, with flushes that fail and are repeated."""
    direct.set_many({"a": 1, "b": 2})

    def work(agent, writer, number, store):
        agent.get_many(["a", "b"])
        agent.get("a")
        agent.set("b", number)
        flush(store)

    each(stores, work)
    assert direct.get_record("a").access_count == 2 * WRITERS * ROUNDS
    assert direct.get_record("b").access_count == WRITERS * ROUNDS


def test_batches_are_exact(stores, direct):
    """Of sets, and of deletes by who has set."""

    def work(agent, writer, number, store):
        items = {f"{writer}-{place}": number for place in range(10)}
        assert agent.set_many(items) == 10
        assert agent.delete_many(items) == 10
        return agent.set_many({f"{writer}-{number}-{place}": place for place in range(10)})

    said = each(stores, work)
    assert sum(chain.from_iterable(said)) == direct.count() == 10 * WRITERS * ROUNDS


def added(agent, value):
    while True:
        try:
            return agent.add("token", value)
        except KeyExistsError:
            continue


def flush(store):
    while True:
        try:
            return store.flush()
        except BackendUnavailableError:
            continue


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED])
def test_a_write_whose_answer_is_lost_is_done_once(agent, recorder, code):
    recorder.fail("Commit", losing_the_answer(code))
    revision = agent.set("k", 1, {"m": 1})
    assert agent.get_record("k").revision == revision
    recorder.fail("Commit", losing_the_answer(code))
    agent.add("added", 1)
    for expected in range(1, 4):
        recorder.fail("Commit", losing_the_answer(code))
        assert agent.increment("n") == expected
        recorder.fail("Commit", losing_the_answer(code))
        assert agent.append("list", expected) == list(range(1, expected + 1))
    recorder.fail("BatchWrite", losing_the_answer(code))
    assert agent.set_many({"k": 2, "b": 3}) == 2
    assert agent.get_many(["k", "b"]) == {"k": 2, "b": 3}
    assert agent.get_record("k").metadata == {"m": 1}


def test_a_delete_whose_answer_is_lost_says_that_it_removed(agent, store, recorder):
    revision = agent.set("k", 1)
    recorder.fail("Commit", losing_the_answer())
    assert agent.delete("k") is True
    assert agent.delete("k") is False
    revision = agent.set("k", 1)
    recorder.fail("Commit", losing_the_answer())
    assert agent.delete("k", if_revision=revision) is True
    agent.set_many({"a": 1, "b": 2})
    store.backend._assemble()
    recorder.fail("BatchWrite", losing_the_answer())
    assert agent.delete_many(["a", "b", "c"]) == 2


def test_a_delete_whose_answer_is_lost_takes_the_record_with_it_that_was_there_and_no_later_one(url, agent, recorder):
    """Where another one is there by then: whoever wrote that keeps it, unless the one before was never seen here."""
    with datastore.connect(url) as other:
        theirs = other.agent("u", "b")

        def replaced(proceed):
            proceed().result()
            theirs.set("k", "another")
            raise Fault(StatusCode.UNAVAILABLE)

        agent.set("k", 1)
        recorder.fail("Commit", replaced)
        assert agent.delete("k") is True
        assert agent.get("k") == "another"
        revision = agent.set("k", 2)
        recorder.fail("Commit", replaced)
        assert agent.delete("k", if_revision=revision) is True
        assert agent.get("k") == "another"


def test_a_delete_whose_answer_is_lost_leaves_a_later_record_whose_writer_began_earlier(url, agent, recorder):
    """Whose call waited, or whose clock is behind: Firestore's own time of its creation tells that it is later."""
    with datastore.connect(url, clock=lambda: time.time() - 60) as other:
        theirs = other.agent("u", "b")

        def replaced(proceed):
            proceed().result()
            theirs.add("k", "another")
            raise Fault(StatusCode.UNAVAILABLE)

        for conditional in (True, False):
            revision = agent.set("k", 1)
            recorder.fail("Commit", replaced)
            assert agent.delete("k", if_revision=revision if conditional else None) is True
            assert theirs.get("k") == "another"


def test_a_delete_that_never_arrived_is_sent_again_or_refused(url, agent, recorder):
    """It removes what is still as it was. At a revision that somebody has changed, it was refused."""
    with datastore.connect(url) as other:
        theirs = other.agent("u", "b")
        revision = agent.set("k", 1)

        def changed(proceed):
            theirs.set("k", "changed")
            raise Fault(StatusCode.UNAVAILABLE)

        recorder.fail("Commit", changed)
        with pytest.raises(ConflictError) as caught:
            agent.delete("k", if_revision=revision)
        assert caught.value.revision == theirs.get_record("k").revision
        recorder.fail("Commit", changed)
        assert agent.delete("k") is True
        assert not theirs.exists("k")


@pytest.mark.parametrize("code", [StatusCode.RESOURCE_EXHAUSTED, StatusCode.FAILED_PRECONDITION, StatusCode.ABORTED])
def test_a_delete_that_was_refused_did_not_remove_what_another_process_removed(url, agent, recorder, code):
    with datastore.connect(url) as other:
        theirs = other.agent("u", "b")

        def refused(proceed):
            theirs.delete_many(["k", "l"])
            raise Fault(code)

        agent.set("k", 1)
        recorder.fail("Commit", refused)
        assert agent.delete("k") is False
        agent.set_many({"k": 1, "l": 2})
        if code is StatusCode.RESOURCE_EXHAUSTED:  # the others are not said of a whole batch
            recorder.fail("BatchWrite", refused)
            assert agent.delete_many(["k", "l"]) == 0


def test_a_delete_of_what_is_missing_says_so_whether_or_not_it_is_answered(agent, recorder):
    """Where the process has seen that it is missing it asks again, which needs no guess."""
    assert agent.get("k") is None
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE, breaking_after(0))
    recorder.clear()
    assert agent.delete("k") is False
    assert recorder.requests == ["BatchGetDocuments"] * 3


def test_a_delete_is_remembered_until_it_is_answered_and_not_for_ever(agent, store, recorder, monkeypatch):
    writer = store.backend._writer
    agent.set("k", 1)
    recorder.fail("Commit", losing_the_answer())
    assert agent.delete("k") is True
    assert not writer.unanswered
    monkeypatch.setattr(writer, "_most_unanswered", 5)
    agent.set_many({f"k{number}": 1 for number in range(20)})
    recorder.fail("Commit", *[losing_the_answer(StatusCode.DEADLINE_EXCEEDED)] * 20)
    recorder.fail("BatchGetDocuments", *[StatusCode.UNAVAILABLE] * 20)
    for number in range(20):
        with pytest.raises(BackendUnavailableError):
            store.backend.write([Delete(f"u:default:{encode_key(f'k{number}')}", "2026-01-01T00:00:00.000000Z")])
    assert len(writer.unanswered) == 5


@pytest.mark.parametrize("others", [1, REMEMBERED - 1])
def test_a_write_whose_answer_is_lost_knows_itself_behind_others(agent, recorder, other, others):
    """A plain set, an addition, one at a revision and an increment: each is done once, and theirs stay."""

    def overtaken(proceed):
        proceed().result()
        for number in range(others):
            other.set("k", number)
        raise Fault(StatusCode.UNAVAILABLE)

    def check(write):
        recorder.clear()
        recorder.fail("Commit", overtaken)
        write()
        assert recorder.requests.count("Commit") == 1
        assert other.get("k") == others - 1

    check(lambda: agent.add("k", "mine"))
    check(lambda: agent.set("k", "mine", {"a": 1}))
    check(lambda: agent.set("k", "mine", if_revision=other.get_record("k").revision))
    check(lambda: agent.increment("k"))


def test_a_write_that_was_overtaken_before_it_arrived_is_refused_or_sent_again(agent, recorder, other):
    revision = agent.set("k", 1)

    def overtaken(proceed):
        other.set("k", "theirs")
        raise Fault(StatusCode.DEADLINE_EXCEEDED)

    recorder.fail("Commit", overtaken)
    with pytest.raises(ConflictError):
        agent.set("k", 2, if_revision=revision)
    recorder.fail("Commit", overtaken)
    agent.set("k", 3)
    assert other.get("k") == 3


def certain(key, revision):
    """The delete that is done only if it is this one that removes the record."""
    return Delete(encode_id("u", "default", key), format_time(time.time()), revision, certain=True)


def is_unknown(outcome):
    return not outcome.done and isinstance(outcome.error, OutcomeUnknownError)


@pytest.mark.parametrize("known", [True, False])
def test_a_certain_delete_whose_answer_is_lost_does_not_say_that_it_removed(agent, store, recorder, known):
    """It was this one, but nothing that is left tells so; and a repetition does not find out either."""
    delete = certain("k", agent.set("k", 1))
    if not known:
        store.backend._assemble()
    recorder.clear()
    recorder.fail("Commit", losing_the_answer())
    (outcome,) = store.backend.write([delete])
    assert is_unknown(outcome)
    assert recorder.requests == ["BatchGetDocuments"] * (not known) + ["Commit", "BatchGetDocuments"]
    assert not agent.exists("k")
    (again,) = store.backend.write([delete])
    assert not again.done


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED])
def test_a_certain_delete_in_doubt_is_not_done_where_another_one_removed_the_record(
    agent, store, other, recorder, code, arrives
):
    """Whether it arrived after that one or never: of the two, one has got the record."""
    revision = agent.set("k", 1)
    theirs = []

    def overtaken(proceed):
        theirs.append(other.delete("k", if_revision=revision))
        if arrives:
            with pytest.raises(grpc.RpcError):
                proceed().result()
        raise Fault(code)

    recorder.fail("Commit", overtaken)
    delete = certain("k", revision)
    (outcome,) = store.backend.write([delete])
    assert theirs == [True]
    assert is_unknown(outcome)
    (again,) = store.backend.write([delete])
    assert not again.done


def test_a_certain_delete_in_doubt_leaves_a_later_record(agent, store, other, recorder):
    revision = agent.set("k", 1)

    def replaced(proceed):
        proceed().result()
        other.add("k", "another")
        raise Fault(StatusCode.UNAVAILABLE)

    recorder.fail("Commit", replaced)
    (outcome,) = store.backend.write([certain("k", revision)])
    assert is_unknown(outcome)
    assert other.get("k") == "another"


def test_a_certain_delete_that_never_arrived_is_done_when_it_is_sent_again(agent, store, recorder):
    delete = certain("k", agent.set("k", 1))
    recorder.fail("Commit", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.backend.write([delete])
    assert store.backend.write([delete]) == [Outcome(True)]
    (again,) = store.backend.write([delete._replace(at=format_time(time.time()))])
    assert again == Outcome(False)


def test_a_certain_delete_that_comes_after_its_repetition_is_done_once(agent, store, recorder):
    """The first request is still under way when the second one removes the record, and then finds nothing."""
    delete = certain("k", agent.set("k", 1))
    first = []

    def late(proceed):
        first.append(proceed)
        raise Fault(StatusCode.DEADLINE_EXCEEDED)

    recorder.fail("Commit", late)
    with pytest.raises(BackendUnavailableError):
        store.backend.write([delete])
    assert store.backend.write([delete]) == [Outcome(True)]
    agent.set("k", "another")
    with pytest.raises(grpc.RpcError):
        first[0]().result()
    assert agent.get("k") == "another"


def test_a_certain_delete_that_is_found_out_later_is_in_doubt_until_then(agent, store, recorder):
    delete = certain("k", agent.set("k", 1))
    recorder.fail("Commit", losing_the_answer())
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.backend.write([delete])
    (outcome,) = store.backend.write([delete])
    assert is_unknown(outcome)


@pytest.mark.parametrize("code", [StatusCode.RESOURCE_EXHAUSTED, StatusCode.FAILED_PRECONDITION, StatusCode.ABORTED])
def test_a_certain_delete_that_was_refused_did_not_remove_what_another_one_removed(agent, store, other, recorder, code):
    revision = agent.set("k", 1)

    def refused(proceed):
        other.delete("k")
        raise Fault(code)

    recorder.fail("Commit", refused)
    delete = certain("k", revision)
    if code is StatusCode.RESOURCE_EXHAUSTED:
        with pytest.raises(ThrottledError):
            store.backend.write([delete])
    assert store.backend.write([delete]) == [Outcome(False)]


def test_certain_deletes_in_a_batch_are_done_or_unknown_each_for_itself(agent, store, other, recorder):
    revisions = {key: agent.set(key, 1) for key in ("kept", "taken", "removed")}

    def overtaken(proceed):
        other.delete("taken")
        proceed().result()
        other.set("kept", 2)
        raise Fault(StatusCode.UNAVAILABLE)

    recorder.fail("BatchWrite", overtaken)
    one = put("new", 1, user="u", namespace="default")
    writes = [*(certain(key, revision) for key, revision in revisions.items()), one]
    outcomes = store.backend.write(writes)
    assert [is_unknown(outcome) for outcome in outcomes] == [True, True, True, False]
    assert outcomes[3].done


@pytest.mark.parametrize("done", [True, False])
def test_a_batch_that_firestore_refuses_is_sent_one_by_one_and_removes_nothing_twice(
    agent, store, other, recorder, done
):
    """Even if it had been carried out all the same: a second removal finds nothing, and says so."""
    writes = [certain(key, agent.set(key, 1)) for key in ("a", "b")]

    def refused(proceed):
        other.delete("a")
        if done:
            proceed().result()
        raise Fault(StatusCode.INVALID_ARGUMENT)

    recorder.fail("BatchWrite", refused)
    assert store.backend.write(writes) == [Outcome(False), Outcome(not done)]
    assert agent.list_keys() == []


def test_of_certain_deletes_of_one_record_one_is_done(agent, store, url):
    for number in range(5):
        delete = certain("k", agent.set("k", number))
        with ExitStack() as stack:
            backends = [stack.enter_context(datastore.connect(url)).backend for _ in range(4)]
            begin = threading.Barrier(4)

            def remove(backend, begin=begin, delete=delete):
                begin.wait(PATIENCE)
                return backend.write([delete])[0]

            with ThreadPoolExecutor(4) as pool:
                outcomes = list(pool.map(remove, backends))
        assert sorted(outcome.done for outcome in outcomes) == [False, False, False, True]
        assert not any(outcome.error for outcome in outcomes)


@pytest.mark.parametrize("request_", ["Commit", "BatchWrite"])
def test_a_touch_whose_answer_is_lost_is_seen_to_be_done(agent, store, recorder, request_):
    keys = ["a"] if request_ == "Commit" else ["a", "b"]
    agent.set_many(dict.fromkeys(keys, 1))
    recorder.clear()
    recorder.fail(request_, losing_the_answer())
    writes = [Touch(encode_id("u", "default", key), at(0), at(60)) for key in keys]
    assert all(outcome.done for outcome in store.backend.write(writes))
    assert recorder.requests == [request_, "BatchGetDocuments"]
    assert {format_time(agent.get_record(key).expires_at.timestamp()) for key in keys} == {at(60)}


def test_a_touch_that_never_arrived_is_sent_again_and_wakes_nothing(agent, store, other, recorder):
    writes = [Touch(encode_id("u", "default", "k"), at(0), at(60))]

    def removed(proceed):
        other.delete("k")
        raise Fault(StatusCode.UNAVAILABLE)

    agent.set("k", 1)
    recorder.fail("Commit", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.backend.write(writes)
    assert store.backend.write(writes)[0].done
    agent.set("k", 1)
    recorder.fail("Commit", removed)
    assert store.backend.write(writes) == [Outcome(False)]
    assert not agent.exists("k")
