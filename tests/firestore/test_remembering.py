"""A record knows its last writes and counts, in two fields that nobody else ever sees."""

import pytest
from grpc import StatusCode

import datastore
from datastore import BackendUnavailableError, ConflictError
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED, mark_of
from datastore.backend import Delete, Fields
from datastore.conformance.documents import apply, at, id_of, put
from datastore.moving import copy, export_records
from tests.firestore.recording import Fault, losing_the_answer
from tests.firestore.test_damage import plant
from tests.firestore.test_values import stored

pytestmark = pytest.mark.server("firestore")

FIELDS = ("recentWrites", "recentCounts")


@pytest.fixture(name="other")
def open_another(url):
    """The same database in another process."""
    with datastore.connect(url, flush_interval=3_600, tracking="off") as store:
        yield store.agent("u", "b")


def marks(agent, store):
    return [stored(agent, store)[field].string_value for field in FIELDS]


def test_the_last_eight_writes_and_countings_are_kept(agent, store):
    revisions = [agent.set("k", number) for number in range(REMEMBERED + 3)]
    for _ in range(REMEMBERED + 3):
        agent.get("k")
        store.flush()
    writes, counts = marks(agent, store)
    assert writes == "".join(map(mark_of, reversed(revisions)))[: REMEMBERED * MARK_LENGTH]
    assert len(counts) == REMEMBERED * MARK_LENGTH
    agent.delete("k")
    revision = agent.add("k", 1)
    assert stored(agent, store)["recentWrites"].string_value == mark_of(revision)
    assert "recentCounts" not in stored(agent, store)


def test_they_are_part_of_no_record_and_no_export(agent, store, tmp_path):
    agent.set("k", {"a": 1}, {"m": 1})
    agent.get("k")
    store.flush()
    assert all(marks(agent, store))
    record = agent.get_record("k")
    assert not any(field in record.model_dump_json(by_alias=True) for field in FIELDS)
    export_records(store, tmp_path / "all.jsonl")
    assert not any(field in (tmp_path / "all.jsonl").read_text() for field in FIELDS)


def test_a_document_that_was_written_without_them_gets_them(agent, store, other):
    """And knows from its next write on also the one before."""
    first = agent.set("k", 1)
    for missing in (None, {"integer_value": 7}):
        plant(store, agent.get_record("k").id, dict.fromkeys(FIELDS, (missing and None) or missing))
        assert agent.get("k") is not None
        store.flush()
        revision = other.set("k", 2)
        assert marks(agent, store)[0] == mark_of(revision) + mark_of(first)
        assert agent.get_record("k").access_count
        first = revision


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


def test_what_this_process_remembers_decides_nothing(store, recorder):
    """A repeated put finds its mark in what was seen here, and asks all the same."""
    backend = store.backend
    one = put("k", 1)
    apply(backend, [one])
    apply(backend, [put("k", 2)])
    recorder.clear()
    apply(backend, [one])
    assert recorder.requests == ["BatchGetDocuments"]
    backend._connection.commit([_removal(backend, one.id)])
    recorder.clear()
    (outcome,) = apply(backend, [one])
    assert outcome.done
    assert backend.read([one.id], Fields.VALUE)[one.id].value == 1


def _removal(backend, id):
    from datastore_firestore import documents

    return documents.remove(backend._settings.prefix + id)


def test_a_restored_record_can_be_restored_again_over_later_writes(agent, store, recorder, other):
    """The marks of one copy are not those of the next one."""
    with datastore.connect("memory://") as source:
        source.agent("u", "a").set("k", "old")
        assert copy(source, store).written == 1
        recorder.fail("Commit", losing_the_answer())
        other.set("k", "new")
        assert copy(source, store, overwrite=True).written == 1
        assert other.get("k") == "old"
        recorder.fail("Commit", losing_the_answer())
        other.set("k", "newer")
        assert copy(source, store, overwrite=True).written == 1
        assert other.get("k") == "old"


def test_a_counting_that_is_in_doubt_keeps_its_mark(agent, store, recorder, other):
    """Until it is known; others count meanwhile."""
    agent.set("k", 1)
    agent.get("k")
    recorder.fail("BatchWrite", losing_the_answer())
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.flush()
    with datastore.connect(store_url(store), flush_interval=3_600) as third:
        for _ in range(REMEMBERED - 1):
            third.agent("u", "c").get("k")
            third.flush()
    agent.get("k")
    store.flush()
    assert other.get_record("k").access_count == REMEMBERED + 1
    assert not store.backend._counter.accounts


def store_url(store):
    settings = store.backend._settings
    return f"firestore://{settings.project}/{settings.collection}?emulator={settings.emulator}"


def test_the_memory_of_countings_in_doubt_is_bounded(agent, store, recorder, monkeypatch):
    monkeypatch.setattr(store.backend._counter, "_most_open", 5)
    agent.set_many({f"k{number}": number for number in range(20)})
    agent.get_all()
    recorder.fail("BatchWrite", losing_the_answer())
    recorder.fail("BatchGetDocuments", StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        store.flush()
    assert len(store.backend._counter.accounts) == 5


def test_a_delete_at_a_revision_that_the_record_has_seen_was_refused(agent, store):
    backend = store.backend
    first = put("k", 1)
    apply(backend, [first])
    apply(backend, [put("k", 2, revision="second")])
    (outcome,) = apply(backend, [Delete(id_of("k"), at(1), first.revision)])
    assert (outcome.done, outcome.revision) == (False, "second")
