"""Every third answer is lost while eight writers work: everything is done exactly once.

They work in rounds, and in each round every writer writes a record once. So at most seven other writes come between a
write whose answer is lost and its repetition, and a record knows its last eight.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain

import grpc
import pytest

import datastore
from datastore import BackendUnavailableError, ConflictError, KeyExistsError
from tests.firestore.recording import Fault

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
def open_stores(url):
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


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
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
