"""Requests: what each call asks of PostgreSQL, counted where the client's connection waits for the server."""

import pytest

import datastore
from datastore.backend import Fields, IdRange
from datastore.conformance.documents import at
from tests.adapters.blobs import purge_beside
from tests.adapters.requests import CALLS, TAKEN, Requests

pytestmark = pytest.mark.server("postgresql")


TAKES = TAKEN | {"clear": 2}


@pytest.mark.parametrize("call", TAKES)
def test_a_call_takes_these_requests(filled, agent, wire, call):
    assert wire.of(lambda: CALLS[call](agent)) == TAKES[call]


class TestRequests(Requests):
    pass


def test_a_page_of_large_values_ends_early_and_goes_on(backend, agent, monkeypatch):
    monkeypatch.setattr("datastore_postgresql.reading.PAGE_BYTES", 10_000)
    wanted = {f"k{number:02}": "x" * 1_500 for number in range(30)} | {"large": "y" * 20_000}
    agent.set_many(wanted)
    page = backend.scan(IdRange("u:default:", "u:default;"), Fields.VALUE, 1_000)
    assert len(page.documents) == 7  # the last one reaches it
    assert page.after == page.documents[-1].id
    assert agent.get_all() == wanted


def test_a_batch_over_records_that_somebody_else_has_changed_takes_2_more(store, agent, url, wire):
    """It says what it has changed, and nothing of the others: that is asked for where it is needed."""
    keys = [f"k{number}" for number in range(5)]
    agent.set_many(dict.fromkeys(keys, 0), {"by": "us"})
    assert wire.of(lambda: agent.set_many(dict.fromkeys(keys, 1))) == 1
    with datastore.connect(url) as other:
        other.agent("u", "b").set("k1", "theirs", {"by": "them"})
        other.agent("u", "b").delete("k3")
        assert wire.of(lambda: agent.set_many(dict.fromkeys(keys, 2))) == 3
    assert agent.get_all() == dict.fromkeys(keys, 2)
    assert {key: record.metadata for key, record in agent.get_records(keys).items()} == {
        key: {"by": "them"} if key == "k1" else {} if key == "k3" else {"by": "us"} for key in keys
    }


def test_changes_and_counts_make_no_entry_in_an_index(store, agent, backend, sql):
    """A new version of a row finds room on its page: PostgreSQL calls that heap-only."""
    keys = [f"k{number:03}" for number in range(0, 300, 10)]
    agent.set_many({f"k{number:03}": "x" * 400 for number in range(300)})
    agent.set_many(dict.fromkeys(keys, "y" * 400))
    agent.set("k001", 1)
    agent.get_many(keys)
    store.flush()
    backend._session.ask("SELECT pg_stat_force_next_flush()")
    changed = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = current_schema()"
    assert sql(changed) == [(61, 61)]


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


def test_a_purge_of_all_users_takes_what_is_due(store, wire):
    """However many users have something: the reminders, the marks and the heads of the one, its part, its mark."""
    first, second = (wire.of(purge_beside(store, others)) for others in (1, 30))
    assert first == second
