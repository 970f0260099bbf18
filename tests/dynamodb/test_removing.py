"""Clearing a namespace and forgetting a user: all of it goes, and is counted once."""

import os

import pytest

import datastore
from tests.dynamodb.answers import refusal
from tests.dynamodb.wire import after_each_answer, operation_of

pytestmark = pytest.mark.server("dynamodb")


@pytest.fixture
def small_items(monkeypatch):
    """Values of some kilobytes are split."""
    monkeypatch.setattr("datastore_dynamodb.codec.MAX_VALUE_SIZE", 2_000)
    monkeypatch.setattr("datastore_dynamodb.codec._ALWAYS_FITS", 2_000)


@pytest.fixture
def impatient(monkeypatch):
    """An answer that is lost ends the call of the adapter, which the store repeats."""
    monkeypatch.setattr("datastore_dynamodb.batches._TOGETHER", 0.0)


@pytest.mark.parametrize("operation", ["Query", "BatchWriteItem"])
@pytest.mark.parametrize("number", range(4))
def test_clearing_counts_what_was_removed_once_wherever_it_broke_off(
    agent, items, small_items, impatient, operation, number
):
    """Its last steps, which remove the parts of values, too."""
    agent.set_many({**{f"k{n:02}": n for n in range(40)}, "large": os.urandom(3_000).hex()})
    agent.set("expired", 1, ttl=1e-6)
    seen = []

    def change(_, request, answer):
        if operation_of(request) == operation:
            seen.append(answer)
            if len(seen) - 1 == number:
                return refusal("InternalServerError", 500)(request, None)
        return answer

    with after_each_answer(change):
        assert agent.clear() == 41
    assert items() == []


def test_forgetting_removes_what_no_listing_shows(store, agent, items, wire):
    """Expired records, remains of a write that was interrupted just now, markers; and nothing of others."""
    large = os.urandom(495_000).hex()
    agent.set("live", 1)
    agent.use_namespace("expired").set("k", large, ttl=0.001)
    wire.fail(refusal("AccessDeniedException"), operation="PutItem")
    with pytest.raises(datastore.PermissionDeniedError):
        agent.use_namespace("interrupted").set("k", large)
    neighbours = [store.agent(user, "a") for user in ("u1", "u:", "t")]
    for neighbour in neighbours:
        neighbour.set("k", large)
    assert store.forget("u") == (1, 1)
    assert {item["pk"]["S"] for item in items()} == {"u1", "u1:", "u%3A", "u%3A:", "t", "t:"}
    assert store.forget("u") == (0, 0)
    assert all(neighbour.get("k") == large for neighbour in neighbours)


@pytest.mark.parametrize("number", range(5))
def test_forgetting_counts_what_was_removed_once_wherever_it_broke_off(
    store, agent, items, small_items, impatient, number
):
    agent.set_many({**{f"k{n:02}": n for n in range(40)}, "large": os.urandom(3_000).hex()})
    agent.use_namespace("more").set("expired", 1, ttl=1e-6)
    seen = []

    def change(_, request, answer):
        seen.append(answer)
        return refusal("InternalServerError", 500)(request, None) if len(seen) - 1 == number else answer

    with after_each_answer(change):
        assert store.forget("u") == (41, 1)
    assert len(seen) > number
    assert items() == []
