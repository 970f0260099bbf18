"""Moving in from databases that were there before: SQLite tables, CouchDB databases, Firestore collections."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from unittest.mock import patch

import httpx
import pytest
from google.cloud import firestore as client_library

import datastore
from datastore.connecting import connect_legacy
from datastore.moving import digest_of, import_legacy
from datastore.moving.pages import PAGE
from datastore.moving.rejects import RejectsFile
from datastore.moving.rules import Rules
from tests.moving.tables import COLUMNS, make_table
from tests.moving.test_legacy_format import legacy
from tests.servers import couchdb, firestore

MIXED = [
    legacy(key="plan", value={"a": [1, 1.0, True, None, 2**70]}),
    legacy(key="note", value="text"),
    legacy(user="a", namespace="b:c", value="of a"),
    legacy(user="ann", namespace="files:owner/repo", key="a/b.py", value=1),
]


def test_documents_become_records_with_their_provenance(table, sink):
    report = import_legacy(table(MIXED), sink)
    assert (report.read, report.written, report.verified) == (4, 4, 4)
    assert report.complete
    record = sink.agent("ann", "host").get_record("plan")
    assert record.value == {"a": [1, 1.0, True, None, 2**70]}
    assert (record.created_by_agent, record.access_count, record.metadata) == ("writer", 7, {"source": "web"})
    assert record.created_at.isoformat() == "2024-03-01T10:00:00+00:00"
    assert sink.agent("a", "host", "b:c").get("plan") == "of a"
    assert sink.agent("ann", "host").list_namespaces() == ["default", "files:owner/repo"]


def written_by_the_platform(*writes):
    """Return the documents that are left when the platform writes records: by id, and of an existing one the value."""
    stored = {}
    for document in writes:
        old = stored.get(document["_id"])
        if old is None:
            stored[document["_id"]] = document
        else:
            stored[document["_id"]] = old | {"value": document["value"], "updatedAt": document["updatedAt"]}
    return list(stored.values())


COLLIDED = written_by_the_platform(
    *(legacy(user="ann", namespace=f"files:repo {number}", value=number) for number in range(400)),
    legacy(user="a", namespace="b:c", value="of a"),
    legacy(user="a:b", namespace="c", value="of a:b", updatedAt="2024-04-01T00:00:00"),  # the same id
    legacy(user="a:b", value="another of a:b"),
    legacy(user="x", namespace="c"),
)


class TestCollisions:
    """Two records that had one id: the fields are the first user's, the value is the second one's."""

    def test_only_a_value_that_may_really_be_another_users_is_held_back(self, table, sink, tmp_path):
        report = import_legacy(table(COLLIDED), sink, rejects=tmp_path / "rejects.jsonl")
        assert (report.read, report.written, report.rejected) == (403, 402, 1)
        assert report.counts == {"collided": 1}
        assert not report.complete
        ((kind, where, text),) = report.problems
        assert (kind, where) == ("collided", "a:b:c:cGxhbg==")
        assert "user 'a' namespace 'b:c'" in text
        assert "user 'a:b' namespace 'c'" in text
        assert "which may be the other user's" in text
        assert "of a:b" not in text
        assert not sink.agent("a", "host", "b:c").exists("plan")
        assert not sink.agent("a:b", "host", "c").exists("plan")
        assert sink.agent("ann", "host", "files:repo 7").get("plan") == 7

    @pytest.mark.parametrize(("collided", "user", "namespace"), [("fields", "a", "b:c"), ("other", "a:b", "c")])
    def test_it_is_moved_to_whom_the_administrator_says(self, table, sink, tmp_path, collided, user, namespace):
        import_legacy(table(COLLIDED), sink, rejects=tmp_path / "rejects.jsonl")
        with closing(RejectsFile(tmp_path / "rejects.jsonl")) as rejects:
            report = import_legacy(rejects, sink)
            assert (report.rejected, report.written) == (1, 0)
            report = import_legacy(rejects, sink, rules=Rules(collided=collided))
        assert (report.rejected, report.written, report.complete) == (0, 1, True)
        record = sink.agent(user, "host", namespace).get_record("plan")
        assert (record.value, record.access_count) == ("of a:b", 7)

    def test_both_ways_of_writing_are_found_whoever_wrote_first(self, table, sink):
        first_of_other = written_by_the_platform(
            legacy(user="a:b", namespace="c"),
            legacy(user="a", namespace="b:c", value=2),
            legacy(user="a"),
            legacy(user="x", namespace="b:c"),
        )
        assert import_legacy(table(first_of_other), sink).counts == {"collided": 1}


def test_two_documents_of_one_name_leave_the_newer_and_are_reported(table, sink):
    old, new = (
        legacy(value="old"),
        legacy(value="new", _id="another", updatedAt="2024-05-01T00:00:00"),
    )
    for documents in ([old, new], [new, old]):
        sink.agent("ann", "host").clear()
        report = import_legacy(table(documents), sink)
        assert sink.agent("ann", "host").get("plan") == "new"
        assert report.counts == {"mismatched": 1, "doubled": 1}


def test_running_twice_writes_nothing_more_and_keeps_what_agents_have_changed(table, sink):
    source = table(MIXED)
    import_legacy(source, sink)
    sink.agent("ann", "agent").set("note", "changed since")
    report = import_legacy(source, sink)
    assert (report.written, report.unchanged, report.kept) == (0, 3, 1)
    assert sink.agent("ann", "agent").get("note") == "changed since"


def test_a_dry_run_says_what_would_come_and_writes_nothing(table, sink):
    source = table([*MIXED, legacy(key="bad", value=float("nan"))])
    dry = import_legacy(source, None)
    assert (dry.ready, dry.written, dry.counts) == (4, 0, {"failed": 1})
    wet = import_legacy(source, sink)
    assert (wet.written, wet.counts, wet.digest) == (4, dry.counts, dry.digest)


def test_what_cannot_be_moved_is_reported_and_stops_nothing(table, sink):
    report = import_legacy(table([legacy(key="bad", value=float("nan")), *MIXED]), sink)
    assert report.written == 4
    assert not report.complete
    assert report.problems[0][:2] == ("failed", legacy(key="bad")["_id"])
    assert "holds a number that is not finite" in report.problems[0].text


@pytest.mark.parametrize(
    ("filters", "keys"), [({"user_id": "a"}, 1), ({"namespace": "default"}, 2), ({"user_id": "nobody"}, 0)], ids=str
)
def test_filters_choose_users_and_namespaces(table, sink, filters, keys):
    report = import_legacy(table(MIXED), sink, **filters)
    assert (report.written, report.left_out) == (keys, 4 - keys)


def test_an_expired_document_stays_behind(table, sink):
    documents = [
        legacy(expiresAt="2020-01-01T00:00:00Z"),
        legacy(key="later", expiresAt="2999-01-01T00:00:00Z"),
    ]
    report = import_legacy(table(documents, columns=[*COLUMNS, "expiresAt"]), sink)
    assert (report.expired, report.written) == (1, 1)


class TestSqlite:
    """What only tables have."""

    def test_another_table_can_be_named(self, table, sink):
        assert import_legacy(table(MIXED, "?table=the%20store", table="the store"), sink).written == 4

    def test_a_table_without_rowid_is_read_as_well(self, table, sink):
        documents = [legacy(key=f"key {number}") for number in range(2 * PAGE + 1)]
        assert import_legacy(table(documents, without_rowid=True), sink).written == 2 * PAGE + 1

    def test_columns_may_be_missing(self, table, sink):
        assert import_legacy(table(MIXED, columns=["_id", "key", "value"]), sink).written == 2
        assert import_legacy(table(MIXED, columns=["userId", "namespace", "key", "value"]), sink).read == 4

    def test_text_that_is_no_json_is_text(self, tmp_path, sink):
        path = tmp_path / "old.db"
        make_table(path, [legacy()])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE agent_data_store SET value = 'just {text'")
        connection.close()
        source = connect_legacy(f"sqlite:///{path}")
        import_legacy(source, sink)
        source.close()
        assert sink.agent("ann", "host").get("plan") == "just {text"

    def test_the_old_file_is_left_as_it_was(self, tmp_path, sink):
        path = tmp_path / "old.db"
        make_table(path, MIXED)
        before = path.read_bytes()
        source = connect_legacy(f"sqlite:///{path}")
        import_legacy(source, sink)
        source.close()
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("sqlite:///none.db", "No such file"),
            ("sqlite:///{path}/text", "is not a SQLite database"),
            ("sqlite:///{path}/old.db?table=none", "has no table 'none'; name another one with"),
            ("sqlite:///{path}/old.db?table=other", "does not have the columns of the legacy format"),
            ("sqlite:///{path}/old.db?tabel=x", "did you mean 'table'"),
            ("sqlite://:memory:", "has no file"),
            ("memory://", "reads no databases of another format"),
            ("nosql://x", "no backend serves"),
        ],
    )
    def test_what_is_no_such_source_is_an_error(self, tmp_path, url, message):
        (tmp_path / "text").write_text("text, and enough of it")
        make_table(tmp_path / "old.db", MIXED)
        make_table(tmp_path / "old.db", [], table="other", columns=["a", "b"])
        with pytest.raises(datastore.DataStoreError, match=message):
            connect_legacy(url.format(path=tmp_path))


def test_it_goes_on_where_it_was_interrupted(table, sink, tmp_path):
    source = table([legacy(key=f"key {number}", value=number) for number in range(4 * PAGE)])

    def interrupt(done, total):
        assert total == 4 * PAGE
        if done == 2 * PAGE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_legacy(source, sink, checkpoint=tmp_path / "checkpoint", on_progress=interrupt)
    report = import_legacy(source, sink, checkpoint=tmp_path / "checkpoint")
    assert (report.resumed, report.read, report.written) == (2 * PAGE, 4 * PAGE, 4 * PAGE)
    assert report.digest == digest_of(sink)


@pytest.mark.server("couchdb")
def test_a_couchdb_database_is_read_and_nothing_is_made_in_it(sink):
    couchdb.start()
    name = f"old_{uuid.uuid4().hex}"
    base = f"http://127.0.0.1:{couchdb.server().port}/{name}"
    with httpx.Client(auth=(couchdb.USER, couchdb.PASSWORD), timeout=60) as client:
        client.put(base).raise_for_status()
        design = {"_id": "_design/old", "views": {"x": {"map": "function (doc) { emit(doc.key); }"}}}
        documents = [legacy(key=f"key {number}") for number in range(2 * PAGE)]
        client.post(f"{base}/_bulk_docs", json={"docs": [design, *documents, legacy(user="a", namespace="b:c")]})
        source = connect_legacy(couchdb.url(name))
        report = import_legacy(source, sink)
        source.close()
        rows = client.get(f"{base}/_all_docs").json()["rows"]
        client.delete(base)
    assert (report.written, report.counts) == (2 * PAGE + 1, {})
    assert sink.agent("a", "host", "b:c").get("plan") == 1
    assert [row["id"] for row in rows if row["id"].startswith("_")] == ["_design/old"]


@pytest.mark.server("couchdb")
def test_a_couchdb_database_that_is_not_there_is_an_error():
    couchdb.start()
    with pytest.raises(datastore.ConfigurationError, match="does not exist"):
        connect_legacy(couchdb.url(f"none_{uuid.uuid4().hex}"))


@pytest.mark.server("firestore")
def test_a_firestore_collection_is_read_with_its_native_values(sink, monkeypatch):
    project = f"old-{uuid.uuid4().hex}"
    address = f"127.0.0.1:{firestore.server().port}"
    with patch.dict(os.environ, {"FIRESTORE_EMULATOR_HOST": address}):
        client = client_library.Client(project=project)
        collection = client.collection("agent_data_store")
        batch = client.batch()
        for number in range(20):
            batch.set(
                collection.document(legacy(key=f"k{number}")["_id"]),
                legacy(key=f"k{number}", value={"n": [number]}),
            )
        native = {
            "createdAt": datetime(2024, 3, 1, 10, tzinfo=UTC),
            "value": {"when": datetime(2024, 3, 1, tzinfo=UTC)},
        }
        batch.set(collection.document("x"), legacy(**native) | {"place": client_library.GeoPoint(1, 2)})
        batch.set(collection.document("y"), legacy(key="bytes", value=b"bytes"))
        batch.commit()
    source = connect_legacy(f"firestore://{project}/agent_data_store?emulator={address}")
    monkeypatch.setattr("datastore.moving.legacy.PAGE", 7)
    report = import_legacy(source, sink)
    source.close()
    assert report.written == 21
    assert report.counts == {"mismatched": 1, "changed": 1, "failed": 1}
    assert sink.agent("ann", "host").get("plan") == {"when": "2024-03-01T00:00:00Z"}
    assert sink.agent("ann", "host").get("k7") == {"n": [7]}
