"""Fixtures of an adapter's tests, over its `url`: a store of its own for each test, and what is used of it."""

import time

import pytest

import datastore


@pytest.fixture
def store(url):
    with datastore.connect(url, flush_interval=3_600, max_pending=1_000_000) as store:
        yield store


@pytest.fixture
def agent(store):
    return store.agent("u", "a")


@pytest.fixture
def backend(store):
    return store.backend


@pytest.fixture
def stranger(url):
    """An agent of another process, as far as what is remembered goes."""
    with datastore.connect(url, flush_interval=3_600) as other:
        yield other.agent("u", "stranger")


@pytest.fixture
def filled(stranger):
    """Records that the store under test has not seen."""
    stranger.set_many({f"k{number:04}": number for number in range(1_200)})
    for name in ("n1", "n2", "n3"):
        stranger.use_namespace(name).set("k", 1)


def everything(store, agent):
    """Make calls of every kind, and look at what they come to; return what the doctor finds fault with."""
    assert agent.set_many({f"k{number}": {"n": number, "b": 2**70} for number in range(50)}, {"m": 1}) == 50
    assert agent.set_many({f"k{number}": {"n": number} for number in range(0, 100, 2)}) == 50
    if store.capabilities.supports("ensure_index"):
        assert store.ensure_index(["n"]) == store.ensure_index(["n"])
    assert agent.find({"n": {"$gte": 97}}) == {"k98": {"n": 98}}
    assert agent.count({"n": {"$lt": 10}}, meta={"metadata.m": 1}) == 10
    assert agent.list_keys(limit=2, reverse=True) == ["k98", "k96"]
    assert agent.delete_many(["k1", "k2", "none"]) == 2
    agent.set("gone", 1, ttl=0.001)
    agent.blobs.put("blob", b"\0" * 300_000)
    assert bytes(agent.blobs.get("blob")) == b"\0" * 300_000
    with agent.lease("work", ttl=60) as lease:
        lease.data_store.set("fenced", 1)
    store.flush()
    assert agent.get_record("k98").access_count == 1
    assert agent.use_namespace("other").list_namespaces() == ["default"]
    assert agent.clear() > 70
    return [finding.text for finding in store.backend.examine(time.time()) if not finding.healthy]
