"""The index of vectors: what a search with it asks for, and what happens where there is none."""

import random

import pytest

from datastore import PermissionDeniedError, UnsupportedError
from datastore_dynamodb import vectors
from tests.adapters import memories
from tests.dynamodb.answers import refusal


def asked(wire, call):
    wire.requests.clear()
    call()
    return [operation for operation, _ in wire.requests]


def test_requests(agent, wire):
    """A search with the index asks for the last change, the index, the vectors, and the records."""
    calls = memories.indexed_calls_of(agent)
    assert {name: asked(wire, call) for name, call in calls.items()} == {
        "declare": ["Query", "DescribeTable"],
        "add": ["UpdateItem", "PutItem", "PutItem"],
        "search": ["Query", "SearchVectors", "BatchGetItem", "BatchGetItem"],
    }
    for exactly in ({}, {"exact": False, "metric": "dot"}, {"exact": False, "n": 101}):
        assert "SearchVectors" not in asked(wire, lambda how=exactly: agent.memory.search([1.0, 0.0], **how))


def test_a_search_is_limited_to_the_namespace_before_the_nearest_are_chosen(agent, wire):
    """By the condition on the HASH attribute, which AWS demands; ministack takes a search without."""
    memories.indexed_calls_of(agent)
    wire.requests.clear()
    agent.memory.search([1.0, 0.0], exact=False)
    ((_, body),) = [one for one in wire.requests if one[0] == "SearchVectors"]
    assert body["SearchConditionExpression"] == "#space = :space"
    assert body["ExpressionAttributeNames"] == {"#space": "vectorSpace"}
    assert body["TopK"] <= 100
    other = agent.use_namespace("other").memory
    other.add("near", key="near", vector=[1.0, 0.0])
    other.ensure_index()
    assert [one.key for one in agent.memory.search([1.0, 0.0], 1, exact=False)] != ["near"]


def test_vectors_are_written_for_the_index_where_one_was_declared_alone(agent, items):
    """With every number as float32 has it; a record has no such attribute."""
    vector = [random.Random(1).gauss(0, 1) for _ in range(3)]
    agent.memory.add("a", key="a", vector=vector)
    assert not any("vector3" in item for item in items())
    agent.memory.ensure_index()
    agent.memory.add("b", key="b", vector=vector)
    found = [item["vector3"]["L"] for item in items() if "vector3" in item]
    assert len(found) == 2
    assert found[0] == found[1] == vectors._numbers(memories.float32(vector))
    assert memories.float32([float(one["N"]) for one in found[0]]) == memories.float32(vector)
    agent.memory.delete("b")
    assert sum("vector3" in item for item in items()) == 1


def test_an_older_client_searches_exactly_and_says_so(agent, store, monkeypatch):
    """botocore knows vector indexes since 1.44.8."""
    memories.indexed_calls_of(agent)
    monkeypatch.setattr(vectors, "_is_known", lambda _: False)
    how = agent.memory.explain([1.0, 0.0], exact=False)
    assert how["exact"]
    assert "no such index" in how["why_exact"]
    with pytest.raises(UnsupportedError, match=r"botocore .* does not know vector indexes; 1.44.8"):
        agent.memory.ensure_index()
    assert any("botocore" in one.text for one in store.backend.examine(0.0))


def test_a_dropped_index_is_not_missed_in_silence(agent, client, table, store):
    """The search is exact, `explain` says so, and the doctor that there is none; declaring it makes it again."""
    memories.indexed_calls_of(agent)
    assert any("vectors-2 (active)" in one.text for one in store.backend.examine(0.0))
    client.update_table(TableName=table, VectorIndexUpdates=[{"Delete": {"IndexName": "vectors-2"}}])
    assert not any("vectors-2" in one.text for one in store.backend.examine(0.0))
    assert agent.memory.explain([1.0, 0.0], exact=False)["exact"]
    assert [one.key for one in agent.memory.search([1.0, 0.0], exact=False)] == [f"k{n}" for n in range(10)]
    assert agent.memory.ensure_index() == "vectors-2"
    assert not agent.memory.explain([1.0, 0.0], exact=False)["exact"]


def test_an_index_that_cannot_be_is_refused(agent, store, wire):
    """Too many dimensions, a table that is not paid per request, credentials that may not."""
    agent.use_namespace("large").memory.add("a", vector=[1.0] * 4_097)
    with pytest.raises(UnsupportedError, match=r"4,096 dimensions at most, not 4,097"):
        agent.use_namespace("large").memory.ensure_index()
    agent.memory.add("a", vector=[1.0] * 5)
    wire.fail(refusal("AccessDeniedException"), operation="UpdateTable")
    with pytest.raises(PermissionDeniedError, match="allow the actions"):
        agent.memory.ensure_index()
