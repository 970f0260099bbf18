"""A store of its own for each test, and what passes between the client and the server."""

import psycopg
import pytest

import datastore
from tests.postgresql.wire import Wire
from tests.servers import postgresql


@pytest.fixture
def url():
    yield postgresql.borrow()
    postgresql.give_back()


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
def sql(url):
    """Carries out a statement past the store, in its schema."""
    with psycopg.connect(postgresql.address(), autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{url.rpartition("/")[2]}"')

        def ask(statement, *parameters):
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

        yield ask


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)


def unfinished(sql, index):
    """Make an index one that was not finished, as it is left behind where building it fails."""
    sql("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = %s::regclass", f'"{index}"')
