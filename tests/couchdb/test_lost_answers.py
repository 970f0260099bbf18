"""Every third answer is lost and eight writers write the same records: each write is applied exactly once."""

from __future__ import annotations

import itertools
import json
from contextlib import ExitStack, suppress

import pytest

import datastore
from datastore import BackendUnavailableError, ConflictError, OutcomeUnknownError
from datastore.backend import Delete, Fields, Outcome, Touch
from datastore.conformance.documents import apply, at, id_of, is_stored, put, stored
from datastore.ids import IdRange
from datastore_couchdb.flags import flag_of
from tests.servers.strict_couchdb import reset, reset_after, status

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done

WRITERS = 8
ROUNDS = 6


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


def flag_there(backend, key):
    return backend._session.get_document(flag_of(id_of(key))) is not None


@pytest.mark.parametrize("answer", ["arrives", "is lost", "is lost, and so is the next"])
def test_a_touch_that_gives_a_record_its_first_expiry_writes_its_flag_before_it(backend, proxy, answer):
    """Whoever sees the record with its expiry sees its flag."""
    apply(backend, [put("k", 1)])
    sent = []

    def watched(handler, request):
        sent.append([document["_id"] for document in request.json()["docs"]])
        return reset_after(handler, request) if answer != "arrives" else False

    proxy.fail("POST _bulk_docs", watched)
    if answer.endswith("next"):
        proxy.fail("GET db/doc", lambda handler, request: False, reset)
    touch = Touch(id_of("k"), at(1), at(60))
    if answer.endswith("next"):
        with pytest.raises(BackendUnavailableError):
            backend.write([touch])
    assert backend.write([touch]) == [Outcome(True)]
    assert sent[0] == [flag_of(id_of("k")), id_of("k")]
    assert (stored(backend, "k").expires_at, flag_there(backend, "k")) == (at(60), True)
    assert not backend._documents.unflagged


def test_a_touch_of_which_only_the_record_was_written_writes_the_flag_afterwards(backend, proxy):
    """In a cluster the two can be on different shards."""
    apply(backend, [put("k", 1)])

    def without_the_flag(handler, request):
        (record,) = [text for text in request.json()["docs"] if text["_id"] == id_of("k")]
        request.body = json.dumps({"docs": [record]}).encode()
        return reset_after(handler, request)

    proxy.fail("POST _bulk_docs", without_the_flag)
    assert backend.write([Touch(id_of("k"), at(1), at(60))]) == [Outcome(True)]
    assert (stored(backend, "k").expires_at, flag_there(backend, "k")) == (at(60), True)


def test_a_delete_that_is_done_says_so_whatever_becomes_of_a_flag(backend, proxy):
    """A write before it has not heard of its flag."""
    proxy.fail("POST _bulk_docs", reset_after)
    proxy.fail("GET db/doc", reset)
    with pytest.raises(BackendUnavailableError):
        backend.write([put("k", 1, revision="first", expires_at=at(60))])
    proxy.clear_faults()
    assert backend._documents.unflagged
    proxy.fail("POST _bulk_docs", lambda handler, request: False, status(503))
    assert backend.write([Delete(id_of("k"), at(1), "first", certain=True)]) == [Outcome(True)]


CERTAIN = Delete(id_of("k"), at(1), "first", certain=True)


def lose_the_answer(backend, proxy, *, arrives):
    """Send a certain delete of which nobody can find out anything for now."""
    backend.write([put("k", 1, revision="first")])
    proxy.fail("POST _bulk_docs", reset_after if arrives else reset)
    proxy.fail("GET db/doc", reset)
    with pytest.raises(BackendUnavailableError):
        backend.write([CERTAIN])
    proxy.clear_faults()


@pytest.mark.parametrize("later", [False, True])
def test_a_certain_delete_whose_answer_was_lost_is_done_since_couchdb_has_kept_its_mark(backend, proxy, later):
    if later:
        lose_the_answer(backend, proxy, arrives=True)
    else:
        backend.write([put("k", 1, revision="first")])
        proxy.fail("POST _bulk_docs", reset_after)
    assert backend.write([CERTAIN]) == [Outcome(True)]
    assert not is_stored(backend, "k")


def test_a_certain_delete_that_did_not_arrive_is_sent_again(backend, proxy):
    lose_the_answer(backend, proxy, arrives=False)
    assert backend.write([CERTAIN]) == [Outcome(True)]


@pytest.mark.parametrize("certain", [True, False])
def test_a_certain_delete_that_did_not_arrive_is_not_done_where_another_one_has_removed_the_record(
    backend, proxy, certain
):
    lose_the_answer(backend, proxy, arrives=False)
    assert backend.write([Delete(id_of("k"), at(2), "first", certain=certain)]) == [Outcome(True)]
    assert backend.write([CERTAIN]) == [Outcome(False)]


def clear(backend):
    assert backend.clear(IdRange("user:ns:", "user:ns;"), at(2)) == 1


def replace(backend):
    apply(backend, [Delete(id_of("k"), at(2)), put("k", 2, at=at(3))])


def replace_and_remove(backend):
    replace(backend)
    apply(backend, [Delete(id_of("k"), at(4))])


@pytest.mark.parametrize(
    ("arrives", "meanwhile"),
    [(False, clear), (False, replace), (True, replace), (False, replace_and_remove), (True, replace_and_remove)],
)
def test_a_certain_delete_is_in_doubt_where_nothing_can_be_told(backend, proxy, arrives, meanwhile):
    """Somebody cleared the namespace, which leaves no mark, or CouchDB knows of a later record alone."""
    lose_the_answer(backend, proxy, arrives=arrives)
    meanwhile(backend)
    left = backend.read([id_of("k")], Fields.ALL)
    (outcome,) = backend.write([CERTAIN])
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert backend.read([id_of("k")], Fields.ALL) == left
    assert not backend._writer.unanswered


def test_a_certain_delete_is_in_doubt_where_couchdb_keeps_nothing_of_what_it_deleted(backend, proxy):
    """It knows that there was a revision, or does not even know that any more."""
    for status_, body in (
        (200, b'[{"missing":"2-3769310461ba8ebc4ce4b0c111b9c411"}]'),
        (404, b'{"error":"not_found","reason":"missing"}'),
    ):
        lose_the_answer(backend, proxy, arrives=True)

        def forgotten(handler, request, status=status_, body=body):
            handler.answer(status, body)
            return True

        proxy.fail("GET db/doc", lambda handler, request: False, forgotten)
        (outcome,) = backend.write([CERTAIN])
        assert isinstance(outcome.error, OutcomeUnknownError)
        proxy.clear_faults()


def test_of_those_who_pop_one_record_one_gets_it(writers, proxy):
    """Or nobody can tell. Whether or not the request of which no answer came had arrived."""
    got = []

    def pop(writer):
        with suppress(OutcomeUnknownError):
            got.append(writer.pop("k"))

    losing = Losing(proxy, writers, pop, only=b"_deleted", applied=(True, False))
    for number in range(ROUNDS):
        writers[number % WRITERS].set("k", number)
        got.clear()
        losing.writing = writers[number % WRITERS - 1]
        losing.act(losing.writing)
        if number not in got:
            losing.act(writers[0])
        assert got.count(number) == 1
        assert set(got) <= {number, None}
    proxy.clear_faults()
    assert losing.lost >= ROUNDS // 4
