"""Copying from store to store: exactly, again, onwards after an end in the middle, and in flat memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import datastore
from datastore.backend import Document, DocumentPage, Fields
from datastore.conformance.faults import backend_of
from datastore.conformance.samples import VALUES, same
from datastore.ids import encode_key
from datastore.moving import copy, digest_of
from datastore.moving.digests import digest
from datastore.moving.pages import PAGE
from tests.patience import PATIENCE

RECORDS = 4 * (len(VALUES) + 1)


def whole(store) -> list[Document]:
    return list(backend_of(store).all_documents(Fields.ALL, 10_000).documents)


def test_a_copy_is_the_same_field_for_field(full, sink):
    full.flush()
    report = copy(full, sink)
    live = [document for document in whole(full) if not document.id.endswith(f":{encode_key('gone')}")]
    assert [document.id for document in whole(sink)] == [document.id for document in live]
    for ours, theirs in zip(whole(sink), live, strict=True):
        assert same([*ours], [*theirs]), "type for type: 1 is not 1.0 is not True, and -0.0 is not 0.0"
    assert (report.read, report.written, report.verified, report.expired) == (RECORDS + 4, RECORDS, RECORDS, 4)
    assert report.complete


def test_a_copy_shows_who_made_a_record_and_who_read_it(full, sink):
    copy(full, sink)
    record = sink.agent("ann", "host").get_record("1")
    assert (record.created_by_agent, record.last_accessed_by_agent, record.access_count) == ("writer", "reader", 1)
    assert record == full.agent("ann", "host").get_record("1")


def test_accesses_that_were_only_noted_are_copied(source, sink):
    ann = source.agent("ann", "reader")
    ann.set("plan", 1)
    ann.get("plan")
    copy(source, sink)
    assert sink.agent("ann", "host").get_record("plan").access_count == 1


def test_an_expired_record_stays_behind_and_one_that_expires_goes_on_to(full, sink, clock):
    copy(full, sink)
    ann = sink.agent("ann", "host")
    assert not ann.exists("gone")
    assert ann.exists("brief")
    clock.advance(60)
    assert not ann.exists("brief")


@pytest.mark.parametrize(
    ("filters", "users", "namespaces"),
    [
        ({"user_id": "ann"}, {"ann"}, {"default", "files:x"}),
        ({"namespace": "files:x"}, {"ann", "a:b"}, {"files:x"}),
        ({"user_id": "a:b", "namespace": "files:x"}, {"a:b"}, {"files:x"}),
        ({"user_id": "nobody"}, set(), set()),
    ],
)
def test_filters_choose_users_and_namespaces(full, sink, filters, users, namespaces):
    report = copy(full, sink, **filters)
    for user in ("ann", "a:b"):
        expected = namespaces if user in users else set()
        assert set(sink.agent(user, "host").list_namespaces()) == expected
    assert report.written == len(users) * len(namespaces) * (len(VALUES) + 1)
    assert report.digest == digest_of(sink) == digest_of(full, **filters)


def test_running_twice_writes_nothing_more(full, sink):
    first, second = copy(full, sink), copy(full, sink)
    assert (second.written, second.unchanged, second.kept) == (0, first.written, 0)
    assert first.digest == second.digest


def test_running_again_brings_over_what_has_changed(full, sink, clock):
    copy(full, sink)
    clock.advance(5)
    full.agent("ann", "writer").set("1", "changed")
    full.agent("ann", "writer").set("new", 1)
    report = copy(full, sink)
    assert (report.written, report.replaced) == (2, 1)
    assert digest_of(sink) == digest_of(full)


def test_what_is_newer_in_the_target_is_kept(source, sink, clock):
    source.agent("ann", "a").set_many({"changed": 1, "read": 1, "untouched": 1})
    copy(source, sink)
    clock.advance(5)
    sink.agent("ann", "b").set("changed", 2)
    sink.agent("ann", "b").get("read")
    sink.flush()
    report = copy(source, sink)
    assert (report.kept, report.unchanged, report.written) == (2, 1, 0)
    assert report.complete
    assert sink.agent("ann", "b").get("changed") == 2


def test_overwriting_replaces_what_is_newer_too(source, sink, clock):
    source.agent("ann", "a").set("plan", 1)
    copy(source, sink)
    clock.advance(5)
    sink.agent("ann", "b").set("plan", 2)
    assert copy(source, sink, overwrite=True).replaced == 1
    assert digest_of(source) == digest_of(sink)


def test_nothing_is_removed_from_the_target(source, sink):
    sink.agent("ann", "b").set("theirs", 1)
    source.agent("ann", "a").set("ours", 1)
    copy(source, sink)
    assert sink.agent("ann", "b").list_keys() == ["ours", "theirs"]


def test_a_store_cannot_be_copied_to_itself(source):
    with pytest.raises(datastore.ConfigurationError, match="the same store"):
        copy(source, source)


def test_an_expired_record_in_the_way_is_replaced(source, sink, clock):
    sink.agent("ann", "b").set("plan", "old", {"old": True}, ttl=1)
    source.agent("ann", "a").set("plan", "new")
    clock.advance(2)
    assert copy(source, sink).complete
    assert digest_of(source) == digest_of(sink)


def test_what_does_not_come_back_as_it_was_is_reported(source, sink, monkeypatch):
    source.agent("ann", "a").set_many({"good": 1, "bad": 2, "lost": 3})
    backend = backend_of(sink)
    restore = backend.restore

    def damage(restores):
        kept = [item for item in restores if item.key != "lost"]
        outcomes = iter(restore([item._replace(json="5") if item.key == "bad" else item for item in kept]))
        return [next(outcomes) if item in kept else datastore.backend.Outcome(True) for item in restores]

    monkeypatch.setattr(backend, "restore", damage)
    report = copy(source, sink)
    assert not report.complete
    assert {problem.where[12:]: problem.text for problem in report.problems} == {
        encode_key("bad"): "differs when read back, in value",
        encode_key("lost"): "is missing when read back",
    }
    assert copy(source, sink, verify=False).complete, "who does not look sees nothing"


def test_a_record_that_the_database_refuses_does_not_stop_the_others(source, sink, monkeypatch):
    source.agent("ann", "a").set_many({"good": 1, "bad": 2})
    backend = backend_of(sink)
    restore = backend.restore

    def refuse(restores):
        error = datastore.ValueTooLargeError("too large for this database")
        outcomes = restore([item for item in restores if item.key != "bad"])
        places = iter(outcomes)
        return [
            datastore.backend.Outcome(False, error=error) if item.key == "bad" else next(places) for item in restores
        ]

    monkeypatch.setattr(backend, "restore", refuse)
    report = copy(source, sink)
    assert report.written == 1
    assert [(problem.kind, problem.text) for problem in report.problems] == [("failed", "too large for this database")]


def test_progress_is_told_page_by_page_and_ends_at_the_total(source, sink):
    source.agent("ann", "a").set_many({f"key {number}": number for number in range(2 * PAGE + 1)})
    told = []
    copy(source, sink, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(PAGE, 2 * PAGE + 1), (2 * PAGE, 2 * PAGE + 1), (2 * PAGE + 1, 2 * PAGE + 1)]


class TestAfterAnEndInTheMiddle:
    """With a checkpoint the next run goes on; without one it compares, and writes what is missing."""

    @pytest.fixture
    def interrupted(self, source, sink, tmp_path):
        """Copy two pages of four, and be interrupted."""
        source.agent("ann", "a").set_many({f"key {number}": number for number in range(4 * PAGE)})
        pages = []

        def interrupt(done, total):
            pages.append(done)
            if len(pages) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy(source, sink, checkpoint=tmp_path / "checkpoint", on_progress=interrupt)
        assert sink.agent("ann", "a").count() == 2 * PAGE
        return tmp_path / "checkpoint"

    def test_it_goes_on_where_it_was(self, source, sink, interrupted):
        report = copy(source, sink, checkpoint=interrupted)
        assert (report.resumed, report.read, report.written) == (2 * PAGE, 4 * PAGE, 4 * PAGE)
        assert report.digest == digest_of(source) == digest_of(sink)
        assert not interrupted.exists(), "a run after the last compares everything"

    def test_without_the_checkpoint_it_writes_what_is_missing(self, source, sink, interrupted):
        report = copy(source, sink)
        assert (report.unchanged, report.written) == (2 * PAGE, 2 * PAGE)

    def test_a_target_that_was_emptied_meanwhile_gets_everything(self, source, sink, interrupted):
        sink.agent("ann", "a").clear()
        report = copy(source, sink, checkpoint=interrupted)
        assert (report.resumed, report.written) == (0, 4 * PAGE)

    def test_other_filters_begin_anew(self, source, sink, interrupted):
        assert copy(source, sink, user_id="ann", checkpoint=interrupted).resumed == 0

    def test_a_checkpoint_that_is_none_is_not_believed(self, source, sink, interrupted):
        interrupted.write_text("{")
        assert copy(source, sink, checkpoint=interrupted).resumed == 0

    def test_a_checkpoint_that_cannot_be_written_is_an_error(self, source, sink, interrupted, tmp_path):
        with pytest.raises(datastore.ConfigurationError, match=r"the checkpoint .* cannot be written"):
            copy(source, sink, checkpoint=interrupted / "below a file")


COPY = """
import sys
from pathlib import Path
import datastore
from datastore.moving import copy
with datastore.connect(sys.argv[1]) as source, datastore.connect(sys.argv[2]) as sink:
    copy(source, sink, checkpoint=Path(sys.argv[3]), on_progress=lambda done, total: print(done, flush=True))
