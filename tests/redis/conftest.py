"""A store of its own for each test, and what passes between the client and the server."""

import pytest

from tests.adapters import stores
from tests.redis.wire import Wire
from tests.servers import redis

agent, backend, filled, store, stranger = stores.agent, stores.backend, stores.filled, stores.store, stores.stranger


@pytest.fixture
def url():
    yield redis.borrow()
    redis.give_back()


@pytest.fixture
def another_url(url):
    """The URL of another store, which is given back with it."""
    return redis.borrow()


@pytest.fixture
def ask(store):
    """Sends a command past the store."""
    return lambda *command: store.backend._session.ask(command)[0]


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)
