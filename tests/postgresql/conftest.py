"""A store of its own for each test, and what passes between the client and the server."""

import psycopg
import pytest

from tests.adapters import stores
from tests.postgresql.wire import Wire
from tests.servers import postgresql

agent, backend, filled, store, stranger = stores.agent, stores.backend, stores.filled, stores.store, stores.stranger


@pytest.fixture
def url():
    yield postgresql.borrow()
    postgresql.give_back()


@pytest.fixture
def another_url(url):
    """The URL of another store, which is given back with it."""
    return postgresql.borrow()


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
