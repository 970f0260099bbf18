"""Every third answer is lost and eight writers write the same records: each write is applied exactly once."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest

import datastore
from datastore import BackendUnavailableError, ConflictError
from datastore.backend import Delete, Outcome
from datastore.conformance.documents import at, id_of, put, stored
from tests.servers.strict_couchdb import reset, reset_after

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
