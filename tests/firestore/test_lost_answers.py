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
)
from datastore.adapters.remembering import REMEMBERED
from datastore.backend import Delete
from datastore.ids import encode_key
from tests.firestore.recording import Fault, breaking_after, losing_the_answer

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
            begin.wait(60)
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
