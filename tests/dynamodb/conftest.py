"""A fresh table on ministack for each test, and what passes between the client and the server."""

import json

import pytest

import datastore
from tests.servers import dynamodb


@pytest.fixture(scope="session", autouse=True)
def _servers():
    yield
    dynamodb.stop()


@pytest.fixture
def url():
    return dynamodb.url("ministack")


@pytest.fixture
def store(url):
    with datastore.connect(url, flush_interval=3_600, max_pending=1_000_000) as store:
        yield store


@pytest.fixture
def agent(store):
    return store.agent("u", "a")


@pytest.fixture
def stranger(url, store):
    """An agent of another process, as far as what is remembered goes."""
    with datastore.connect(url, flush_interval=3_600) as other:
        yield other.agent("u", "stranger")


@pytest.fixture
def client(store):
    """The client of the store."""
    return store._core.backend._connection.client


@pytest.fixture
def table(store):
    return store._core.backend._connection.settings.table


@pytest.fixture
def items(client, table):
    """Reads all items of the table."""

    def items():
        return [item for page in client.get_paginator("scan").paginate(TableName=table) for item in page["Items"]]

    return items


class Wire:
    """Notes what is sent, by the name of the operation, and sends faults back in place of answers."""

    def __init__(self, client):
        self.requests = []
        self._faults = []
        client.meta.events.register("before-send.dynamodb", self._before_send)

    @property
    def operations(self):
        return [operation for operation, _ in self.requests]

    def fail(self, *faults, operation=None, forever=False):
        """Answer the next requests (of one operation) with faults: exceptions, or functions that make an answer."""
        self._faults += [[operation, fault, forever] for fault in faults]

    def heal(self):
        self._faults.clear()

    def _before_send(self, request, **_):
        operation = request.headers["X-Amz-Target"]
        operation = (operation.decode() if isinstance(operation, bytes) else operation).rpartition(".")[2]
        body = json.loads(request.body)
        self.requests.append((operation, body))
        for entry in self._faults:
            if entry[0] in (None, operation):
                if not entry[2]:
                    self._faults.remove(entry)
                if isinstance(entry[1], Exception):
                    raise entry[1]
                return entry[1](request, body)
        return None


@pytest.fixture
def wire(client):
    return Wire(client)
