"""Requests: what each call asks of PostgreSQL, counted where the client's connection waits for the server."""

import pytest

import datastore
from datastore.backend import Fields, IdRange
from datastore.conformance.documents import at
from tests.adapters import durable
from tests.adapters.blobs import calls_of, purge_beside

pytestmark = pytest.mark.server("postgresql")


@pytest.fixture
def filled(stranger):
    """Records that the store under test has not seen."""
    stranger.set_many({f"k{number:04}": number for number in range(1_200)})
    for name in ("n1", "n2", "n3"):
        stranger.use_namespace(name).set("k", 1)


def test_connecting_to_a_store_that_is_there_takes_1(url, store, wire):
    assert wire.of(lambda: datastore.connect(url).close()) == 1


SINGLES = {
    "get": (1, lambda agent: agent.get("k0001")),
    "get that misses": (1, lambda agent: agent.get("nothing")),
    "get_record": (1, lambda agent: agent.get_record("k0001")),
    "exists": (1, lambda agent: agent.exists("k0001")),
    "set, new": (1, lambda agent: agent.set("new", 1, {"m": 1}, ttl=60)),
    "set, not known here": (2, lambda agent: agent.set("k0001", 1)),
    "set, not known here, with metadata": (2, lambda agent: agent.set("k0001", 1, {"m": 1})),
    "add": (1, lambda agent: agent.add("new", 1)),
    "delete": (2, lambda agent: agent.delete("k0001")),
    "delete that misses": (1, lambda agent: agent.delete("nothing")),
    "touch": (2, lambda agent: agent.touch("k0001", ttl=60)),
    "pop": (2, lambda agent: agent.pop("k0001")),
    "increment": (2, lambda agent: agent.increment("k0001")),
    "get_many": (2, lambda agent: agent.get_many([f"k{number:04}" for number in range(1_200)])),
    "set_many, new": (2, lambda agent: agent.set_many({f"n{number}": 1 for number in range(1_200)})),
    "list_keys": (1, lambda agent: agent.list_keys()),
    "list_keys, backward": (1, lambda agent: agent.list_keys(reverse=True, limit=5)),
    "list_namespaces": (1, lambda agent: agent.list_namespaces()),
    "namespace_stats": (1, lambda agent: agent.namespace_stats()),
    "namespace_stats of a range": (1, lambda agent: agent.namespace_stats(start="n1", end="n3")),
    "count": (1, lambda agent: agent.count()),
    "count of a prefix": (1, lambda agent: agent.count(prefix="k00")),
    "find": (1, lambda agent: agent.find({"a": {"$gt": 5}}, meta={"createdByAgent": "stranger"})),
    "count of what matches": (1, lambda agent: agent.count({"a.b": 5})),
    "first": (1, lambda agent: agent.first()),
    "last": (1, lambda agent: agent.last()),
    "scan of 50": (1, lambda agent: agent.scan(limit=50)),
    "get_all": (1, lambda agent: agent.get_all()),
    "an empty range": (0, lambda agent: agent.list_keys(start="b", end="a")),
    "clear": (2, lambda agent: agent.clear()),
}


@pytest.mark.parametrize("call", SINGLES)
def test_a_call_takes_these_requests(filled, agent, wire, call):
    number, do = SINGLES[call]
    assert wire.of(lambda: do(agent)) == number


def test_a_known_record_is_set_and_deleted_in_1_and_its_value_is_not_sent_again(agent, wire):
    agent.set("k", 1, {"m": 1})
    assert wire.of(lambda: agent.set("k", 2, {"n": 1}, ttl=60)) == 1
    assert wire.of(lambda: agent.touch("k", ttl=90)) == 1
    assert agent.get_record("k").metadata == {"m": 1, "n": 1}
    assert wire.of(lambda: agent.delete("k")) == 1


def test_any_number_of_reads_is_counted_in_1_per_thousand_and_costs_a_known_write_nothing(store, agent, wire):
    agent.set_many({f"k{number}": 1 for number in range(1_000)})
    for _ in range(3):
        agent.get_all()
    assert wire.of(store.flush) == 1
    assert agent.get_record("k7").access_count == 3
    assert wire.of(lambda: agent.set("k7", 2)) == 1


def test_a_page_of_large_values_ends_early_and_goes_on(backend, agent, monkeypatch):
    monkeypatch.setattr("datastore_postgresql.reading.PAGE_BYTES", 10_000)
    wanted = {f"k{number:02}": "x" * 1_500 for number in range(30)} | {"large": "y" * 20_000}
    agent.set_many(wanted)
    page = backend.scan(IdRange("u:default:", "u:default;"), Fields.VALUE, 1_000)
    assert len(page.documents) == 7  # the last one reaches it
    assert page.after == page.documents[-1].id
    assert agent.get_all() == wanted


def test_namespaces_and_keys_are_read_from_the_index_alone(filled, agent, wire, sql):
    sql("VACUUM ANALYZE agent_data_store")
    wire.requests.clear()
    agent.count(prefix="k00")
    (statement,) = wire.requests
    for name, value in (("start", "'u:default:P'"), ("end", "'u:default:Q'"), ("at", "'2026'")):
        statement = statement.replace(f"%({name})s", value)
    plan = "\n".join(
        line for (line,) in sql(f"SET enable_seqscan = off; EXPLAIN {statement}") or sql(f"EXPLAIN {statement}")
    )
    assert "Index Only Scan" in plan


def test_forgetting_and_purging_take_2_per_ten_thousand(store, agent, backend, wire):
    agent.set_many({f"k{number:04}": number for number in range(1_500)})
    agent.set_many({f"e{number:04}": 1 for number in range(1_200)}, ttl=1e-6)
    late = "9999-12-31T00:00:00.000000Z"
    assert wire.of(lambda: backend.purge(late, IdRange("u:", "u;"))) == 2
    assert wire.of(lambda: backend.forget(IdRange("u:", "u;"), at(1))) == 2
    assert agent.count() == 0


def test_a_blob_of_9_parts_is_put_in_6_and_a_read_takes_2(agent, wire):
    expected = [6, 5, 1, 2, 2, 1, 3]
    assert [wire.of(call) for call in calls_of(agent.blobs).values()] == expected


def test_a_restore_of_a_new_record_takes_1(backend, wire):
    from datastore.conformance.topics.moving import document, restoring

    assert wire.of(lambda: backend.restore([restoring(document(f"k{number}")) for number in range(100)])) == 1


def test_a_purge_of_all_users_takes_what_is_due(store, wire):
    """However many users have something: the reminders, the marks and the heads of the one, its part, its mark."""
    first, second = (wire.of(purge_beside(store, others)) for others in (1, 30))
    assert first == second


def test_a_log_with_nothing_new_is_read_in_1(agent, stranger, wire):
    stranger.log("log").append(1, 2, 3)
    assert wire.of(lambda: agent.log("log").read(after=3)) == 1
    assert wire.of(lambda: agent.log("log").read(after=3)) == 1


def test_leases_runs_and_logs_take_what_their_docstrings_say(agent, stranger, wire):
    assert durable.beyond(agent, stranger, wire.of) == {}
