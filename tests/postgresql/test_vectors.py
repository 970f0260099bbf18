"""The index of vectors, by pgvector: its requests, what it finds, and what is done where it is not there."""

import random

import pytest

import datastore
from datastore import Item, PermissionDeniedError, UnsupportedError
from datastore.backend import IdRange
from datastore.conformance.documents import apply, id_of, put
from datastore.conformance.faults import backend_of
from datastore.scope import scope_of
from tests.adapters import memories

pytestmark = pytest.mark.server("postgresql")


def test_requests(agent, wire):
    """A search asks for the last change, the nearest, the vectors, and the records."""
    calls = memories.indexed_calls_of(agent)
    assert {name: wire.of(call) for name, call in calls.items()} == {"declare": 3, "add": 3, "search": 5}
    assert wire.of(calls["search"]) == 5, "of 20 vectors it has looked at all: no index has found too few"
    agent.memory.add_many([Item(f"l{number}", 1) for number in range(50)], vectors=[[1.0, n / 9] for n in range(50)])
    assert wire.of(calls["search"]) == 4


@pytest.mark.parametrize("planner", ["enable_sort", "enable_indexscan"])
def test_whichever_way_the_planner_takes_the_nearest_of_the_namespace_are_found(url, agent, sql, planner):
    chance = random.Random(7)
    for one, number in ((agent, 60), (agent.use_namespace("other"), 900)):
        vectors = [[chance.gauss(0, 1) for _ in range(8)] for _ in range(number)]
        one.memory.add_many([Item(f"k{place}", place) for place in range(number)], vectors=vectors)
    agent.memory.ensure_index()
    agent.use_namespace("other").memory.ensure_index()
    sql(f"ALTER ROLE agents SET {planner} = off")
    try:
        with datastore.connect(url) as store:
            memory = store.agent("u", "a").memory
            missed = 0
            for _ in range(5):
                query = [chance.gauss(0, 1) for _ in range(8)]
                exact = {one.key: one.score for one in memory.search(query, 60)}
                found = {one.key: one.score for one in memory.search(query, 20, exact=False)}
                assert len(found) == 20
                assert found.items() <= exact.items()
                missed += len(set(list(exact)[:20]) - set(found))
            assert missed < 10
            assert not memory.explain(query, 20, exact=False)["exact"]
            assert memory.explain(query, metric="dot", exact=False)["why_exact"]
    finally:
        sql(f"ALTER ROLE agents RESET {planner}")


def test_another_process_writes_vectors_for_an_index_that_it_has_not_seen_being_made(store, agent, stranger, sql):
    agent.memory.add("a", key="a", vector=[1.0, 0.0, 0.5])
    assert stranger.get("a") is not None
    name = agent.memory.ensure_index()
    assert name == "agent_data_store_vectors_3"
    assert any(finding.text.endswith(name) for finding in store.backend.examine(0.0))
    stranger.memory.add("b", key="b", vector=[0.1, -2.5e-7, 3.0])
    assert sql('SELECT "vector"::text FROM agent_data_store WHERE "vector" IS NOT NULL ORDER BY 1') == [
        ("[0.1,-2.5e-07,3]",),
        ("[1,0,0.5]",),
    ]
    assert [one.key for one in agent.memory.search([0.0, 0.0, 1.0], 1, exact=False)] == ["b"]


def test_a_vector_that_is_not_that_of_the_value_any_more_finds_nothing(store, agent, stranger):
    """However the value was replaced, and whether or not the process has written a vector."""
    agent.memory.add("a", vector=[1.0, 0.0])
    agent.memory.ensure_index()
    vector, keys = memories.float32([1.0, 0.0]), [f"k{number}" for number in range(5)]
    backend, other = backend_of(store), scope_of(stranger).core.backend

    def write(backend, *some, vector=None):
        apply(backend, [put(key, 1, vector=vector) for key in some])

    def found():
        return sorted(backend.nearest(IdRange("user:ns:", "user:ns;"), vector, 10, "cosine"))

    write(backend, *keys, vector=vector)
    assert found() == [id_of(key) for key in keys]
    write(backend, "k0")
    write(backend, "k1", "k2")
    write(other, "k3")
    assert found() == [id_of("k4")]
    write(other, "k3", vector=vector)
    assert found() == [id_of("k3"), id_of("k4")]


def test_too_many_dimensions_and_a_role_that_may_not_are_refused(url, agent, sql):
    agent.memory.add("a", vector=[1.0] * 2_001)
    with pytest.raises(UnsupportedError, match="2,000 dimensions at most, not 2,001"):
        agent.memory.ensure_index()
    assert len(agent.memory.search([1.0] * 2_001, exact=False)) == 1
    sql("DROP EXTENSION IF EXISTS vector CASCADE")
    sql(f'CREATE ROLE writer LOGIN; GRANT USAGE ON SCHEMA "{url.rpartition("/")[2]}" TO writer')
    sql("GRANT SELECT, INSERT, UPDATE, DELETE ON agent_data_store TO writer")
    try:
        with datastore.connect(url.replace("agents@", "writer@")) as store:
            memory = store.agent("u", "b").use_namespace("small").memory
            memory.add("a", vector=[1.0])
            with pytest.raises(PermissionDeniedError):
                memory.ensure_index()
            assert len(memory.search([1.0], exact=False)) == 1
    finally:
        sql("DROP OWNED BY writer; DROP ROLE writer")
