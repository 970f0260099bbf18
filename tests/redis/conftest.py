"""A store of its own for each test, and what passes between the client and the server."""

import pytest

import datastore
from tests.redis.wire import Wire
from tests.servers import redis


@pytest.fixture
def url():
    yield redis.borrow()
    redis.give_back()


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
def ask(backend):
    """Sends a command past the store."""
    return lambda *command: backend._session.ask(command)[0]


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)
