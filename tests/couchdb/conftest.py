"""An empty database behind the strict proxy for each test."""

import uuid
from contextlib import contextmanager

import pytest

import datastore
from tests.servers import couchdb


@pytest.fixture
def proxy():
    proxy = couchdb.proxy()
    yield proxy
    proxy.clear_faults()


@pytest.fixture
def name(request):
    """The name of a database: an empty one where a store is on it, which may have been another test's, else a new one.

    A module whose requests may still be at work when their test is over has new ones only (``OWN_DATABASES``).
    """
    if "store" not in request.fixturenames or getattr(request.module, "OWN_DATABASES", False):
        yield f"test_{uuid.uuid4().hex}"
        return
    name = couchdb.borrow_database()
    yield name
    couchdb.give_back_database(name)


@pytest.fixture
def url(name):
    return couchdb.url(name)


@pytest.fixture
def store(url, proxy):
    with datastore.connect(url, flush_interval=3_600, max_pending=1_000_000, retry_seconds=5) as store:
        proxy.requests.clear()
        yield store


@pytest.fixture
def agent(store):
    return store.agent("u", "a")


@pytest.fixture
def stranger(url):
    """An agent of another process, as far as what is remembered goes."""
    with datastore.connect(url, flush_interval=3_600) as store:
        yield store.agent("u", "stranger")


@pytest.fixture
def asked(proxy):
    """What the server is asked in the block: ``with asked() as requests``."""

    @contextmanager
    def counting():
        proxy.requests.clear()
        requests = []
        yield requests
        requests += proxy.requests

    return counting


@pytest.fixture
def backend(store):
    return store.backend
