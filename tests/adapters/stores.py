"""Fixtures of an adapter's tests, over its `url`: a store of its own for each test, and what is used of it."""

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
