from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from datastore.remote.addresses import Address
from datastore.remote.handover import Secret
from datastore.remote.transport import Transport
from datastore.urls import Url
from tests.remote.scripted import Scripted, answer

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
