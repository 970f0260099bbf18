"""An agent's store on every database that a bridge is judged on.

`data_store` is one on memory and on SQLite. A test that is marked with ``@ON_SERVERS`` (`tests.bridges.places`) has one
on the test servers of CouchDB, DynamoDB and Firestore as well.
"""

from collections.abc import Iterator

import pytest

from datastore import AgentDataStore, DataStore, connect
from tests.bridges.places import PLACES


@pytest.fixture(params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest) -> str:
    """The name of the database, among `PLACES`."""
    return request.param


@pytest.fixture
def url(place: str, tmp_path) -> Iterator[str]:
    """The URL of an empty database. To open it twice is to be another process, as far as the bridge can tell."""
    with PLACES[place](tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[DataStore]:
    """The host's store."""
    with connect(url, flush_interval=3_600) as store:
        yield store


@pytest.fixture
def data_store(store: DataStore) -> AgentDataStore:
    """What a bridge is made from."""
    return store.agent("ann", "assistant")