"""


def test_kill_9_in_the_middle_of_a_copy_and_once_more(source, sink, tmp_path):
    source.agent("ann", "a").set_many({f"key {number}": "x" * 1_000 for number in range(8_000)})
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("source", "sink")]
    command = [sys.executable, "-c", COPY, *urls, str(tmp_path / "checkpoint")]
    killed_at = 0
    for pages in (1, 3, 6):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(pages):
            killed_at = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        process.stdout.close()
    report = copy(source, sink, checkpoint=tmp_path / "checkpoint")
    assert report.resumed >= killed_at - PAGE, "the checkpoint is written before progress is told of"
    assert report.complete
    assert digest_of(sink) == digest_of(source)


def test_a_store_that_is_written_to_meanwhile_is_copied_whole_records_at_a_time(source, sink):
    ann = source.agent("ann", "a")
    ann.set_many({f"key {number}": {"version": 0, "twice": 0} for number in range(3 * PAGE)})
    changed = []

    def change(done, total):
        changed.append(done)
        ann.set_many({f"key {number}": {"version": done, "twice": 2 * done} for number in range(0, 3 * PAGE, 7)})

    assert copy(source, sink, on_progress=change).complete
    copied = sink.agent("ann", "a").get_all()
    assert len(copied) == 3 * PAGE
    assert all(value["twice"] == 2 * value["version"] for value in copied.values())


def test_what_others_write_to_the_target_meanwhile_is_never_lost(source, sink, clock):
    ann = source.agent("ann", "a")
    ann.set_many({f"key {number}": "copied" for number in range(3 * PAGE)})
    clock.advance(10)
    there = sink.agent("ann", "b")

    def write(done, total):
        there.set_many({f"key {number}": "theirs" for number in range(3 * PAGE)})

    report = copy(source, sink, on_progress=write)
    assert report.complete
    assert set(there.get_all().values()) == {"theirs"}
    assert report.kept


def test_memory_holds_one_page_whatever_the_number_of_records(tmp_path, monkeypatch):
    """Of 20,000 records no more than a few pages are ever alive at once."""
    alive = highest = 0

    class Counted(Document):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def counted(document):
        nonlocal alive, highest
        alive += 1
        highest = max(highest, alive)
        return Counted(*document)

    with (
        datastore.connect(f"sqlite:///{tmp_path}/a.db") as source,
        datastore.connect(f"sqlite:///{tmp_path}/b.db") as sink,
    ):
        for start in range(0, 20_000, 10_000):
            source.agent("ann", "a").set_many({f"key {start + number}": number for number in range(10_000)})
        for store in (source, sink):
            backend = backend_of(store)
            read, all_documents = backend.read, backend.all_documents

            def counting_read(ids, fields, read=read):
                return {id: counted(document) for id, document in read(ids, fields).items()}

            def counting_all(fields, limit, after=None, all_documents=all_documents):
                page = all_documents(fields, limit, after)
                return DocumentPage([counted(document) for document in page.documents], page.after)

            monkeypatch.setattr(backend, "read", counting_read)
            monkeypatch.setattr(backend, "all_documents", counting_all)
        began = time.monotonic()
        report = copy(source, sink)
        took = time.monotonic() - began
    assert report.written == report.verified == 20_000
    assert highest <= 4 * PAGE
    print(f"{20_000 / took:,.0f} records a second, at most {highest} in memory")


SMALL = Document("id", "created", "r", None, None)
ALIKE = [
    ({"a": 1, "b": [{"c": 2, "d": 3}]}, {"b": [{"d": 3, "c": 2}], "a": 1}),
    ({"a": 2**70, "b": 1}, {"b": 1, "a": 2**70}),
    ((1, 2), [1, 2]),
]
DIFFERENT = [(1, 1.0), (1, True), (0, False), (0.0, -0.0), ("1", 1), (None, "null"), ([2**64, 1], [2**64, 1.0])]


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=["order", "order, long integer", "tuple"])
def test_documents_with_the_same_content_have_the_same_digest(one, other):
    assert digest(documents_with(one)[0]) == digest(documents_with(other)[0])


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=str)
def test_documents_that_differ_have_different_digests(one, other):
    assert {digest(document) for document in documents_with(one)}.isdisjoint(map(digest, documents_with(other)))


def test_each_field_counts_in_a_digest():
    document = Document("id", "created", "revision", "expires", 1, {}, "creator", "updated", 5, "reader", "read", "w")
    changed = [document._replace(**{field: "other"}) for field in document._fields]
    assert len({digest(document), *map(digest, changed)}) == len(document._fields) + 1
    swapped = document._replace(id="created", created_at="id")
    assert digest(swapped) != digest(document)


@pytest.mark.parametrize("leaf", [1, 2**70], ids=["machine word", "long integer"])
def test_the_deepest_value_has_a_digest(leaf):
    value = leaf
    for _ in range(200):
        value = [value]
    document, _ = documents_with(value)
    assert digest(document) == digest(document._replace(value=json.loads(json.dumps(value)))) != digest(SMALL)


def documents_with(value):
    """Return a document with a value, and one with it in its metadata."""
    return SMALL._replace(value=value), SMALL._replace(metadata={"m": value})
