"""Moving in what the platform wrote into real servers: the report is right, and everything else is equal."""

from __future__ import annotations

from contextlib import closing

import pytest

import datastore
from datastore.conformance.samples import same
from datastore.connecting import connect_legacy
from datastore.errors import ConfigurationError
from datastore.ids import decode_id
from datastore.moving import import_legacy
from datastore.moving.pages import pages
from datastore.moving.rejects import RejectsFile
from datastore.moving.rules import Rules
from tests.moving.platform import PLATFORMS, platform

EACH_SERVER = pytest.mark.parametrize(
    "server", [pytest.param(name, marks=pytest.mark.server(name)) for name in PLATFORMS]
)
SLASHES = ["files:owner/repo/main", "a/b/c/d/e", "deep:a/b/c"]
"""Namespaces whose ids are paths of Firestore's: documents in collections inside documents."""
NUMBERS = {"exact": 12345678901234567890123456789012345678, "small": 0.1, "whole": 3, "big": 1e100, "tiny": 1e-120}
FIELDS = ("value", "metadata", "created_by_agent", "last_accessed_by_agent", "access_count")


@pytest.fixture(name="old")
def fill(request, server):
    """The platform with records of every kind that there is trouble with, and 60 others."""
    with platform(server) as old:
        old.server = server
        old.records = [
            *(
                old.set("ann", f"files:repo {number % 7}", f"key {number}", {"n": [number, "x"]})
                for number in range(40)
            ),
            *(old.set(f"user:{number}", "default", "plan", f"of {number}") for number in range(20)),
            *(old.set("bob", namespace, f"key of {namespace}", namespace) for namespace in SLASHES),
            old.set("bob", "default", "??????abc", "a key whose base64 has slashes"),
        ]
        numbers = NUMBERS if server == "dynamodb" else NUMBERS | {"exact": 2**53}
        old.records.append(old.set("ann", "default", "numbers", numbers))
        old.nulls = old.set("ann", "default", "nulls", 1, {"gone": None, "there": 1})
        old.set("a", "b:c", "plan", "of a")
        old.collided = old.set("a:b", "c", "plan", "of a:b", at="2024-04-01T10:00:00Z")
        old.records += [old.set("a:b", "default", "own", 1), old.set("x", "c", "own", 2)]
        old.all = [*old.records, old.nulls, old.collided]
        yield old


def moved(old, sink, **options):
    with closing(connect_legacy(old.url)) as source:
        return import_legacy(source, sink, **options)


def record_of(sink, document):
    return sink.agent(document["userId"], "host", document["namespace"]).get_record(document["key"])


def assert_equal_in_every_field(sink, document, **expected):
    record = record_of(sink, document)
    assert record is not None, document["_id"]
    found = {name: getattr(record, name) for name in FIELDS}
    wanted = {
        "value": document["value"],
        "metadata": document["metadata"],
        "created_by_agent": document["createdByAgent"],
        "last_accessed_by_agent": document["lastAccessedByAgent"],
        "access_count": document["accessCount"],
    } | expected
    assert same(found, wanted), (found, wanted)
    times = (record.created_at, record.updated_at, record.last_accessed_at)
    assert [f"{time:%Y-%m-%dT%H:%M:%S}" for time in times] == [
        document[name][:19] for name in ("createdAt", "updatedAt", "lastAccessedAt")
    ]


@EACH_SERVER
def test_every_record_arrives_equal_and_the_report_names_the_others(old, sink, tmp_path, monkeypatch):
    monkeypatch.setattr("datastore.moving.legacy.PAGE", 13)
    report = moved(old, sink, rejects=tmp_path / "rejects.jsonl")
    assert (report.read, report.written, report.verified, report.rejected) == (
        len(old.all),
        len(old.all) - 1,
        len(old.all) - 1,
        1,
    )
    for document in old.records:
        assert_equal_in_every_field(sink, document)
    assert_equal_in_every_field(sink, old.nulls, metadata={"there": 1})
    floats = {"changed": 2} if old.server == "dynamodb" else {"changed": 1}  # of 1e100 the type is a guess there
    assert report.counts == {**floats, "collided": 1}
    texts = {problem.kind: problem for problem in report.problems}
    assert texts["collided"].where == old.collided["_id"]
    assert "user 'a' namespace 'b:c'" in texts["collided"].text
    assert "user 'a:b' namespace 'c'" in texts["collided"].text
    assert any("metadata is null at 'gone'" in problem.text for problem in report.problems)
    assert record_of(sink, old.collided) is None
    assert not sink.agent("a:b", "host", "c").exists("plan")
    with closing(RejectsFile(tmp_path / "rejects.jsonl")) as rejects:
        assert import_legacy(rejects, sink, rules=Rules(collided="other")).complete
    assert sink.agent("a:b", "host", "c").get("plan") == "of a:b"


