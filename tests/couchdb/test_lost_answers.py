"""Every third answer is lost and eight writers write the same records: each write is applied exactly once."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest

import datastore
from datastore import BackendUnavailableError, ConflictError
from datastore.adapters.remembering import REMEMBERED
from datastore.backend import Access, Delete, Fields, Outcome
from datastore.conformance.documents import at, id_of, put, stored
from tests.servers.strict_couchdb import meanwhile, reset, reset_after

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done

WRITERS = 8
ROUNDS = 12


class Losing:
    """Every third answer to a write is lost, and then each of the other writers writes before anybody looks again.

    Args:
        proxy: Between them and the server.
        writers: All of them.
        act: What one of them does.
        only: What is in the requests that are counted.
        applied: Whether what was asked is done: for each lost answer in turn.
    """

    def __init__(self, proxy, writers, act, *, only=b"", applied=(True,)):
        self.proxy, self.writers, self.act, self.only = proxy, writers, act, only
        self.applied = itertools.cycle(applied)
        self.asked = self.lost = 0
        self.held = False
        self.writing = None
        self.again()

    def again(self):
        self.proxy.fail("POST _bulk_docs", self)

    def run(self, rounds=ROUNDS):
        """Let the writers act one after another, and then the faults end."""
        for _ in range(rounds):
            for writer in self.writers:
                self.writing = writer
                self.act(writer)
        self.proxy.clear_faults()
        assert self.lost >= rounds

    def __call__(self, handler, request):
        self.again()
        if self.held or self.only not in request.body:
            return False
        self.asked += 1
        if self.asked % 3:
            return False
        self.lost += 1
        if next(self.applied):
            handler.forward(request)
        self.held = True
        try:
            for writer in self.writers:
                if writer is not self.writing:
                    self.act(writer)
        finally:
            self.held = False
        handler.cut()
        return True


@pytest.fixture
def stores(url):
    with ExitStack() as stack:
        options = {"flush_interval": 3_600, "retry_seconds": 30}
        yield [stack.enter_context(datastore.connect(url, **options)) for _ in range(WRITERS)]


@pytest.fixture
def writers(stores):
    return [store.agent("u", f"w{number}") for number, store in enumerate(stores)]


def test_increments_are_applied_once(writers, proxy):
    done = []
    Losing(proxy, writers, lambda writer: done.append(writer.increment("n"))).run()
    assert len(done) > 2 * ROUNDS * WRITERS
    assert sorted(done) == list(range(1, len(done) + 1))
    assert writers[0].get("n") == len(done)


def test_appends_are_applied_once(writers, proxy):
    entries = itertools.count()
    Losing(proxy, writers, lambda writer: writer.append("l", next(entries)), applied=(True, False)).run()
    assert sorted(writers[0].get("l")) == list(range(next(entries)))


def test_conditional_writes_know_themselves_and_nobody_else(writers, proxy):
    """Who holds a revision writes over it once; who comes second hears of a conflict."""
    writers[0].set("k", [])
    stored, refused = [], []

    def write(writer):
        record = writer.get_record("k")
        for holder in (writer, writers[writers.index(writer) - 1]):
            name = f"{holder.agent} {len(stored)}"
            try:
                holder.set("k", [*record.value[-99:], name], if_revision=record.revision)
                stored.append(name)
            except ConflictError:
                refused.append(name)

    Losing(proxy, writers, write, applied=(True, False)).run(ROUNDS // 2)
    assert len(stored) + len(refused) > 2 * WRITERS
    assert sorted(writers[0].get("k")) == sorted(stored[-len(writers[0].get("k")) :])


def test_of_those_who_delete_one_record_one_hears_that_it_did(writers, proxy):
    """Whether or not the request of which no answer came had arrived."""
    deleted = []
    losing = Losing(
        proxy,
        writers,
        lambda writer: deleted.append(writer.delete("k")),
        only=b"_deleted",
        applied=(True, False),
    )
    for number in range(ROUNDS * 2):
        writers[number % WRITERS].add("k", number)
        deleted.clear()
        losing.writing = writers[number % WRITERS - 1]
        losing.act(losing.writing)
        if not any(deleted):
            losing.act(writers[0])
        assert deleted.count(True) == 1, number
    proxy.clear_faults()
    assert losing.lost >= ROUNDS // 2


def test_accesses_are_counted_once(stores, writers, proxy):
    writers[0].set_many({"a": 1, "b": 2})
    reads = itertools.count()

    def read(writer):
        writer.get_many(["a", "b"])
        next(reads)
        stores[writers.index(writer)].flush()

    Losing(proxy, writers, read).run()
    asked = next(reads)
    assert [writers[0].get_record(key).access_count for key in "ab"] == [asked] * 2


@pytest.fixture
def backend(store):
    return store.backend


@pytest.mark.parametrize("condition", [None, "first"])
def test_a_repeated_delete_does_not_remove_a_record_made_later(backend, proxy, condition):
    """The first one was applied, its answer was lost, and somebody made a new record."""
    backend.write([put("k", 1, revision="first")])
    delete = Delete(id_of("k"), at(1), condition)
    proxy.fail("POST _bulk_docs", reset_after)
    proxy.fail("GET db/doc", reset)
    with pytest.raises(BackendUnavailableError):
        backend.write([delete])
    proxy.clear_faults()
    backend.write([put("k", 2, at=at(2))])
    assert backend.write([delete]) == [Outcome(True)]
    assert stored(backend, "k").value == 2


def test_a_delete_at_a_revision_that_was_refused_says_so_however_often_it_is_sent(backend, proxy):
    backend.write([put("k", 1, revision="first")])
    delete = Delete(id_of("k"), at(1), "first")
    proxy.fail("POST _bulk_docs", reset)
    proxy.fail("GET db/doc", reset)
    with pytest.raises(BackendUnavailableError):
        backend.write([delete])
    proxy.clear_faults()
    backend.write([put("k", 2, revision="second")])
    assert backend.write([delete]) == [Outcome(False, "second")]


@pytest.mark.parametrize("others", [0, REMEMBERED - 1])
def test_documents_without_marks_know_the_write_that_comes_next(backend, others):
    """They were written before there were marks, or by hand."""
    backend.write([put("k", 1, revision="first")])
    session = backend._session
    document = session.get_document(id_of("k"))
    document.pop("recentWrites")
    session.post("_bulk_docs", {"docs": [document]})
    mine = put("k", "mine", if_revision="first")
    assert backend.write([mine])[0].done
    for number in range(others):
        assert backend.write([put("k", number)])[0].done
    assert backend.write([mine])[0].done
    assert stored(backend, "k").value == (others - 1 if others else "mine")


def test_what_is_remembered_here_settles_no_outcome(store, agent, stranger, proxy):
    """The metadata that was seen here would be too much; somebody has removed it since."""
    agent.set("k", 1, {"a": "x" * 900})
    stranger.set("k", 2, {"a": None})
    agent.set("k", 3, {"b": "x" * 15_900})
    assert agent.get_record("k").metadata == {"b": "x" * 15_900}


def test_marks_are_in_the_document_and_in_nothing_that_is_handed_out(store, agent):
    agent.set("k", 1)
    agent.get("k")
    store.flush()
    document = store.backend._session.get_document(id_of("k", "default", "u"))
    assert (len(document["recentWrites"]), len(document["recentCounts"])) == (8, 8)
    assert "recent" not in agent.get_record("k").model_dump_json(by_alias=True)
    for number in range(20):
        agent.set("k", number)
        agent.get("k")
        store.flush()
    document = store.backend._session.get_document(id_of("k", "default", "u"))
    assert (len(document["recentWrites"]), len(document["recentCounts"])) == (128, 128)


def test_what_is_remembered_of_lost_answers_is_forgotten_after_a_fork(backend, proxy):
    writer, counter = backend._writer, backend._counter
    backend.write([put(f"k{number}", 1) for number in range(3)])
    documents = backend.read([id_of(f"k{number}") for number in range(3)], Fields.ALL)
    proxy.fail("POST _bulk_docs", reset)
    proxy.fail("POST _bulk_get", reset)
    with pytest.raises(BackendUnavailableError):
        backend.write([Delete(id, at(1)) for id in documents])
    assert len(writer.unanswered) == 3
    proxy.clear_faults()
    proxy.fail("POST _bulk_docs", reset)
    proxy.fail("POST _bulk_get", meanwhile(lambda: None), reset)
    with pytest.raises(BackendUnavailableError):
        counter.record([Access(id, one.created_at, 1, "a", at(1)) for id, one in documents.items()])
    assert len(counter.accounts) == 3
    backend.after_fork()
    assert not writer.unanswered
    assert not counter.accounts
