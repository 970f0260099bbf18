from __future__ import annotations

import pytest

import datastore
from datastore.conformance.topics.memory import WORDS
from tests.server.serving import served


@pytest.fixture
def store(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", embedder=WORDS) as store:
        yield store


@pytest.fixture
def server(store, tmp_path):
    with served(store, tmp_path) as server:
        yield server


@pytest.fixture
def token(store):
    return store.tokens.mint("ann", "tester", label="of the test")


@pytest.fixture
def client(server, token):
    client = server.client(token)
    yield client
    client.close()
