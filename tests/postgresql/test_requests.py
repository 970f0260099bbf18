"""Requests: what each call asks of PostgreSQL, counted where the client's connection waits for the server."""

import pytest

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
