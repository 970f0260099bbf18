"""An empty table on ministack for each test, and what passes between the client and the server."""

import pytest

import datastore
from tests.adapters import stores
from tests.dynamodb.wire import Wire
from tests.servers import dynamodb

agent, backend, store, stranger = stores.agent, stores.backend, stores.store, stores.stranger


@pytest.fixture
def url():
    url = dynamodb.MINISTACK.borrow()
    yield url
    dynamodb.MINISTACK.give_back(url)


@pytest.fixture
def client(store):
    """The client of the store."""
    return store.backend._connection.client


@pytest.fixture
def table(store):
    return store.backend._connection.settings.table


@pytest.fixture
def items(client, table):
    """Reads all items of the table but the one that says which format it has."""

    def items():
        pages = client.get_paginator("scan").paginate(TableName=table)
        return [item for page in pages for item in page["Items"] if item["pk"] != {"S": "_format"}]

    return items


@pytest.fixture
def wire(client):
    return Wire(client)


@pytest.fixture
def hasty(url):
    """A store that does not wait for better times, with what is sent through it."""
    with datastore.connect(url, flush_interval=3_600, retry_seconds=0) as store:
        agent = store.agent("u", "a")
        agent.set_many({"k1": 1, "k2": 2})
        yield agent, Wire(store.backend._connection.client)
