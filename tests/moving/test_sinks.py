"""Moving in twice, on every backend as the sink: counts, updates and deletions come out right on each."""

from __future__ import annotations

import uuid

import pytest

import datastore
from datastore.moving import digest_of, import_legacy
from tests.moving.test_legacy_format import legacy
from tests.servers import couchdb, dynamodb, firestore, postgresql, redis


def _couchdb():
    couchdb.start()
    return couchdb.url(f"test_{uuid.uuid4().hex}")


TARGETS = {
    "memory": lambda: "memory://",
    "sqlite": lambda: "sqlite://:memory:",
    "couchdb": _couchdb,
    "dynamodb": lambda: dynamodb.MINISTACK.url(),
    "firestore": lambda: f"firestore://test-{uuid.uuid4().hex}/agents?emulator=127.0.0.1:{firestore.server().port}",
    "postgresql": postgresql.borrow,
    "redis": redis.borrow,
}
SERVERS = ("couchdb", "dynamodb", "firestore", "postgresql", "redis")


@pytest.fixture(
    name="sink",
    params=[pytest.param(name, marks=pytest.mark.server(name) if name in SERVERS else ()) for name in TARGETS],
)
def open_target(request):
    with datastore.connect(TARGETS[request.param]()) as store:
        yield store


def test_a_second_run_updates_and_prunes_and_takes_no_count_back(table, sink):
    keys = [f"key {number}" for number in range(8)]
    report = import_legacy(table([legacy(key=key, value=key) for key in keys]), sink)
    assert (report.written, report.verified) == (8, 8)
    assert report.digest == digest_of(sink)
    agent = sink.agent("ann", "reader")
    agent.get_many(["key 0", "key 1"])
    agent.set("key 2", "changed here")
    agent.set("new here", 1)
    sink.flush()
    again = [
        legacy(key="key 0", value="key 0"),
        legacy(key="key 1", value="changed there", updatedAt="2024-05-01T00:00:00Z", accessCount=20),
        legacy(key="key 2", value="key 2"),
        legacy(key="key 3", value="key 3", accessCount=9, lastAccessedAt="2024-05-01T00:00:00Z"),
        legacy(key="new there"),
    ]
    source = table(again)
    report = import_legacy(source, sink)
    assert (report.written, report.unchanged, report.kept, report.counts) == (3, 1, 1, {"doubled": 1, "gone": 4})
    assert report.verified == 4
    records = {key: agent.get_record(key) for key in ("key 0", "key 1", "key 2", "key 3", "new here", "new there")}
    assert {key: (record.value, record.access_count) for key, record in records.items()} == {
        "key 0": ("key 0", 8),
        "key 1": ("changed there", 20),
        "key 2": ("changed here", 7),
        "key 3": ("key 3", 9),
        "new here": (1, 0),
        "new there": (1, 7),
    }
    assert records["key 1"].last_accessed_by_agent == "reader"
    report = import_legacy(source, sink, prune=True)
    assert (report.written, report.pruned, report.counts) == (0, 4, {"doubled": 1})
    assert agent.list_keys() == sorted(records)


def test_filters_bound_what_is_pruned(table, sink):
    both = [legacy(user=user, namespace=namespace) for user in ("ann", "bob") for namespace in ("one", "two")]
    import_legacy(table(both), sink)
    rest = table([legacy(user="zoe")])
    assert import_legacy(rest, sink, user_id="ann", namespace="one", prune=True).pruned == 1
    assert import_legacy(rest, sink, user_id="ann", prune=True).pruned == 1
    assert import_legacy(rest, sink, namespace="two", prune=True).pruned == 1
    assert sink.agent("bob", "host", "one").exists("plan")