@EACH_SERVER
def test_a_second_run_brings_what_has_changed_and_takes_no_count_back(old, sink, tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    moved(old, sink, rejects=rejects)
    read, both, changed_here, removed, other_removed, removed_but_changed = old.records[:6]
    for document in (read, both):
        agent = sink.agent(document["userId"], "reader", document["namespace"])
        for _ in range(3):
            agent.get(document["key"])
    for document in (changed_here, removed_but_changed):
        sink.agent(document["userId"], "writer", document["namespace"]).set(document["key"], "changed here")
    sink.agent("ann", "writer", removed["namespace"]).set("new here", 1)
    sink.flush()
    new = old.set("bob", "default", "new", "new")
    changed = old.set("ann", both["namespace"], both["key"], "changed there", at="2024-05-01T10:00:00Z")
    for document in (removed, other_removed, removed_but_changed):
        old.remove(document["_id"])

    report = moved(old, sink, rejects=rejects)
    assert (report.written, report.replaced, report.kept, report.pruned) == (2, 1, 1, 0)
    assert record_of(sink, read).access_count == 7 + 3
    after = record_of(sink, changed)
    assert (after.value, after.access_count, after.last_accessed_by_agent) == ("changed there", 7 + 3, "reader")
    assert record_of(sink, new).value == "new"
    assert record_of(sink, changed_here).value == "changed here"
    gone = {problem.where for problem in report.problems if problem.kind == "gone"}
    assert {tuple(decode_id(id)) for id in gone} == {
        (document["userId"], document["namespace"], document["key"]) for document in (removed, other_removed)
    }
    assert report.counts.get("doubled") == 1  # of the record that is newer here; an update from there is none

    report = moved(old, sink, rejects=rejects, prune=True)
    assert (report.written, report.pruned) == (0, 2)
    assert "gone" not in report.counts
    assert record_of(sink, removed) is None
    assert record_of(sink, removed_but_changed).value == "changed here"
    assert sink.agent("ann", "host", removed["namespace"]).get("new here") == 1
    report = moved(old, sink, rejects=rejects, prune=True)
    assert (report.written, report.pruned, report.counts.get("gone")) == (0, 0, None)


@EACH_SERVER
def test_the_platforms_database_is_refused_by_connect_and_left_as_it_is(old):
    with pytest.raises(ConfigurationError, match="import-legacy"):
        datastore.connect(old.url)
    assert all(old.find(document["_id"]) is not None for document in old.all)


@EACH_SERVER
def test_what_was_moved_by_a_rule_is_not_pruned(old, sink, tmp_path):
    moved(old, sink, rejects=tmp_path / "rejects.jsonl")
    with closing(RejectsFile(tmp_path / "rejects.jsonl")) as rejects:
        import_legacy(rejects, sink, rules=Rules(collided="other"))
        with pytest.raises(ConfigurationError, match="pruning needs a whole database"):
            import_legacy(rejects, sink, prune=True)
    assert moved(old, sink, rejects=tmp_path / "rejects.jsonl", prune=True).pruned == 0
    assert sink.agent("a:b", "host", "c").get("plan") == "of a:b"


@EACH_SERVER
def test_a_source_that_turns_out_to_be_empty_prunes_nothing(old, sink):
    moved(old, sink)
    before = sum(len(page.documents) for page in pages(sink))
    for document in old.all:
        old.remove(document["_id"])
    with pytest.raises(ConfigurationError, match="the source is empty"):
        moved(old, sink, prune=True)
    assert sum(len(page.documents) for page in pages(sink)) == before
