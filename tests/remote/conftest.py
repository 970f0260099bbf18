import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import datastore
from datastore import AgentDataStore, DataStore
from datastore.remote.addresses import Address
from datastore.remote.connections import Connection
from datastore.remote.handover import Secret
from datastore.remote.transport import Transport
from datastore.server import create_app
from datastore.urls import Url
from tests.remote.scripted import Scripted, answer
from tests.remote.serving import serving

TOKEN = "dst_" + "a" * 43


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., Scripted]]:
    """Return a function that starts a server with a script."""
    with ExitStack() as started:

        def start(script=lambda request: answer(instance="one")) -> Scripted:
            server = Scripted(tmp_path / "s", script)
            started.callback(server.close)
            return server

        yield start


@pytest.fixture
def client() -> Iterator[Callable[..., Transport]]:
    """Return a function that makes the transport to a server."""
    with ExitStack() as opened:

        def open_transport(server: Scripted, retry_seconds: float = 10.0) -> Transport:
            address = Address(Url(server.url))
            transport = Transport(address, Secret(TOKEN), retry_seconds=retry_seconds, warn_on_loop=False)
            opened.callback(transport.close)
            return transport

        yield open_transport


@pytest.fixture
def store() -> Iterator[DataStore]:
    with datastore.connect("memory://") as store:
        yield store


@pytest.fixture
def served(store: DataStore) -> Iterator[str]:
    """Serve the store as a host does, and return its URL."""
    url = serving(os.getpid()).add(create_app(store))
    yield url
    serving(os.getpid()).remove(url)


@pytest.fixture
def data_store(store: DataStore, served: str) -> Iterator[AgentDataStore]:
    """The store of an agent in a sandbox."""
    with datastore.connect(served, token=store.tokens.mint("ann", "planner")) as data_store:
        yield data_store


@pytest.fixture
def requests(data_store: AgentDataStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that leave a client from now on, noted at its transport."""
    made, ask = list[str](), Connection.ask

    def noting(connection, request, until):
        made.append(request.split(b" ", 2)[1].decode().rpartition("/")[2])
        return ask(connection, request, until)

    monkeypatch.setattr(Connection, "ask", noting)
    return made
