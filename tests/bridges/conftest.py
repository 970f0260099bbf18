"""An agent's store on every database that a bridge is judged on.

`data_store` is one on memory and on SQLite. A test that is marked with ``@ON_SERVERS`` (`tests.bridges.places`) has one
on the test servers of CouchDB, DynamoDB and Firestore as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from datastore import AgentDataStore, DataStore, connect
from tests.bridges.places import PLACES
from tests.dynamodb.wire import Wire
from tests.firestore.recording import Recorder
from tests.servers import couchdb


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
def recorder() -> Recorder:
    """What Firestore is asked by `store`."""
    return Recorder()


@pytest.fixture
def store(url: str, place: str, recorder: Recorder) -> Iterator[DataStore]:
    """The host's store."""
    options = {"interceptors": [recorder]} if place == "firestore" else {}
    with connect(url, flush_interval=3_600, **options) as store:
        yield store


@pytest.fixture
def asked(store: DataStore, place: str, recorder: Recorder):
    """What the server is asked in the block, at the client's transport: ``with asked() as requests``."""
    if place == "couchdb":
        noted = couchdb.proxy().requests
    elif place == "dynamodb":
        noted = Wire(store.backend._connection.client).requests
    else:
        noted = recorder.requests

    @contextmanager
    def counting() -> Iterator[list]:
        noted.clear()
        requests: list = []
        yield requests
        requests += noted

    return counting


@pytest.fixture
def data_store(store: DataStore) -> AgentDataStore:
    """What a bridge is made from."""
    return store.agent("ann", "assistant")
